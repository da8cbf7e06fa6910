"""The real command on a real terminal (a pty of 80 columns), and in a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from defender.cli.console import say
from tests.test_cli import REPO, SMALL, defender, needs_weights

COLUMNS = 80
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WORDS = [word for word in SMALL if word != "--quiet"]


def on_a_terminal(*words: str, cwd: Path, stop_at: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command with a terminal on stdout and stderr; Ctrl-C once ``stop_at`` was seen. Return code and output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    around = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    program = subprocess.Popen(
        [sys.executable, "-m", "defender.cli", *words], cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs,
        env=around | {"TERM": "xterm-256color"} | dict(env or {}), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        try:
            heard = os.read(ours, 65536)
        except OSError:  # the last writer is gone
            break
        if not heard:
            break
        said += heard
        if stop_at and stop_at in said.decode(errors="replace"):
            stop_at = ""
            program.send_signal(signal.SIGINT)
    os.close(ours)
    return program.wait(timeout=240), said.decode()


def lines_of(said: str) -> list[str]:
    """Return what the terminal showed line by line, without control codes."""
    return [CODE.sub("", line).rsplit("\r", 1)[-1] for line in said.replace("\r\n", "\n").split("\n")]


@needs_weights
def test_on_a_terminal_there_is_a_bar_and_every_line_fits_80_columns(tmp_path: Path) -> None:
    code, said = on_a_terminal("search", *WORDS, "--run", "one", cwd=tmp_path)
    assert code == 0, said
    assert "starting runs/one" in said
    shown = CODE.sub("", said)
    assert re.search(r"search: \S.*? +\d+% +\d+/s +\d+ sent", shown)
    kept_whole = ("run ", "report ", "page ", "prompt ")
    found = lines_of(said)
    found = found[next(n for n, line in enumerate(found) if line.startswith("         ")) + 1 :]
    assert found[0].startswith("PB ") or found[1].startswith("PB ")
    assert [line for line in found if len(line) > COLUMNS and not line.startswith(kept_whole)] == []
    assert "claims about real models need real models." in " ".join(found)


@needs_weights
def test_ctrl_c_ends_in_order_and_the_same_command_goes_on_and_no_color_means_none(tmp_path: Path) -> None:
    command = ("search", *WORDS, "--run", "one")
    slowly = ("--in-flight", "1")  # so that there is something left to stop
    code, said = on_a_terminal(*command, *slowly, cwd=tmp_path, stop_at="search: the", env={"NO_COLOR": "1"})
    assert code == 130
    last = [line for line in lines_of(said) if line][-1]
    assert last == "error: stopped by the user; everything paid for is kept, go on with --resume"
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", said)
    assert "Traceback" not in said
    assert said.count("\x1b[?25h") >= said.count("\x1b[?25l") > 0, "the cursor is shown again"
    code, said, _ = defender(*command, "--json", cwd=tmp_path)
    assert code == 0
    assert json.loads(said)["winner"]


@needs_weights
def test_in_a_pipe_nothing_but_the_result_and_no_control_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "defender.cli", "search", *WORDS, "--run", "one"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0
    assert done.stderr == b""
    assert not CONTROL.search(done.stdout)
    asked = subprocess.run(
        [sys.executable, "-m", "defender.cli", "search", *WORDS, "--run", "one", "--progress"], cwd=tmp_path,
        capture_output=True,
    )  # fmt: skip
    assert b"confirm on held-out items (up to" in asked.stderr
    assert not CONTROL.search(asked.stderr)


@pytest.mark.parametrize("text", [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "over\rwritten", "\u202eabc", "a\x00b", "\ud83d", "b\u2028c",
])  # fmt: skip
def test_a_text_that_would_act_on_a_terminal_is_shown_and_does_nothing(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say([f"winner   {text} é 漢字\tx", "next"], {}, json=False)
    shown = capsys.readouterr().out
    assert shown.startswith("winner   ")
    assert shown.endswith(" é 漢字\tx\nnext\n")
    assert not set(shown) & set("\x1b\x07\x9b\r\u202e\x00\ud83d\u2028")
    say([], {"name": text, "other": "é 漢字"}, json=True)
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"name": text, "other": "é 漢字"}
    assert not set(shown) & set("\x1b\x07\x9b\r\u202e\x00\ud83d\u2028")
    assert "é 漢字" in shown


@pytest.mark.parametrize(
    "text", ["\U000e0067 tag", "\U000f0000 private", "\U0001d173 music", "می\u200cخواهم", "👩\u200d🚀"]
)
def test_every_sign_comes_back_from_the_json_that_is_printed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say([], {"name": text}, json=True)
    assert json.loads(capsys.readouterr().out) == {"name": text}


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_what_stdout_has_no_signs_for_ends_no_command(tmp_path: Path, encoding: str) -> None:
    words = ["export", str(REPO / "runs" / "example"), "--into", str(tmp_path / "公平 🚀")]
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "defender.cli", *words, *more], cwd=tmp_path, capture_output=True,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
    assert Path(json.loads(done.stdout)["files"][0]["path"]).is_file()


def test_what_joins_letters_stays_in_a_prompt_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    say(["می\u200cخواهم 👩\u200d🚀"], {}, json=False)
    assert capsys.readouterr().out == "می\u200cخواهم 👩\u200d🚀\n"


@pytest.mark.parametrize(
    "command", ["search", "measure", "plan", "report", "export", "doctor", "calibrate", "dashboard"]
)
def test_every_command_can_answer_in_json(tmp_path: Path, command: str) -> None:
    assert "--json" in defender(command, "--help", cwd=tmp_path)[1]

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from markdown_it import MarkdownIt

from defender.confirm import SearchResult
from defender.errors import ConfigError
from defender.notes import note, opened
from defender.runs import RunFolder
from tests.report.test_page import HOSTILE
from tests.stored_run import copied, measured, settings

optuna_dashboard = pytest.importorskip("optuna_dashboard", reason="the extra 'dashboard' is not installed")

ATTRS: dict[str, Any] = {
    "name": "D4", "text": "Be fair. {identity}", "seat": "system", "decision": "dropped after block 2: cannot win",
    "pb": 1.234, "interval": [0.5, 2.0], "level": 0.95, "noise_floor": 0.3, "utility": 60.0, "safety": 90.0,
    "gaps": {"utility >= 60": -0.5, "safety >= Original - 1": 1.25},
}  # fmt: skip


def test_a_note_says_text_pb_floors_and_decision() -> None:
    said = note(ATTRS)
    for part in (
        "## D4", "Be fair. {identity}", "**PB 1.23** (95 % 0.50 to 2.00), noise floor 0.30",
        "utility 60.0 %, safety 90.0 %", "- floor utility &gt;= 60: shown to be kept",
        "not shown to be kept: the lower bound is 1.25 short", "**Decision:** dropped after block 2: cannot win",
    ):  # fmt: skip
        assert part in said.replace("&#62;", "&gt;")


def test_a_trial_without_an_estimate_says_why() -> None:
    said = note({"name": "x", "text": "t", "decision": "not measured", "failure": "12 of 12 timed out"})
    assert "**Failure:** 12 of 12 timed out" in said
    assert "PB" not in said


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text_in_a_note(text: str) -> None:
    wild = dict.fromkeys(("name", "text", "decision", "failure"), text)
    tame = dict.fromkeys(wild, "x")
    parser = MarkdownIt("commonmark", {"html": True})
    kinds = [[token.type for token in parser.parse(note(ATTRS | words))] for words in (wild, tame)]
    assert kinds[0] == kinds[1]
    assert not set(note(ATTRS | wild)) & set("\x1b\u202e")


def test_the_dashboard_serves_every_trial_with_its_note(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run = copied(stored[0], tmp_path)
    command = [sys.executable, "-m", "defender.cli", "dashboard", str(run.path), "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline() + server.stdout.readline() + server.stdout.readline())["url"]
        root, number = url.split("/dashboard/studies/")
        with urllib.request.urlopen(url, timeout=240) as page:
            assert page.status == 200
        with urllib.request.urlopen(f"{root}/api/studies/{number}?after=0", timeout=240) as answer:
            found = json.loads(answer.read())
    finally:
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=240)
    assert server.returncode == 0, said
    assert "lowers PB from" in found["note"]["body"]
    assert len(found["trials"]) == len(stored[1].trials)
    for trial in found["trials"]:
        told = trial["note"]["body"]
        assert "**PB " in told
        assert "**Decision:** " in told


def test_a_run_whose_folder_was_renamed_still_opens(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run = copied(stored[0], tmp_path)
    renamed = replace(run, path=run.path.rename(tmp_path / "renamed"))
    board = opened(renamed, "127.0.0.1", 0)
    board.close()
    assert board.url.endswith("/dashboard/studies/1")


def test_notes_are_written_once(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run = copied(stored[0], tmp_path)
    for _ in range(2):
        board = opened(run, "127.0.0.1", 0)
        assert board.annotate(note, "about") == 0
        board.close()
    study = optuna.load_study(storage=run.study, study_name=run.name)
    assert optuna_dashboard.get_note(study) == "about"


def test_a_measurement_has_no_study_and_says_so_without_making_one(tmp_path: Path) -> None:
    run = measured(settings(tmp_path, command="measure"), tmp_path)
    with pytest.raises(ConfigError, match="has no study"):
        opened(run, "127.0.0.1", 0)
    assert not (run.path / "study.db").exists()


def test_a_taken_port_is_named(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run = copied(stored[0], tmp_path)
    board = opened(run, "127.0.0.1", 0)
    port = int(board.url.split(":")[2].split("/")[0])
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}.*--port"):
        opened(run, "127.0.0.1", port)
    board.close()


def test_without_the_extra_the_message_says_how_to_get_it(
    stored: tuple[RunFolder, SearchResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[dashboard\]' in the clone"):
        opened(stored[0], "127.0.0.1", 0)

"""The command line starts a real vLLM on the CPU: shared, measured, ended with its last user however that one ends."""

from __future__ import annotations

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from defender.engines.vllm_lease import Record, running
from tests.engines.vllm_place import group, hears_ctrl_c, over
from tests.test_cli import REPO, defender, one_line

PYTHON = os.environ.get("DEFENDER_VLLM_PYTHON", "")
CHECKPOINT = REPO / "build" / "embedded-hf"
FEW = ("mine.txt", "--benchmarks", "miniature_utility,miniature_safety", "--items", "4")
START_S = 400.0

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON, reason="no DEFENDER_VLLM_PYTHON; `make vllm-test` sets it"),
    pytest.mark.skipif(not (CHECKPOINT / "config.json").is_file(), reason="no checkpoint; run `make checkpoint`"),
]


class Here:
    """A folder to run commands in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {"TMPDIR": str(folder / "tmp")}
        # below a test's folder vLLM's sockets would have too long a path, and what it compiles would be compiled anew
        self.env |= {"VLLM_RPC_BASE_PATH": tempfile.gettempdir()}
        self.env |= {"TORCHINDUCTOR_CACHE_DIR": f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}"}
        (folder / "tmp").mkdir()
        (folder / "mine.txt").write_text("You are a helpful assistant.\n")
        server = {"dtype": "bfloat16", "max_model_len": 1024, "flags": ["--enforce-eager"]}
        self.config = folder / "run.yaml"
        self.config.write_text(json.dumps({"model": {"vllm": str(CHECKPOINT), "server": server}}))

    def servers(self) -> list[Record]:
        return running(self.folder / "tmp" / f"defender-{os.getuid()}" / "servers")

    def run(self, *words: str | Path) -> tuple[int, str, str]:
        return defender(*words, cwd=self.folder, env=self.env)

    def begin(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "defender.cli", *map(str, words)],
            cwd=self.folder,
            env={**os.environ, "DEFENDER_DATA": "", "PYTHONPATH": str(REPO), **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hears_ctrl_c,
        )


def waited(true: Callable[[], bool]) -> bool:
    """Wait until something is true; False where it takes longer than a start."""
    limit = time.monotonic() + START_S
    while not true() and time.monotonic() < limit:
        time.sleep(0.1)
    return true()


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_a_run_starts_its_server_measures_and_leaves_it_to_another_user_who_is_killed(here: Here) -> None:
    measuring = here.begin("measure", "--config", here.config, *FEW, "--run", "own", "--progress")
    log = here.folder / "runs" / "own" / "vllm.log"
    assert waited(log.exists), measuring.communicate()
    serving = here.begin("serve", "--config", here.config)
    try:
        assert serving.stdout is not None
        url = serving.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), serving.communicate()
        [record] = here.servers()
        assert record.url == url, "one server for both"
        assert len(group(record)) > 1, "vLLM has workers"
        out, said = measuring.communicate(timeout=START_S)
        assert measuring.returncode == 0, said
        for words in ("starting vLLM for", "vLLM: loading weights", "vLLM: ready after", "goes on: others use it"):
            assert words in said
        assert "mine" in out
        assert here.servers() == [record]
    finally:
        serving.kill()
        _, served = serving.communicate()
    assert f"using the vLLM server that runs at {url}" in served
    assert over(record, 60)
    assert here.servers() == []
    for words in ("Loading safetensors checkpoint shards", "Application startup complete", "POST /v1/chat/completions"):
        assert words in log.read_text()


def test_ctrl_c_while_vllm_starts_ends_it(here: Here) -> None:
    using = here.begin("measure", "--config", here.config, *FEW, "--run", "stopped", "--quiet")
    log = here.folder / "runs" / "stopped" / "vllm.log"
    assert waited(lambda: log.exists() and "Resolved architecture" in log.read_text())
    [record] = here.servers()
    using.send_signal(signal.SIGINT)
    using.communicate(timeout=60)
    assert using.returncode == 130
    assert over(record, 60)


def test_words_vllm_does_not_know_are_said_by_name(here: Here) -> None:
    said = json.loads(here.config.read_text())
    said["model"]["server"]["flags"] = ["--no-such-flag"]
    here.config.write_text(json.dumps(said))
    code, _, told = here.run("measure", "--config", here.config, *FEW, "--run", "odd", "--quiet")
    assert code == 3
    assert "this vLLM does not take these words: --no-such-flag" in one_line(told)


def test_a_port_in_use_a_folder_that_is_not_there_and_no_vllm_are_said_before_a_start(here: Here) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, told = here.run("serve", "--config", here.config, "--port", str(port))
    assert code == 2
    assert f"port {port} on 127.0.0.1 is in use" in one_line(told)
    code, _, told = here.run("serve", "/nowhere/model")
    assert code == 2
    assert "model folder not found: /nowhere/model" in one_line(told)
    code, _, told = here.run("serve", CHECKPOINT, "--python", sys.executable)
    assert code == 2
    assert "vLLM is not installed beside" in one_line(told)

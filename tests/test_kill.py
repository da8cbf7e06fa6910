"""kill -9 in the middle of a real search, then the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from defender.errors import StoreError
from defender.store import SqlStore
from tests.test_cli import REPO, defender, needs_weights

IN_FLIGHT = 32
SEARCH = (
    "search", "--items", "6", "--confirm-items", "6", "--candidates", "12", "--in-flight", str(IN_FLIGHT), "--json",
)  # fmt: skip


def reserved(database: Path) -> int:
    """Return the requests a running search has paid for so far, 0 while there is no database."""
    if not database.exists():
        return 0
    try:
        store = SqlStore(database, readonly=True)
    except StoreError:
        return 0
    try:
        return store.spend()["reserved"]
    finally:
        store.close()


def kill_at(requests: int, folder: Path) -> int:
    """Start the search, kill it once it has paid for that many requests; return what it had paid for."""
    database = folder / "runs" / "torn" / "run.db"
    running = subprocess.Popen(
        [sys.executable, "-m", "defender.cli", *SEARCH, "--run", "torn"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while reserved(database) < requests and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running.poll() is None, "the search ended before it could be killed"
    running.send_signal(signal.SIGKILL)
    running.wait()
    return reserved(database)


@needs_weights
def test_after_five_kills_the_search_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    code, out, said = defender(*SEARCH, "--run", "whole", cwd=tmp_path)
    assert code == 0, said
    whole: dict[str, Any] = json.loads(out)
    total = whole["spend"]["reserved"]
    kills = 0
    for share in (0.05, 0.2, 0.45, 0.7, 0.9):
        paid = kill_at(int(share * total), tmp_path)
        kills += 1
        assert paid <= total + kills * IN_FLIGHT
    code, out, said = defender(*SEARCH, "--run", "torn", "--resume", cwd=tmp_path)
    assert code == 0, said
    torn = json.loads(out)
    assert torn["spend"]["answers"] == whole["spend"]["answers"]
    assert total <= torn["spend"]["reserved"] <= total + kills * IN_FLIGHT
    assert torn["winner"]["candidate"] == whole["winner"]["candidate"]
    assert [c["verdict"] for c in torn["comparisons"]] == [c["verdict"] for c in whole["comparisons"]]

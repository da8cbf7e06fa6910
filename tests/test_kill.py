"""kill -9 in the middle of a real search, then the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from defender.errors import StoreError
from defender.store import SqlStore
from tests.test_cli import REPO, defender, needs_weights

IN_FLIGHT = 32
SEARCH = (
    "search", "--items", "6", "--confirm-items", "6", "--candidates", "12", "--in-flight", str(IN_FLIGHT), "--json",
)  # fmt: skip


def spent(database: Path) -> Counter[str]:
    """Return what a running search has paid for so far, nothing while there is no database."""
    if not database.exists():
        return Counter()
    try:
        store = SqlStore(database, readonly=True)
    except StoreError:
        return Counter()
    try:
        return Counter(store.spend())
    finally:
        store.close()


def kill_at(requests: int, folder: Path) -> Counter[str]:
    """Start the search, kill it once it has paid for that many requests; return what it had paid for."""
    database = folder / "runs" / "torn" / "run.db"
    running = subprocess.Popen(
        [sys.executable, "-m", "defender.cli", *SEARCH, "--run", "torn"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 600
    while spent(database)["reserved"] < requests and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running.poll() is None, "the search ended before it could be killed"
    running.send_signal(signal.SIGKILL)
    running.wait()
    return spent(database)


def tokens(spend: Mapping[str, int]) -> int:
    """Return the tokens that answers took."""
    return spend["prompt_tokens"] + spend["completion_tokens"]


@needs_weights
@pytest.mark.slow
def test_after_five_kills_the_search_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    code, out, said = defender(*SEARCH, "--run", "whole", cwd=tmp_path)
    assert code == 0, said
    whole: dict[str, Any] = json.loads(out)
    total = whole["spend"]["reserved"]
    kills = 0
    for share in (0.05, 0.2, 0.45, 0.7, 0.9):
        paid = kill_at(int(share * total), tmp_path)
        kills += 1
        assert paid["reserved"] <= total + kills * IN_FLIGHT
    code, out, said = defender(*SEARCH, "--run", "torn", "--resume", cwd=tmp_path)
    assert code == 0, said
    torn = json.loads(out)
    assert torn["spend"]["answers"] == whole["spend"]["answers"]
    lost = paid["reserved"] - paid["settled"]  # in flight at a kill: paid for, and asked again
    assert torn["spend"]["reserved"] == total + lost <= total + kills * IN_FLIGHT
    assert torn["spend"]["settled"] == total
    assert tokens(torn["spend"]) == tokens(whole["spend"]) == whole["spend"]["tokens"]
    worst = torn["spend"]["tokens"] - tokens(torn["spend"])
    assert worst == paid["tokens"] - tokens(paid), "what was in flight stays reserved at its worst case, nothing else"
    assert worst > 0 or not lost
    assert torn["winner"]["candidate"] == whole["winner"]["candidate"]
    assert [c["verdict"] for c in torn["comparisons"]] == [c["verdict"] for c in whole["comparisons"]]

"""No strategy spends a request more than its budget: many in flight, killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from defender.settings import Strategy
from defender.store import SqlStore
from tests.test_cli import REPO

BUDGET, NEVER = 9_000, 0


def spend(name: str, folder: Path, kill_at: int) -> int:
    command = [sys.executable, "-m", "tests.spender", name, str(folder), str(BUDGET), str(kill_at)]
    return subprocess.run(command, cwd=REPO, capture_output=True, timeout=600).returncode


def reserved(folder: Path) -> int:
    store = SqlStore(folder / "run.db", readonly=True)
    try:
        return store.spend()["reserved"]
    finally:
        store.close()


@pytest.mark.parametrize("name", get_args(Strategy))
def test_no_strategy_overshoots_its_budget_by_one_request_also_after_a_kill(tmp_path: Path, name: str) -> None:
    assert spend(name, tmp_path, 700) == -signal.SIGKILL
    torn = reserved(tmp_path)
    assert (tmp_path / "sent").stat().st_size <= torn <= BUDGET, "paid for before it is sent"
    assert spend(name, tmp_path, NEVER) == 0
    sent = (tmp_path / "sent").stat().st_size
    assert torn < sent <= reserved(tmp_path) <= BUDGET

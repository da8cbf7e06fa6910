from __future__ import annotations

from pathlib import Path

from defender.decisions import Decisions
from defender.records import Decision
from defender.store import SqlStore

FIRST, SECOND = (Decision("c0ffee", "D1", block, 8, "kept", "in reach") for block in (0, 1))


def test_a_replay_writes_the_same_lines_over_the_old_ones(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    for _ in range(2):
        log = Decisions(store)
        log(FIRST)
        log(SECOND)
    assert [line["block"] for line in store.notes("decision").values()] == [0, 1]
    store.close()

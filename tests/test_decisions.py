from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from defender.decisions import Decisions, decided
from defender.errors import Interrupted, NothingFeasible
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


def test_lines_that_an_earlier_sitting_left_beyond_the_end_are_not_of_the_log(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    try:
        for reasons in (("one", "two", "three"), ("one", "other")):
            log = Decisions(store)
            with suppress(NothingFeasible), log.whole():
                for reason in reasons:
                    log(Decision("c", "c", 0, 1, "kept", reason))
                if reasons[-1] == "other":
                    raise NothingFeasible("nobody")
        assert [line.reason for line in decided(store)] == ["one", "other"]
        with suppress(Interrupted), Decisions(store).whole():
            raise Interrupted("Ctrl-C")
        assert [line.reason for line in decided(store)] == ["one", "other"], "nothing ended"
    finally:
        store.close()

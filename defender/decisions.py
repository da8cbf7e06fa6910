"""The decision log: one durable line for everything that became of a candidate, in the order it was decided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from defender.contracts import Store
from defender.errors import NothingFeasible
from defender.records import Decision, Trial

END = "decisions"
"""The note that says how many lines the log has."""


class Decisions:
    """Numbers decisions and keeps them; a replay in a new process writes the same lines over the old ones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said = 0

    def __call__(self, decision: Decision) -> None:
        """Keep one decision. Raises StoreError."""
        self._store.note("decision", f"{self._said:06d}", asdict(decision))
        self._said += 1

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Say, when what is inside ends, that no line comes after: an earlier sitting's longer log ends here too."""
        try:
            yield
        except NothingFeasible:
            self._end()
            raise
        self._end()

    def _end(self) -> None:
        self._store.note(END, END, {"lines": self._said})


def decided(store: Store) -> tuple[Decision, ...]:
    """Return a run's log, in order; lines after the end belong to a sitting with another budget."""
    end: Any = store.notes(END).get(END, {})
    lines: Any = list(store.notes("decision").values())
    return tuple(Decision(**line) for line in lines[: end.get("lines")])


def in_words(trial: Trial) -> str:
    """Return a trial's estimate and floors in one phrase."""
    if trial.estimate is None:
        return trial.failure
    found = trial.estimate
    floors = []
    for name, gap in trial.gaps.items():
        miss = trial.misses.get(name, gap)
        floors.append(f"{name} " + ("kept" if gap <= 0 else f"missed by {miss:.1f}" if miss > 0 else "not yet shown"))
    return (
        f"PB {found.pb:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f}); {', '.join(floors) or 'no floors'}"
    )

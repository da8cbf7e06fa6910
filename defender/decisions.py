"""The decision log: one durable line for everything that became of a candidate, in the order it was decided."""

from __future__ import annotations

from dataclasses import asdict

from defender.contracts import Store
from defender.records import Decision, Trial


class Decisions:
    """Numbers decisions and keeps them; a replay in a new process writes the same lines over the old ones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said = 0

    def __call__(self, decision: Decision) -> None:
        """Keep one decision. Raises StoreError."""
        self._store.note("decision", f"{self._said:06d}", asdict(decision))
        self._said += 1


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

"""The decision log: one durable line for everything that became of a candidate, in the order it was decided."""

from __future__ import annotations

from dataclasses import asdict

from defender.contracts import Store
from defender.records import Decision


class Decisions:
    """Numbers decisions and keeps them; a replay in a new process writes the same lines over the old ones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said = 0

    def __call__(self, decision: Decision) -> None:
        """Keep one decision. Raises StoreError."""
        self._store.note("decision", f"{self._said:06d}", asdict(decision))
        self._said += 1

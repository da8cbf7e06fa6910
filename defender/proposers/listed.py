"""A proposer that already knows its list: ablations, baselines, and prompts a person wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from defender.proposers.told import Told
from defender.records import Candidate, Trial


class Listed:
    """Proposes a fixed list once, in its order, and learns nothing.

    Candidates whose text is the same are proposed once, under the first one's label. One that was told before its
    turn came (another proposer had it measured) is passed over.
    """

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._waiting: dict[str, Candidate] = {}
        for candidate in candidates:
            self._waiting.setdefault(candidate.digest, candidate)
        self._told = Told()

    def ask(self, n: int) -> Sequence[Candidate]:
        """Propose the next n of the list; fewer at its end."""
        return [self._waiting.pop(digest) for digest in list(self._waiting)[: max(n, 0)]]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Check that every candidate is told once, and note those that are not from this list.

        Raises:
            ValueError: a candidate is told a second time; nothing of this call was taken in.
        """
        for digest in self._told.take(trials):
            self._waiting.pop(digest, None)

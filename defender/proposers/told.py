"""Who was told already: every candidate is told exactly once."""

from __future__ import annotations

from collections.abc import Sequence

from defender.records import Trial


class Told:
    """The digests of all candidates that were told."""

    def __init__(self) -> None:
        self._digests: set[str] = set()

    def __contains__(self, digest: str) -> bool:
        return digest in self._digests

    def take(self, trials: Sequence[Trial]) -> list[str]:
        """Note trials and return their digests, in the order given.

        Raises:
            ValueError: a candidate is told a second time; nothing of this call was noted.
        """
        digests = [trial.candidate.digest for trial in trials]
        for place, trial in enumerate(trials):
            if digests[place] in self._digests or digests[place] in digests[:place]:
                raise ValueError(f"candidate {trial.candidate.name} was told before; tell every candidate exactly once")
        self._digests.update(digests)
        return digests

"""Every text a small space can say, each once: the truth that samplers are measured against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from defender.errors import ConfigError
from defender.proposers.told import Told
from defender.records import Candidate, Trial
from defender.space import Space


class Exhaustive:
    """Proposes the seeds, then all other texts of the space in the order of its file; learns nothing.

    Args:
        space: what may be said, in every order of clauses.
        most: the most texts that may be proposed.

    Raises:
        ConfigError: the space can say more than ``most`` texts; says how many.
    """

    def __init__(self, space: Space, most: int) -> None:
        self._space = space
        self._told = Told()
        self._proposed: set[str] = set()
        self._coming = self._texts()
        choices = space.size(orders=True)
        if choices > most and sum(1 for _ in zip(range(most + 1), self._texts(), strict=False)) > most:
            raise ConfigError(
                f"space '{space.name}' has {choices} choices and at most {most} candidates may be measured; an "
                f"exhaustive search measures every text: give --candidates {choices}, a smaller space, or let a "
                "sampler choose (--proposer thompson)"
            )

    def ask(self, n: int) -> Sequence[Candidate]:
        """Propose the next n texts; fewer at the end of the space."""
        found: list[Candidate] = []
        while len(found) < n and (candidate := next(self._coming, None)) is not None:
            if candidate.digest not in self._told and candidate.digest not in self._proposed:
                self._proposed.add(candidate.digest)
                found.append(candidate)
        return found

    def tell(self, trials: Sequence[Trial]) -> None:
        """Note what needs no proposing any more. Raises ValueError: told a second time; nothing was noted."""
        self._told.take(trials)

    def grow(self, clauses: Mapping[str, str]) -> None:
        """Let more be said: idea -> text. What was proposed stays so. Raises SpaceError."""
        self._space = self._space.with_clauses(clauses)
        self._coming = self._texts()

    def _texts(self) -> Iterator[Candidate]:
        """Yield every distinct text once, the seeds first and labelled."""
        space, seen = self._space, set[str]()
        for candidate in space.seed_candidates():
            if candidate.digest not in seen:
                seen.add(candidate.digest)
                yield candidate
        for choice in space.everything(orders=True):
            candidate = space.render(choice, origin="exhaustive")
            if candidate.digest not in seen:
                seen.add(candidate.digest)
                yield candidate

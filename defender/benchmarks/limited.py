"""A benchmark whose answers may take fewer tokens than its protocol allows, for servers with a short context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from defender.contracts import Benchmark, Judge
from defender.records import Axis, Grade, Item, Response, Sampling, Split


def limited(benchmark: Benchmark, tokens: int) -> Benchmark:
    """Return the benchmark with answers of at most ``tokens``; itself where its protocol allows no more."""
    return Limited(benchmark, tokens) if tokens < benchmark.sampling.max_tokens else benchmark


class Limited:
    """Asks and grades as the benchmark inside does; everyone's answers are cut at the same lower limit."""

    def __init__(self, inside: Benchmark, tokens: int) -> None:
        self._inside = inside
        self._tokens = tokens

    @property
    def name(self) -> str:
        """The benchmark's own name: the limit is in the run's configuration and in ``protocol``."""
        return self._inside.name

    @property
    def axis(self) -> Axis:
        """The axis its score moves."""
        return self._inside.axis

    @property
    def protocol(self) -> str:
        """The benchmark's own, and the limit."""
        own = self._inside.sampling.max_tokens
        return f"{self._inside.protocol}; answers of at most {self._tokens} tokens where the protocol allows {own}"

    @property
    def sampling(self) -> Sampling:
        """The benchmark's own, with the lower limit."""
        return replace(self._inside.sampling, max_tokens=self._tokens)

    @property
    def judge(self) -> Judge | None:
        """The benchmark's own."""
        return self._inside.judge

    def items(self, split: Split) -> Sequence[Item]:
        """Return the items of a split. Raises DataMissing."""
        return self._inside.items(split)

    def rows(self) -> Sequence[Item]:
        """Return an item for every row, repeats included. Raises DataMissing."""
        return self._inside.rows()

    def ask(self, item: Item) -> str:
        """Return the user message."""
        return self._inside.ask(item)

    def gold(self, item: Item) -> Response | None:
        """Return a response that must be graded 1, or None."""
        return self._inside.gold(item)

    async def grade(self, item: Item, response: Response) -> Grade:
        """Grade one response."""
        return await self._inside.grade(item, response)

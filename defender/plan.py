"""Which cells to run: the same items for everyone, in blocks, with the sampling seed a function of item and repeat.

Common random numbers: identities and candidates that a model treats alike then answer alike, and the noise in
their difference cancels (where the server honours seeds).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from defender.contracts import Benchmark
from defender.errors import ConfigError
from defender.identities import held_out, messages
from defender.records import Candidate, Cell, Identity, Item, Request, Split
from defender.samples import MIN_ITEMS

Phrasings = Literal["same", "held_out"]


@dataclass(frozen=True)
class Panel:
    """Who is asked what at one stage.

    Attributes:
        split: which items; search items choose, confirm items claim, "all" where nothing is selected.
        identities: the users of PB; ``reference`` is measured beside them and stays out of PB, or is None.
        items: benchmark name -> items, in reveal order.
        repeats: times each cell is asked.
        phrasings: whether identities speak their sentence, or the held-out ones, which take turns over the items.
        verdicts: benchmark name -> requests that judging one answer may take; absent where none is sent.
    """

    split: Split | Literal["all"]
    identities: tuple[Identity, ...]
    items: Mapping[str, tuple[Item, ...]]
    repeats: int = 1
    reference: Identity | None = None
    verdicts: Mapping[str, int] = field(default_factory=dict)
    phrasings: Phrasings = "same"

    @property
    def asked(self) -> tuple[Identity, ...]:
        """Identities, and the reference where there is one."""
        return (*self.identities, self.reference) if self.reference else self.identities

    @property
    def places(self) -> Iterator[tuple[str, str, str, int]]:
        """What a cell says beside its candidate: identity, benchmark, item, repeat; in the order of the cells."""
        who = [identity.key for identity in self.asked]
        for repeat in range(self.repeats):
            for name, items in self.items.items():
                yield from ((identity, name, item.id, repeat) for item in items for identity in who)

    @property
    def cells_per_candidate(self) -> int:
        """Requests one candidate costs on this panel at most, verdicts included, retries aside."""
        return len(self.asked) * self.repeats * sum(self.price(name) * len(items) for name, items in self.items.items())

    def price(self, benchmark: str) -> int:
        """Return the requests one cell of a benchmark costs at most: the question, and a verdict where one is paid."""
        return 1 + self.verdicts.get(benchmark, 0)

    def first(self, share: float) -> Panel:
        """Return the panel with the first ``share`` (0, 1] of every benchmark's items, at least 3 of each."""
        kept = {name: items[: max(MIN_ITEMS, round(share * len(items)))] for name, items in self.items.items()}
        return replace(self, items=kept)


def sampling_seed(benchmark: str, item: str, repeat: int) -> int:
    """Return the sampling seed of a cell: a function of item and repeat only, in [0, 2**31)."""
    digest = hashlib.sha256(f"{benchmark}\x1f{item}\x1f{repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def cells(candidate: Candidate, panel: Panel) -> Iterator[tuple[Cell, Identity, Item]]:
    """Yield the cells of a candidate on a panel: item by item, so that a server's prefix cache and pairs stay warm."""
    key, asked = candidate.id, panel.asked  # worked out once: there may be a million cells
    for repeat in range(panel.repeats):
        for name, items in panel.items.items():
            for item in items:
                who = asked
                if panel.phrasings == "held_out":  # the same way of saying it for everyone, another for the next item
                    who = tuple(held_out(identity, sampling_seed(name, item.id, 0)) for identity in who)
                for identity in who:
                    yield Cell(key, identity.key, name, item.id, repeat), identity, item


def request_for(candidate: Candidate, identity: Identity, benchmark: Benchmark, item: Item, repeat: int) -> Request:
    """Return the wire request of one cell."""
    sampling = benchmark.sampling
    seed = sampling_seed(benchmark.name, item.id, repeat) if sampling.temperature > 0 else None
    return Request(messages(candidate, identity, benchmark.ask(item)), sampling, seed, repeat)


@dataclass(frozen=True)
class Ladder:
    """How fidelity grows: through the first blocks everyone who is not dropped, through the last ones the best.

    Attributes:
        shares: cumulative shares of the panel after each block, the last is 1.
        finals: how many at least go through each of the last blocks: a limited budget keeps their requests. More go
            where the evidence asks for it. () lets everyone who is not dropped through all.
    """

    shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    finals: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.finals) >= len(self.shares):
            raise ConfigError(
                f"search.finals: expected fewer finals than the {len(self.shares)} blocks, got {len(self.finals)}: "
                "the race needs a block of its own; add one to search.blocks, or leave finals out"
            )

    @property
    def race(self) -> int:
        """Blocks before the finals."""
        return len(self.shares) - len(self.finals)

    def cost(self, panel: Panel, candidates: int, since: int = 0) -> int:
        """Return the fewest requests of the finals of ``candidates``, the baseline beside them, from a block on."""
        spent = 0
        for place, width in enumerate(self.finals, self.race):
            if place < since:
                continue
            whole, before = (panel.first(self.shares[block]).cells_per_candidate for block in (place, place - 1))
            spent += (min(width, candidates) + 1) * (whole - before)
        return spent


def reveal(sizes: Sequence[int]) -> tuple[float, ...]:
    """Return cumulative shares for block sizes, e.g. (1, 1, 2) -> (0.25, 0.5, 1.0)."""
    total = sum(sizes)
    shares, seen = [], 0
    for size in sizes:
        seen += size
        shares.append(seen / total)
    return tuple(shares)

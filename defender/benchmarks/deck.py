"""A benchmark's items, dealt into three disjoint splits, each in an order whose every prefix is stratified."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from defender.records import Item, Split, digest_of

SHARES: tuple[tuple[Split, int], ...] = (("search", 40), ("confirm", 40), ("test", 20))
_SPLIT_SALT = "defender split 1"
_ORDER_SALT = "defender order 1"
_WORD = re.compile(r"\w+")
ID_DIGITS = 16


def content_id(*parts: object) -> str:
    """Return a stable item id from the content that makes a question what it is (not from its row number)."""
    return digest_of(list(parts))[:ID_DIGITS]


def kin_of(*texts: str) -> str:
    """Return the same for texts that differ in case, white space and punctuation only, in whatever order."""
    return digest_of(sorted(" ".join(_WORD.findall(text.casefold())) for text in texts))


def split_of(kin: str) -> Split:
    """Return the split of an item: by its id or kin alone, so it never moves when rows come or go."""
    place = int(digest_of([_SPLIT_SALT, kin])[:12], 16) % 100
    for split, share in SHARES:
        if place < share:
            return split
        place -= share
    raise AssertionError("shares sum to 100")


def interleaved(items: Iterable[Item], seed: int = 0) -> tuple[Item, ...]:
    """Order items so that any prefix holds every stratum in proportion (within one item).

    Each stratum is shuffled by hash and laid evenly over [0, 1) from a hashed start, so small strata are neither
    first nor last on average. Another ``seed`` draws other prefixes, stratified as well; 0 is a deck's own order.
    """
    salt: list[object] = [_ORDER_SALT, seed] if seed else [_ORDER_SALT]
    strata: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        strata[item.stratum].append(item)
    placed: list[tuple[float, str, Item]] = []
    for stratum, members in strata.items():
        members.sort(key=lambda item: digest_of([*salt, item.id]))
        start = int(digest_of([*salt, "stratum", stratum])[:12], 16) / 16**12
        placed += [((k + start) / len(members), item.id, item) for k, item in enumerate(members)]
    return tuple(item for _, _, item in sorted(placed, key=lambda entry: entry[:2]))


def _parted(items: Iterable[Item], kin: Callable[[Item], str]) -> dict[Split, list[Item]]:
    parts: dict[Split, list[Item]] = {split: [] for split, _ in SHARES}
    for item in items:
        parts[split_of(kin(item))].append(item)
    return parts


@dataclass(frozen=True, slots=True)
class Deck:
    """All items of one benchmark by split, and as the table has them: ``rows`` that repeat an earlier one included."""

    by_split: Mapping[Split, tuple[Item, ...]]
    rows: tuple[Item, ...]

    @property
    def repeated(self) -> int:
        """How many rows had the content id of an earlier row and are in no split."""
        return len(self.rows) - len(self)

    @classmethod
    def deal(cls, items: Iterable[Item], kin: Callable[[Item], str] = lambda item: item.id) -> Deck:
        """Deal items into splits; of items with the same id the first is kept, items of one kin share a split."""
        rows = tuple(items)
        kept: dict[str, Item] = {}
        for item in rows:
            kept.setdefault(item.id, item)
        return cls(
            {split: interleaved(found) for split, found in _parted(kept.values(), kin).items()},
            rows,
        )

    def __len__(self) -> int:
        return sum(len(items) for items in self.by_split.values())

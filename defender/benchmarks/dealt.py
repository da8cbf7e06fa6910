"""What benchmarks that read a table have in common: its rows become items, the items are dealt into splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from defender.benchmarks.deck import Deck, kin_of
from defender.benchmarks.source import Source, Table
from defender.records import Item, Split, digest_of

SHOWN_DIGITS = 12


class Dealt(ABC):
    """A benchmark whose items are the rows of one table. Rows that say the same are one item."""

    source: Source
    table: Table
    _seen: tuple[int, str] | None = None

    @abstractmethod
    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row. Raises DataMissing where the row is not what it should be."""

    def takes(self, row: dict[str, Any]) -> bool:  # noqa: ARG002 - most take all
        """Tell whether a row is asked."""
        return True

    def kin(self, item: Item) -> str:
        """Return the same for items that a reader would call the same question: they never lie in two splits."""
        return kin_of(item.payload["question"])

    @cached_property
    def deck(self) -> Deck:
        """All items by split, loaded at first use. Raises DataMissing."""
        rows = self.source.rows(self.table)
        self._seen = len(rows), digest_of(rows)
        return Deck.deal((self.item(row) for row in rows if self.takes(row)), self.kin)

    def items(self, split: Split) -> Sequence[Item]:
        """Return the items of a split; any prefix is stratified. Raises DataMissing."""
        return self.deck.by_split[split]

    def rows(self) -> Sequence[Item]:
        """Return an item for every row that is asked, repeats included. Raises DataMissing."""
        return self.deck.rows

    @property
    def origin(self) -> str:
        """Say which rows these are. Once they are loaded, rows other than the pinned ones are named as such."""
        table = self.table
        if self._seen is None or self._seen == (table.rows, table.digest):
            return f"{table.title}, {table.rows} rows, sha256 {table.digest[:SHOWN_DIGITS]}"
        count, digest = self._seen
        return (
            f"{table.title}, but OTHER ROWS than the pinned ones: {count} rows, sha256 {digest[:SHOWN_DIGITS]}, where "
            f"{table.rows} rows, sha256 {table.digest[:SHOWN_DIGITS]} are expected"
        )

"""The answers behind single cells, for people who ask to read them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from defender.records import Cell, Response
from defender.store.schema import GRADES, NAMES, escaped
from defender.store.sql import SqlStore


def answered(store: SqlStore, cells: Sequence[Cell]) -> dict[Cell, Response]:
    """Return the stored answer of each cell that has one. Raises StoreError."""

    def work(connection: sa.Connection) -> dict[Cell, str]:
        found = {}
        for cell in cells:
            place = [_number(name) == GRADES.c[field] for field, name in zip(Cell._fields, cell[:4], strict=False)]
            key = connection.scalar(sa.select(GRADES.c.request).where(*place, GRADES.c.repeat == cell.repeat))
            if key:
                found[cell] = str(key)
        return found

    keys = store.database.read(work)
    kept = store.responses(keys.values())
    return {cell: kept[key] for cell, key in keys.items() if key in kept}


def _number(name: str) -> sa.ScalarSelect[int]:
    return sa.select(NAMES.c.id).where(NAMES.c.text == escaped(name)).scalar_subquery()

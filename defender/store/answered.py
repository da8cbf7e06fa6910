"""The answers behind single cells, and what requests failed of, for people who ask to read them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from defender.records import Cell, Response
from defender.store.schema import GRADES, NAMES, RESPONSES, escaped, unpacked
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


def failures(store: SqlStore) -> list[tuple[str, int, str]]:
    """Return error kind, how many requests still have no answer because of it, and what was seen of one of them.

    Raises:
        StoreError
    """
    failed = (
        sa.select(RESPONSES.c.error, sa.func.count(), sa.func.max(RESPONSES.c.body))
        .where(RESPONSES.c.error.is_not(None))
        .group_by(RESPONSES.c.error)
        .order_by(sa.func.count().desc(), RESPONSES.c.error)
    )
    rows = store.database.read(lambda connection: connection.execute(failed).all())
    return [(error, count, unpacked(body).detail) for error, count, body in rows]


def _number(name: str) -> sa.ScalarSelect[int]:
    return sa.select(NAMES.c.id).where(NAMES.c.text == escaped(name)).scalar_subquery()

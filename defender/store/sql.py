"""The run's store: every paid-for answer, every grade, the spend, and the run's documents."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import repeat as always
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from defender.address import Address
from defender.errors import StoreError
from defender.records import Cell, Charge, Grade, Response
from defender.store.database import Database, Insert
from defender.store.places import open_database
from defender.store.schema import (
    COUNTERS,
    ERRANDS,
    GRADES,
    HOW,
    NAMES,
    NOTES,
    PLACE,
    RESPONSES,
    SCHEMA,
    SCHEMA_VERSION,
    compact,
    escaped,
    packed,
    unescaped,
    unpacked,
)  # fmt: skip

CHUNK = 500
"""Values per SELECT: below the variable limit of every SQLite."""

COUNTED = (
    *("reserved", "tokens", "nanousd", "milliseconds"),
    *("settled", "prompt_tokens", "completion_tokens", "answers", "errors"),
)
_T = TypeVar("_T")

# Built once: building a statement costs more than running it on a small batch.
_SOME: sa.BindParameter[Any] = sa.bindparam("some", expanding=True)
_RESPONSES_OF = sa.select(RESPONSES.c.key, RESPONSES.c.body).where(RESPONSES.c.key.in_(_SOME))
_IDS_OF = sa.select(NAMES.c.text, NAMES.c.id).where(NAMES.c.text.in_(_SOME))
_DONE = sa.update(ERRANDS).where(ERRANDS.c.key == sa.bindparam("one")).values(done=True)
_NAMES_OF = sa.select(NAMES.c.id, NAMES.c.text).where(NAMES.c.id.in_(_SOME))


class SqlStore:
    """Implements ``Store`` on one database. Any thread may call it; reads go on beside the writer."""

    def __init__(
        self,
        where: str | Path | Address,
        *,
        readonly: bool = False,
        busy_seconds: float = 10.0,
        database: Database | None = None,
    ) -> None:
        """Open a run's database, creating it when absent.

        Args:
            where: the SQLite file (path or URL), or the run's address on a server.
            readonly: only read an existing run; takes no lock, so it works beside the process that writes.
            busy_seconds: how long to wait for a foreign lock on a file before giving up.
            database: the database, opened already; it is closed with the store.

        Raises:
            StoreError: another process writes to this run, the place cannot be opened, or it is not a run.
        """
        self.database = database or open_database(where, "reader" if readonly else "owner", busy_seconds)
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        insert = self.database.insert
        self._keep_responses = _replacing(insert(RESPONSES), "key")
        self._keep_notes = _replacing(insert(NOTES), "kind", "key")
        self._keep_names = insert(NAMES).on_conflict_do_nothing(index_elements=["text"])
        grades, counters = insert(GRADES), insert(COUNTERS)
        scored = grades.excluded.score.is_not(None) | GRADES.c.score.is_(None)
        self._keep_grades = _replacing(grades, *PLACE, where=scored)
        total = {"value": COUNTERS.c.value + counters.excluded.value}
        self._count = counters.on_conflict_do_update(index_elements=["name"], set_=total)
        try:
            self.database.prepare(SCHEMA, SCHEMA_VERSION)
        except StoreError:
            self.database.close()
            raise

    def commit(
        self,
        responses: Sequence[tuple[str, Response]] = (),
        grades: Sequence[tuple[Cell, str, Grade]] = (),
        charges: Sequence[Charge] = (),
    ) -> Sequence[bool]:
        """Write everything in one transaction; see ``contracts.Store``.

        A response equal to the stored one is a repetition and changes nothing. Any other one was paid for: its
        attempts and tokens count, even where an answer that is already there keeps its place.
        """

        def work(connection: sa.Connection) -> tuple[list[bool], dict[str, int]]:
            tally = self._write_responses(connection, responses)
            learned = self._write_grades(connection, grades)
            taken = _taken(connection, charges, tally)
            if responses and self.database.shared:
                connection.execute(_DONE, [{"one": key} for key in sorted({key for key, _ in responses})])
            if moved := [{"name": name, "value": by} for name, by in sorted(tally.items()) if by]:
                connection.execute(self._count, moved)
            return taken, learned

        taken, learned = self.database.write(work)
        self._ids.update(learned)  # only now: ids of a transaction that was rolled back do not exist
        return taken

    def responses(self, keys: Iterable[str]) -> dict[str, Response]:
        """Return the stored answers among ``keys``; failed responses are absent. Raises StoreError."""
        wanted = set(keys)
        return self.database.read(lambda c: {key: kept for key, kept in _stored(c, wanted) if kept.error is None})

    def grades(self, candidate: str) -> dict[Cell, Grade]:
        """Return every stored grade of one candidate (as named in its cells). Raises StoreError."""
        cells, graded, names = self._graded(candidate, "score", *HOW)
        shared: dict[tuple[Any, ...], Grade] = {}  # a million cells hold few different grades
        for mark in set(graded):
            outcome: Any = names[mark[1]]
            shared[mark] = Grade(mark[0], outcome, names[mark[2]], names[mark[3]])
        return dict(zip(cells, map(shared.__getitem__, graded), strict=True))

    def requests(self, candidate: str) -> dict[Cell, str]:
        """Return the request key of every graded cell of one candidate. Raises StoreError."""
        cells, found, _ = self._graded(candidate, "request")
        return dict(zip(cells, (key for (key,) in found), strict=True))

    def _graded(self, candidate: str, *wanted: str) -> tuple[Iterator[Cell], list[tuple[Any, ...]], Mapping[int, str]]:
        """Return the cells of a candidate, what else is wanted of each, and id -> name; by columns: quicker."""
        columns = [GRADES.c[name] for name in (*Cell._fields[1:], *wanted)]
        named = [place for place, name in enumerate((*Cell._fields[1:], *wanted)) if name in (*Cell._fields[1:4], *HOW)]
        number = sa.select(NAMES.c.id).where(NAMES.c.text == escaped(candidate)).scalar_subquery()

        def work(connection: sa.Connection) -> tuple[list[tuple[Any, ...]], Mapping[int, str]]:
            rows = connection.execute(sa.select(*columns).where(GRADES.c.candidate == number)).all()
            columnwise = list(zip(*rows, strict=True))
            return columnwise, self._named(
                connection, {id_ for place in named for id_ in columnwise[place]} if rows else ()
            )

        columnwise, names = self.database.read(work)
        if not columnwise:
            return iter(()), [], names
        identity, benchmark, item = ([names[id_] for id_ in columnwise[place]] for place in (0, 1, 2))
        cells = map(Cell._make, zip(always(candidate), identity, benchmark, item, columnwise[3], strict=False))
        return cells, list(zip(*columnwise[4:], strict=True)), names

    def spend(self) -> Mapping[str, int]:
        """Return the counters. Raises StoreError.

        ``reserved``: wire requests paid for. ``settled``, ``prompt_tokens``, ``completion_tokens``: attempts and
        tokens of every response ever committed, failed ones included. ``answers``, ``errors``: keys whose stored
        response is an answer, or a failure. Counters that charges moved beside these come after them.
        """
        found = self.database.read(lambda c: {row.name: row.value for row in c.execute(sa.select(COUNTERS))})
        return dict.fromkeys(COUNTED, 0) | found

    def note(self, kind: str, key: str, value: Mapping[str, object]) -> None:
        """Write one JSON document, durably; the same (kind, key) keeps its place and takes the new value.

        Raises:
            StoreError: nothing was written.
            TypeError: ``value`` is not made of JSON's types.
        """
        row = {"kind": escaped(kind), "key": escaped(key), "body": compact(dict(value))}
        self.database.write(lambda connection: connection.execute(self._keep_notes, row).close())

    def notes(self, kind: str) -> dict[str, dict[str, object]]:
        """Return the documents of a kind by key, in order of first writing. Raises StoreError."""
        wanted = sa.select(NOTES.c.key, NOTES.c.body).where(NOTES.c.kind == escaped(kind)).order_by(NOTES.c.id)
        return self.database.read(lambda c: {unescaped(key): json.loads(body) for key, body in c.execute(wanted)})

    def close(self) -> None:
        """Release the database and the writer's lock. Idempotent."""
        self.database.close()

    def _write_responses(self, connection: sa.Connection, responses: Sequence[tuple[str, Response]]) -> Counter[str]:
        """Upsert what is new; return how the counters move."""
        tally: Counter[str] = Counter()
        known = dict(_stored(connection, {key for key, _ in responses}))
        fresh: dict[str, Response] = {}
        for key, response in responses:
            before = known.get(key)
            if before == response:
                continue
            tally["settled"] += response.attempts
            tally["prompt_tokens"] += response.prompt_tokens
            tally["completion_tokens"] += response.completion_tokens
            if before is not None and before.error is None:
                continue
            if before is not None:
                tally["errors"] -= 1
            tally["answers" if response.error is None else "errors"] += 1
            known[key] = fresh[key] = response
        if fresh:
            rows = [{"key": k, "error": r.error, "body": packed(r)} for k, r in fresh.items()]
            connection.execute(self._keep_responses, rows)
        return tally

    def _write_grades(self, connection: sa.Connection, grades: Sequence[tuple[Cell, str, Grade]]) -> dict[str, int]:
        """Upsert grades; return the ids of names that were not known before."""
        latest: dict[Cell, tuple[str, Grade]] = {}
        for cell, key, grade in grades:
            if grade.score is not None or cell not in latest or latest[cell][1].score is None:
                latest[cell] = (key, grade)
        if not latest:
            return {}
        used = {name for cell in latest for name in cell[:4]}
        used |= {name for _, g in latest.values() for name in (g.outcome, g.grader, g.reason)}
        learned = self._interned(connection, used - self._ids.keys())
        ids = {name: self._ids[name] for name in used if name not in learned} | learned
        rows = []
        for cell, (key, g) in latest.items():
            row = {field: ids[name] for field, name in zip(Cell._fields, cell[:4], strict=False)}
            how = {"outcome": ids[g.outcome], "grader": ids[g.grader], "reason": ids[g.reason]}
            rows.append({**row, "repeat": cell.repeat, "request": key, "score": g.score, **how})
        connection.execute(self._keep_grades, rows)
        return learned

    def _interned(self, connection: sa.Connection, names: Collection[str]) -> dict[str, int]:
        """Return the ids of ``names``, giving new ones to those without."""
        if not names:
            return {}
        connection.execute(self._keep_names, [{"text": escaped(name)} for name in sorted(names)])
        found: dict[str, int] = {}
        for some in _chunks([escaped(name) for name in names]):
            found.update((unescaped(text), id_) for text, id_ in connection.execute(_IDS_OF, {"some": some}))
        return found

    def _named(self, connection: sa.Connection, ids: Collection[int]) -> Mapping[int, str]:
        """Return id -> name for at least ``ids``; names never change, so they are read once."""
        for some in _chunks([id_ for id_ in ids if id_ not in self._names]):
            rows = connection.execute(_NAMES_OF, {"some": some})
            self._names.update((id_, unescaped(text)) for id_, text in rows)
        return self._names


def _replacing(insert: Insert, *key: str, where: sa.ColumnElement[bool] | None = None) -> Insert:
    """Return an upsert: a row with the same ``key`` columns takes the new values (``where`` that holds)."""
    table = insert.table
    taken = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in (*key, "id")}
    return insert.on_conflict_do_update(index_elements=list(key), set_=taken, where=where)


def _stored(connection: sa.Connection, keys: Collection[str]) -> Iterator[tuple[str, Response]]:
    """Yield the stored responses among ``keys``, failed ones too."""
    for some in _chunks(list(keys)):
        for key, body in connection.execute(_RESPONSES_OF, {"some": some}):
            yield key, unpacked(body)


def _taken(connection: sa.Connection, charges: Sequence[Charge], tally: Counter[str]) -> list[bool]:
    """Add the charges that keep their limits to ``tally``; the transaction holds the only right to write."""
    if not any(charge.within for charge in charges):
        current: Counter[str] = Counter()
    else:
        current = Counter({row.name: row.value for row in connection.execute(sa.select(COUNTERS))})
        current.update(tally)
    taken = []
    for charge in charges:
        over = any(by > 0 and current[name] + by > charge.within.get(name, inf) for name, by in charge.by.items())
        taken.append(not over)
        if not over:
            current.update(charge.by)
            tally.update(charge.by)
    return taken


def _chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))

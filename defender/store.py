"""The run's store: every paid-for answer, every grade, the spend, and the run's documents.

Names that repeat in a million cells (candidate, identity, item, grader, ...) are kept once in ``names``; cells hold
integers. An answer is one compact JSON text, ASCII-escaped, so that NUL and lone surrogates survive in any database.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from defender.database import Database, Insert
from defender.errors import StoreError
from defender.records import Cell, Charge, Grade, Response

SCHEMA_VERSION = 1
CHUNK = 500
"""Values per SELECT: below the variable limit of every SQLite."""

COUNTED = (
    *("reserved", "tokens", "nanousd", "milliseconds"),
    *("settled", "prompt_tokens", "completion_tokens", "answers", "errors"),
)
_T = TypeVar("_T")
_PLACE = ("candidate", "benchmark", "item", "identity", "repeat")
_HOW = ("outcome", "grader", "reason")
_compact = json.JSONEncoder(separators=(",", ":")).encode
_DEFAULTS = tuple((f.name, f.default) for f in fields(Response))


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, **options)


SCHEMA = sa.MetaData()
META = sa.Table("meta", SCHEMA, _text("name", primary_key=True), _text("value"))
COUNTERS = sa.Table(
    "counters", SCHEMA, _text("name", primary_key=True), sa.Column("value", sa.BigInteger, nullable=False)
)
NAMES = sa.Table("names", SCHEMA, sa.Column("id", sa.Integer, primary_key=True), _text("text", unique=True))
RESPONSES = sa.Table("responses", SCHEMA, _text("key", primary_key=True), sa.Column("error", sa.Text), _text("body"))
GRADES = sa.Table(
    "grades",
    SCHEMA,
    *(sa.Column(name, sa.Integer, primary_key=True, autoincrement=False) for name in _PLACE),
    _text("request"),
    sa.Column("score", sa.Double),
    *(sa.Column(name, sa.Integer, nullable=False) for name in _HOW),
    sqlite_with_rowid=False,
)
NOTES = sa.Table(
    "notes",
    SCHEMA,
    sa.Column("id", sa.Integer, primary_key=True),
    _text("kind"),
    _text("key"),
    _text("body"),
    sa.UniqueConstraint("kind", "key"),
)

# Built once: building a statement costs more than running it on a small batch.
_SOME: sa.BindParameter[Any] = sa.bindparam("some", expanding=True)
_RESPONSES_OF = sa.select(RESPONSES.c.key, RESPONSES.c.body).where(RESPONSES.c.key.in_(_SOME))
_IDS_OF = sa.select(NAMES.c.text, NAMES.c.id).where(NAMES.c.text.in_(_SOME))
_NAMES_OF = sa.select(NAMES.c.id, NAMES.c.text).where(NAMES.c.id.in_(_SOME))


class SqlStore:
    """Implements ``Store`` on one database. Any thread may call it; on SQLite reads go on beside the writer."""

    def __init__(self, where: str | Path, *, readonly: bool = False, busy_seconds: float = 10.0) -> None:
        """Open a run's database, creating it when absent.

        Args:
            where: path of the SQLite file, or an SQLAlchemy URL.
            readonly: only read an existing run; takes no lock, so it works beside the process that writes.
            busy_seconds: how long to wait for a foreign lock before giving up.

        Raises:
            StoreError: another process writes to this run, the file cannot be opened, or it is not a run.
        """
        self._database = Database(where, readonly=readonly, busy_seconds=busy_seconds)
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        insert = self._database.insert
        self._keep_responses = _replacing(insert(RESPONSES), "key")
        self._keep_notes = _replacing(insert(NOTES), "kind", "key")
        self._keep_names = insert(NAMES).on_conflict_do_nothing(index_elements=["text"])
        grades, counters = insert(GRADES), insert(COUNTERS)
        scored = grades.excluded.score.is_not(None) | GRADES.c.score.is_(None)
        self._keep_grades = _replacing(grades, *_PLACE, where=scored)
        total = {"value": COUNTERS.c.value + counters.excluded.value}
        self._count = counters.on_conflict_do_update(index_elements=["name"], set_=total)
        try:
            self._database.prepare(SCHEMA, SCHEMA_VERSION)
        except StoreError:
            self._database.close()
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
        with self._database.writing() as connection:
            tally = self._write_responses(connection, responses)
            learned = self._write_grades(connection, grades)
            taken = _taken(connection, charges, tally)
            if moved := [{"name": name, "value": by} for name, by in tally.items() if by]:
                connection.execute(self._count, moved)
        self._ids.update(learned)  # only now: ids of a transaction that was rolled back do not exist
        return taken

    def responses(self, keys: Iterable[str]) -> dict[str, Response]:
        """Return the stored answers among ``keys``; failed responses are absent. Raises StoreError."""
        with self._database.reading() as connection:
            return {key: kept for key, kept in _stored(connection, set(keys)) if kept.error is None}

    def grades(self, candidate: str) -> dict[Cell, Grade]:
        """Return every stored grade of one candidate (as named in its cells). Raises StoreError."""
        columns = [GRADES.c[name] for name in (*Cell._fields[1:], "score", *_HOW)]
        number = sa.select(NAMES.c.id).where(NAMES.c.text == _escaped(candidate)).scalar_subquery()
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(*columns).where(GRADES.c.candidate == number)).all()
            names = self._named(connection, {id_ for row in rows for id_ in (*row[:3], *row[5:])})
        shared: dict[tuple[Any, ...], Grade] = {}  # a million cells hold few different grades
        cells: dict[Cell, Grade] = {}
        for identity, benchmark, item, repeat, *graded in rows:
            grade = shared.get(mark := tuple(graded))
            if grade is None:
                outcome: Any = names[graded[1]]
                grade = shared[mark] = Grade(graded[0], outcome, names[graded[2]], names[graded[3]])
            cells[Cell(candidate, names[identity], names[benchmark], names[item], repeat)] = grade
        return cells

    def spend(self) -> Mapping[str, int]:
        """Return the counters. Raises StoreError.

        ``reserved``: wire requests paid for. ``settled``, ``prompt_tokens``, ``completion_tokens``: attempts and
        tokens of every response ever committed, failed ones included. ``answers``, ``errors``: keys whose stored
        response is an answer, or a failure. Counters that charges moved beside these come after them.
        """
        with self._database.reading() as connection:
            found = {row.name: row.value for row in connection.execute(sa.select(COUNTERS))}
        return dict.fromkeys(COUNTED, 0) | found

    def note(self, kind: str, key: str, value: Mapping[str, object]) -> None:
        """Write one JSON document, durably; the same (kind, key) keeps its place and takes the new value.

        Raises:
            StoreError: nothing was written.
            TypeError: ``value`` is not made of JSON's types.
        """
        row = {"kind": _escaped(kind), "key": _escaped(key), "body": _compact(dict(value))}
        with self._database.writing() as connection:
            connection.execute(self._keep_notes, row)

    def notes(self, kind: str) -> dict[str, dict[str, object]]:
        """Return the documents of a kind by key, in order of first writing. Raises StoreError."""
        wanted = sa.select(NOTES.c.key, NOTES.c.body).where(NOTES.c.kind == _escaped(kind)).order_by(NOTES.c.id)
        with self._database.reading() as connection:
            return {_unescaped(key): json.loads(body) for key, body in connection.execute(wanted)}

    def close(self) -> None:
        """Release the database and the writer's lock. Idempotent."""
        self._database.close()

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
            rows = [{"key": k, "error": r.error, "body": _packed(r)} for k, r in fresh.items()]
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
        connection.execute(self._keep_names, [{"text": _escaped(name)} for name in sorted(names)])
        found: dict[str, int] = {}
        for some in _chunks([_escaped(name) for name in names]):
            found.update((_unescaped(text), id_) for text, id_ in connection.execute(_IDS_OF, {"some": some}))
        return found

    def _named(self, connection: sa.Connection, ids: Collection[int]) -> Mapping[int, str]:
        """Return id -> name for at least ``ids``; names never change, so they are read once."""
        for some in _chunks([id_ for id_ in ids if id_ not in self._names]):
            rows = connection.execute(_NAMES_OF, {"some": some})
            self._names.update((id_, _unescaped(text)) for id_, text in rows)
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
            yield key, _unpacked(body)


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


def _packed(response: Response) -> str:
    """Return a response as JSON without the fields that say nothing."""
    values = ((name, getattr(response, name), default) for name, default in _DEFAULTS)
    return _compact({name: value for name, value, default in values if value != default})


def _unpacked(body: str) -> Response:
    values = json.loads(body)
    if values.get("first_token") is not None:
        values["first_token"] = tuple((token, logprob) for token, logprob in values["first_token"])
    return Response(**values)


def _escaped(name: str) -> str:
    """Return a name as any database can hold it (JSON's escapes); plain ASCII stays as it is."""
    return json.dumps(name)[1:-1]


def _unescaped(text: str) -> str:
    name: str = json.loads(f'"{text}"')
    return name

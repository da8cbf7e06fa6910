"""The tables of a run, and how a response and a name are written in them.

Names that repeat in a million cells (candidate, identity, item, grader, ...) are kept once in ``names``; cells hold
integers. An answer is one compact JSON text, ASCII-escaped, so that NUL and lone surrogates survive in any database.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from defender.records import Request, Response, Sampling

SCHEMA_VERSION = 1
PLACE = ("candidate", "benchmark", "item", "identity", "repeat")
HOW = ("outcome", "grader", "reason")
compact = json.JSONEncoder(separators=(",", ":")).encode
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
    *(sa.Column(name, sa.Integer, primary_key=True, autoincrement=False) for name in PLACE),
    _text("request"),
    sa.Column("score", sa.Double),
    *(sa.Column(name, sa.Integer, nullable=False) for name in HOW),
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

SHARED = sa.MetaData()
"""What a run on a server has beside them, so that several processes can work on it."""

WRITERS = sa.Table(
    "writers", SHARED, _text("id", primary_key=True), sa.Column("commits", sa.BigInteger, nullable=False)
)
ERRANDS = sa.Table(
    "errands",
    SHARED,
    _text("key", primary_key=True),
    sa.Column("place", sa.BigInteger, sa.Identity(), unique=True),
    _text("body"),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text),
    sa.Column("until", sa.Double),
    sa.Column("lease", sa.Double),
    sa.Column("leases", sa.Integer, nullable=False, server_default="0"),
    sa.Column("done", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("refusal", sa.Text),
)
PRESENCES = sa.Table(
    "presences",
    SHARED,
    _text("name", primary_key=True),
    sa.Column("seen", sa.Double, nullable=False),
    sa.Column("ended", sa.Boolean, nullable=False),
)


def packed(response: Response) -> str:
    """Return a response as JSON without the fields that say nothing."""
    values = ((name, getattr(response, name), default) for name, default in _DEFAULTS)
    return compact({name: value for name, value, default in values if value != default})


def unpacked(body: str) -> Response:
    """Return what ``packed`` wrote."""
    values = json.loads(body)
    if values.get("first_token") is not None:
        values["first_token"] = tuple((token, logprob) for token, logprob in values["first_token"])
    return Response(**values)


def escaped(name: str) -> str:
    """Return a name as any database can hold it (JSON's escapes); plain ASCII stays as it is."""
    return json.dumps(name)[1:-1]


def unescaped(text: str) -> str:
    """Return what ``escaped`` wrote."""
    name: str = json.loads(f'"{text}"')
    return name


def packed_request(request: Request) -> str:
    """Return a request as JSON."""
    return compact(asdict(request))


def unpacked_request(body: str) -> Request:
    """Return what ``packed_request`` wrote."""
    values = json.loads(body)
    messages = tuple((role, content) for role, content in values.pop("messages"))
    return Request(messages, Sampling(**values.pop("sampling")), **values)

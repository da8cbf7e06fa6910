"""Opening the database of a run where it is: a SQLite file, or a schema on a server."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from defender.address import Address, address_of
from defender.errors import ConfigError, StoreError
from defender.store.database import Database
from defender.store.file import FileDatabase
from defender.store.server import Role, ServerDatabase


def open_database(where: str | Path | Address, role: Role, busy_seconds: float = 10.0) -> Database:
    """Open the database of a run. Raises StoreError."""
    if isinstance(where, Address):
        return ServerDatabase(where, role)
    path = where
    if isinstance(where, str) and where.startswith("sqlite:"):
        path = sa.make_url(where).database or ""
        if path in ("", ":memory:"):
            raise StoreError(f"expected a SQLite file, got {where!r}; a run in memory would not survive its process")
    elif isinstance(where, str) and "://" in where:
        try:
            return ServerDatabase(address_of(where), role)
        except ConfigError as error:
            raise StoreError(f"expected a file path or a database URL: {error}") from error
    return FileDatabase(Path(path), readonly=role == "reader", busy_seconds=busy_seconds)


def is_begun(where: Path | Address) -> bool:
    """Tell whether a run has tables there. Raises StoreError: the place cannot be looked at."""
    if isinstance(where, Path) and not where.exists():
        return False
    database = open_database(where, "reader")
    try:
        return bool(database.found())
    finally:
        database.close()

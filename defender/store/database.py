"""What every open database does, whatever it lives in: read, write whole, hold one run's tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from defender.errors import StoreError

Insert: TypeAlias = sqlite.Insert | postgresql.Insert
"""An INSERT that knows ON CONFLICT."""

T = TypeVar("T")
Work: TypeAlias = Callable[[sa.Connection], T]
"""What is done in one transaction. It may be called again when the transaction was lost, so it changes nothing else."""


class Database(ABC):
    """One run's database. Any thread may use it."""

    shared = False
    """Whether several processes may write to it."""

    where: str
    """Where it is, for messages; without a password."""

    @abstractmethod
    def read(self, work: Work[T]) -> T:
        """Return what ``work`` reads, from one consistent state. Raises StoreError."""

    @abstractmethod
    def write(self, work: Work[T]) -> T:
        """Do ``work`` in a transaction that nobody else writes beside; durable on return, undone when it raises."""

    @abstractmethod
    def insert(self, table: sa.Table) -> Insert:
        """Return an INSERT that knows ON CONFLICT in this database's dialect."""

    @abstractmethod
    def found(self) -> list[str]:
        """Return the names of the tables that are there. Raises StoreError."""

    @abstractmethod
    def create(self, schema: sa.MetaData, version: int) -> None:
        """Create the tables of ``schema``. Raises StoreError."""

    @abstractmethod
    def close(self) -> None:
        """Release connections and lock. Idempotent."""

    def prepare(self, schema: sa.MetaData, version: int) -> None:
        """Create the tables of ``schema`` in an empty database, or check that they are there.

        ``schema`` has a table ``meta`` (name, value) where the version is kept.

        Raises:
            StoreError: the database belongs to something else, or to another version.
        """
        meta = schema.tables["meta"]
        tables = self.found()
        found: str | None = None
        if "meta" in tables:
            kept = sa.select(meta.c.value).where(meta.c.name == "schema")
            found = self.read(lambda connection: connection.scalar(kept))
        if found == str(version):
            return
        if tables:
            what = f"version {found} of a run database" if found else f"a database with tables {sorted(tables)}"
            raise StoreError(
                f"expected version {version} of a run database at {self.where}, got {what}; "
                "name another run, or read this one with the release of defender that wrote it"
            )
        self.create(schema, version)


def make_tables(connection: sa.Connection, schema: sa.MetaData, version: int) -> None:
    """Create the tables and say which version they are."""
    schema.create_all(connection)
    connection.execute(sa.insert(schema.tables["meta"]).values(name="schema", value=str(version)))

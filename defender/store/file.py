"""A run in a SQLite file: who may write, and what its failures mean in words.

The file is opened with a write-ahead log and synchronous=FULL, so that a commit that returned survives kill -9 and
a power cut. One writer: an advisory lock beside the file, which the kernel drops when its process dies.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TextIO
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from defender.errors import StoreError
from defender.store.database import Database, Insert, T, Work, make_tables

if sys.platform != "win32":
    import fcntl

WAL_PAGES = 4000
"""Pages (16 MB) the log may hold before they are copied into the file: fewer, larger copies than SQLite's 1000."""

_ADVICE = {
    "SQLITE_FULL": ("the disk is full", "free some space and resume the run"),
    "SQLITE_IOERR": (
        "the disk refused to write (failing, over quota, or a file size limit)",
        "check the disk, `ulimit -f` and the quota, then resume the run",
    ),
    "SQLITE_READONLY": ("it is read-only", "make the file and its folder writable, or name another run"),
    "SQLITE_CANTOPEN": (
        "it cannot be opened",
        "check that its folder exists, is a folder and may be written, or name another run",
    ),
    "SQLITE_BUSY": ("another program holds it locked", "close that program and run the same command again"),
    "SQLITE_NOTADB": ("it is not a SQLite file", "name another run, or move this file away"),
    "SQLITE_CORRUPT": ("the file is damaged", "restore it from a copy, or name another run"),
}


class FileDatabase(Database):
    """A connection pool on one SQLite file, with one writer at a time."""

    def __init__(self, path: Path, *, readonly: bool, busy_seconds: float) -> None:
        """Take the writer's lock (unless ``readonly``) and point the pool at the file.

        Raises:
            StoreError: another process holds the lock, or the place is unusable.
        """
        self.path = path.resolve()
        self.where = str(self.path)
        self._readonly = readonly
        self._turn = Lock()
        self._closed = False
        self._lock: TextIO | None = None
        with self._explained():
            self._lock = None if readonly else _held_lock(self.path)
            url = _readonly_url(self.path) if readonly else sa.URL.create("sqlite", database=str(self.path))
            self._engine = sa.create_engine(url, connect_args={"timeout": busy_seconds})
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)

    def read(self, work: Work[T]) -> T:
        """Return what ``work`` reads. Raises StoreError."""
        self._refuse_closed()
        with self._explained(), self._engine.connect() as connection:
            return work(connection)

    def write(self, work: Work[T]) -> T:
        """Do ``work`` in one transaction. Raises StoreError."""
        if self._readonly:
            raise StoreError(f"{self.where} was opened for reading only; open the run without readonly to write")
        with self._turn:
            self._refuse_closed()
            with self._explained(), self._engine.connect() as connection:
                connection.execution_options(write=True)
                with connection.begin():
                    return work(connection)

    def found(self) -> list[str]:
        """Return the names of the tables that are there. Raises StoreError."""
        return self.read(lambda connection: sa.inspect(connection).get_table_names())

    def create(self, schema: sa.MetaData, version: int) -> None:
        """Create the tables. Raises StoreError: also for a reader, who finds a run that has only just begun."""
        if self._readonly:
            raise StoreError(f"{self.where} holds nothing yet; run the command that began this run again to go on")
        self._turn_on_wal()
        self.write(lambda connection: make_tables(connection, schema, version))

    def insert(self, table: sa.Table) -> Insert:
        """Return an INSERT that knows ON CONFLICT."""
        return sqlite.insert(table)

    def close(self) -> None:
        """Release connections and lock. Idempotent."""
        with self._turn:
            self._closed = True
            self._engine.dispose()
            if self._lock:
                self._lock.close()

    def _turn_on_wal(self) -> None:
        """Set the journal mode, kept in the file: only once it is known to be ours, and outside a transaction."""
        with self._explained():
            raw = self._engine.raw_connection()
            raw.cursor().execute("PRAGMA journal_mode=WAL")
            raw.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreError(f"{self.where} was closed; open the run again")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the database or the disk says into a StoreError that names path, cause and remedy."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
            name = getattr(cause, "sqlite_errorname", "")
            for prefix, (meaning, remedy) in _ADVICE.items():
                if name.startswith(prefix):
                    raise StoreError(f"cannot use {self.where}: {meaning} ({cause}); {remedy}") from error
            raise StoreError(
                f"cannot use {self.where}: {cause}; check the path and its permissions, or name another run"
            ) from error


def _readonly_url(path: Path) -> sa.URL:
    """Return a URL that never writes. A run on a read-only disk, closed in order, needs no log beside it."""
    if not path.is_file():
        raise StoreError(f"no run database at {path}; check the run's name (`defender report` reads finished runs)")
    query = {"uri": "true", "mode": "ro"}
    if not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists():
        query["immutable"] = "1"
    return sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)


def _held_lock(path: Path) -> TextIO | None:
    """Return a file that holds the writer's lock until it is closed or its process dies.

    Raises:
        StoreError: another process holds it.
        OSError: the lock file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":  # no flock: SQLite's own locks still keep the data whole
        return None
    file = path.with_name(path.name + ".lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StoreError(
            f"{path} is being written by another process (pid {holder}); "
            "wait for it or stop it, then run the same command again, or name another run"
        ) from None
    except OSError:
        file.close()
        raise
    return file


def _configure(connection: Any, _record: object) -> None:
    """Leave BEGIN to ``_begin``, and make every commit reach the disk."""
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")


def _begin(connection: sa.Connection) -> None:
    """Begin for real. A writer takes SQLite's write lock at once rather than in mid-transaction."""
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

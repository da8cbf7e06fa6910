"""A run in a PostgreSQL schema of its own: who may write, and how a lost connection costs nothing.

Everyone who writes takes turns: a transaction begins by waiting for the run's turn, an advisory lock that ends with
it. A connection lost in a commit leaves open whether it was kept, so every transaction counts itself in ``writers``:
whoever tries it again finds out under the same lock.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Timer
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from defender.address import Address
from defender.errors import StoreError, install
from defender.store.database import Database, Insert, T, Work, make_tables
from defender.store.schema import SHARED, WRITERS

Role = Literal["owner", "worker", "reader"]
"""The owner is the one process that searches; workers write beside it; readers only look."""

PATIENCE_S = 60.0
"""How long a lost connection is waited for before the work ends, in order."""

STUCK_S = 25.0
"""Seconds without a word from the server after which a connection counts as lost."""

_GONE_S = 3.0
"""How long a process that was killed may seem to hold its run."""

_IDLE_MS = 10_000
"""A transaction whose client has gone silent is undone by the server after this, and its locks are freed."""

_AGAIN = ("08", "40", "57P", "25P03", "53300", "55P03")
"""Beginnings of the SQLSTATEs that pass: connections lost, servers that stop or start, deadlocks, no free slot."""

_ADVICE = {
    "password authentication failed": "put the password into PGPASSWORD or a PGPASSFILE, or into the URL (%-encoded)",
    "no password supplied": "put the password into PGPASSWORD or a PGPASSFILE, or into the URL (%-encoded)",
    "does not exist": "create it first (createdb, createuser), or correct the URL",
    "permission denied": "let the role create schemas in this database: GRANT CREATE ON DATABASE ... TO ...",
    "No space left": "free some space on the server and resume the run",
}
_TURN = sa.text("SELECT pg_advisory_xact_lock(:turn)")
_OWN = sa.text("SELECT pg_try_advisory_lock(:owner)")
_HOLDER = sa.text(
    "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'"
    " AND l.granted AND l.objsubid = 1 AND l.classid::bigint = :owner >> 32 AND l.objid::bigint = :owner & 4294967295"
)


class ServerDatabase(Database):
    """One run's schema on a server. Reads come from a pool; writes go through one connection of their own."""

    shared = True

    def __init__(self, address: Address, role: Role, *, patience_s: float = PATIENCE_S) -> None:
        """Connect, and as the owner take the run.

        Raises:
            StoreError: the server cannot be reached, another process owns the run, or psycopg is not installed.
        """
        self.where = address.shown
        self._schema = address.schema
        self._role = role
        self._patience = patience_s
        self._id = f"{socket.gethostname()[:30]}/{os.getpid()}/{uuid.uuid4().hex[:12]}"
        lock = int.from_bytes(hashlib.sha256(self._schema.encode()).digest()[:7], "big") << 1
        self._locks = {"owner": lock, "turn": lock | 1}
        self._turn = Lock()
        self._closed = False
        self._writer: sa.Connection | None = None
        self._commits = 0
        self._met = False  # a server that never answered is a mistake in the URL, not a lost connection
        self._seq = postgresql.insert(WRITERS).on_conflict_do_update(
            index_elements=["id"], set_={"commits": postgresql.insert(WRITERS).excluded.commits}
        )
        with self._explained():
            self._engine = sa.create_engine(
                sa.make_url(address.url), connect_args=self._options(address), pool_size=4, max_overflow=4
            )
        self._reads = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        try:
            if role == "owner":
                with self._turn:
                    self._patiently(self._writing, self._drop_writer)
        except StoreError:
            self.close()
            raise

    def read(self, work: Work[T]) -> T:
        """Return what ``work`` reads; a lost connection is made again. Raises StoreError."""

        def attempt() -> T:
            with self._reads.connect() as connection, _unstuck(connection):
                return work(connection)

        return self._patiently(attempt, self._engine.dispose)

    def write(self, work: Work[T]) -> T:
        """Do ``work`` exactly once, even where the connection is lost in the middle of it. Raises StoreError."""
        if self._role == "reader":
            raise StoreError(f"{self.where} was opened for reading only; open the run without readonly to write")
        with self._turn:
            self._commits += 1
            kept: list[T] = []

            def attempt() -> T:
                again = bool(kept)
                connection = self._writing()
                with _unstuck(connection), connection.begin():
                    connection.execute(_TURN, self._locks)
                    if again and self._is_counted(connection):
                        return kept[-1]
                    kept.append(work(connection))
                    connection.execute(self._seq, {"id": self._id, "commits": self._commits})
                return kept[-1]

            return self._patiently(attempt, self._drop_writer)

    def found(self) -> list[str]:
        """Return the names of the tables in the run's schema. Raises StoreError."""
        return self.read(lambda connection: sa.inspect(connection).get_table_names(schema=self._schema))

    def create(self, schema: sa.MetaData, version: int) -> None:
        """Create the schema and its tables. Raises StoreError: also for a run that a reader or worker does not find."""
        if self._role != "owner":
            raise StoreError(f"no run at {self.where}; check the name, or start it: defender search --store URL")
        with self._turn:  # outside ``write``, which needs the tables

            def attempt() -> None:
                connection = self._writing()
                with connection.begin():
                    connection.execute(sa.schema.CreateSchema(self._schema, if_not_exists=True))
                    make_tables(connection, schema, version)
                    SHARED.create_all(connection)

            self._patiently(attempt, self._drop_writer)

    def insert(self, table: sa.Table) -> Insert:
        """Return an INSERT that knows ON CONFLICT."""
        return postgresql.insert(table)

    def close(self) -> None:
        """Release connections and the run. Idempotent."""
        with self._turn:
            self._closed = True
            self._drop_writer()
            self._engine.dispose()

    def _options(self, address: Address) -> dict[str, Any]:
        """Return what every connection is opened with; what the URL says itself goes first."""
        said = dict(sa.make_url(address.url).query)
        name = self._schema.replace("\\", "\\\\").replace('"', '""').replace(" ", "\\ ")
        settings = f'-c search_path="{name}" -c idle_in_transaction_session_timeout={_IDLE_MS}'
        # A cable that is pulled says nothing: the kernels of both sides are asked to notice.
        settings += " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
        options: dict[str, Any] = {
            "connect_timeout": 10, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3,
            "tcp_user_timeout": 20_000, "application_name": f"defender {self._id}",
        }  # fmt: skip
        return {k: v for k, v in options.items() if k not in said} | {
            "options": f"{said.get('options', '')} {settings}".strip()
        }

    def _writing(self) -> sa.Connection:
        """Return the writer's connection; the owner's holds the run for as long as it lives."""
        if self._closed:
            raise StoreError(f"{self.where} was closed; open the run again")
        if self._writer is None:
            connection = self._engine.connect()
            try:
                if self._role == "owner":
                    self._own(connection)
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
            self._writer, self._met = connection, True
        return self._writer

    def _own(self, connection: sa.Connection) -> None:
        """Take the run; a connection of ours that the server has not yet given up is ended.

        Whoever was killed a moment ago may still seem to hold it, so it is asked for again before it is refused.
        """
        begun = time.monotonic()
        while True:
            with connection.begin():
                if connection.scalar(_OWN, self._locks):
                    return
                holders = connection.execute(_HOLDER, self._locks).all()
                for pid, name in holders:
                    if self._id in name:
                        connection.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            if time.monotonic() - begun > _GONE_S:
                raise StoreError(
                    f"{self.where} is being written by another process ({', '.join(name for _, name in holders)}); "
                    "wait for it or stop it, then run the same command again, or name another run"
                )
            time.sleep(0.05)

    def _drop_writer(self) -> None:
        connection, self._writer = self._writer, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()

    def _is_counted(self, connection: sa.Connection) -> bool:
        counted = connection.scalar(sa.select(WRITERS.c.commits).where(WRITERS.c.id == self._id))
        return counted == self._commits

    def _patiently(self, attempt: Callable[[], T], lost: Callable[[], None]) -> T:
        """Try until it works, ``lost`` in between; what cannot pass or lasts longer than our patience is raised."""
        begun, pause = time.monotonic(), 0.05
        while True:
            if self._closed:
                raise StoreError(f"{self.where} was closed; open the run again")
            with self._explained():
                try:
                    done = attempt()
                    self._met = True
                    return done
                except (SQLAlchemyError, OSError) as error:
                    if not (self._met and _passes(error)):
                        raise
                    lost()
                    if time.monotonic() - begun > self._patience:
                        raise StoreError(
                            f"lost {self.where} for {self._patience:.0f} s ({_said(error)}); everything that was kept "
                            "is there: run the same command again when the server is back"
                        ) from error
            time.sleep(pause)
            pause = min(1.0, 2 * pause)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the server says into a StoreError that names place, cause and remedy."""
        try:
            yield
        except ModuleNotFoundError as error:
            raise StoreError(
                f"{self.where} needs {error.name}, which is not installed: {install('postgres')}"
            ) from error
        except (SQLAlchemyError, OSError) as error:
            said = _said(error)
            remedy = next((what for sign, what in _ADVICE.items() if sign in said), "check the URL and the server")
            raise StoreError(f"cannot use {self.where}: {said}; {remedy}") from error


@contextmanager
def _unstuck(connection: sa.Connection) -> Iterator[None]:
    """While inside, a server that falls silent ends the connection instead of holding us for ever."""
    handle = os.dup(connection.connection.dbapi_connection.fileno())  # type: ignore[union-attr]
    with socket.socket(fileno=handle) as line:

        def cut() -> None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        timer = Timer(STUCK_S, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _passes(error: BaseException) -> bool:
    """Tell whether an error is about the connection, or the moment, rather than about what was asked."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return error.connection_invalidated or type(error.orig).__name__ in ("OperationalError", "InterfaceError")
    return str(state).startswith(_AGAIN)


def _said(error: BaseException) -> str:
    """Return the server's words without SQL, parameters and line breaks."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split()) or type(cause).__name__

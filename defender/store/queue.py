"""The queue of a run on a server: a table of errands beside the responses, and who was seen when.

Leases are measured by the server's clock alone, so machines need not agree on the time. Every change takes the run's
turn to write, and is made exactly once (``ServerDatabase.write``).
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from defender.errands import Errand, Outcome, Presence
from defender.errors import StoreError
from defender.store.database import Database
from defender.store.schema import ERRANDS, PRESENCES, RESPONSES, packed_request, unpacked, unpacked_request

OWNER = "owner"
_NOW: sa.ColumnElement[float] = sa.literal_column("extract(epoch FROM clock_timestamp())::float8", sa.Double)
# While the server was down nobody could renew: leases go on for their length after it has started.
_UP: sa.ColumnElement[float] = sa.literal_column("extract(epoch FROM pg_postmaster_start_time())::float8", sa.Double)
_ENDS = sa.func.greatest(ERRANDS.c.until, _UP + ERRANDS.c.lease)
_FREE = sa.and_(~ERRANDS.c.done, sa.or_(ERRANDS.c.holder.is_(None), _ENDS < _NOW))


class SqlQueue:
    """Implements ``Queue`` on a database that several processes share. Any thread may call it."""

    def __init__(self, database: Database) -> None:
        """Use an open database of a run. Raises StoreError: it is a file, which only one process may write."""
        if not database.shared:
            raise StoreError(
                f"{database.where} is a file; workers need a run on a server: --store postgresql+psycopg://"
            )
        self._database = database

    def exchange(self, gone: Sequence[str], owed: Sequence[Errand]) -> None:
        """Take back what is done with and put what is owed. Raises StoreError."""
        rows = [{"key": e.key, "body": packed_request(e.request), "held": e.held} for e in owed]

        def work(connection: sa.Connection) -> None:
            if gone:
                connection.execute(sa.delete(ERRANDS).where(ERRANDS.c.key.in_(gone)))
            if rows:
                connection.execute(postgresql.insert(ERRANDS).on_conflict_do_nothing(index_elements=["key"]), rows)

        self._database.write(work)

    def outcomes(self) -> Sequence[Outcome]:
        """Return what was done and not taken back. Raises StoreError."""
        both = ERRANDS.outerjoin(RESPONSES, ERRANDS.c.key == RESPONSES.c.key)
        wanted = (
            sa.select(ERRANDS.c.key, ERRANDS.c.refusal, RESPONSES.c.body).select_from(both).where(ERRANDS.c.done)
        ).order_by(ERRANDS.c.place)
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        return [
            Outcome(key, None, refusal) if refusal is not None else Outcome(key, unpacked(body))
            for key, refusal, body in rows
        ]

    def withdraw(self) -> Sequence[str]:
        """Take back the errands that nobody holds. Raises StoreError."""
        taken = sa.delete(ERRANDS).where(_FREE).returning(ERRANDS.c.key)
        return self._database.write(lambda connection: list(connection.scalars(taken)))

    def lease(self, worker: str, most: int, seconds: float) -> Sequence[Errand]:
        """Return up to ``most`` errands that are the worker's for ``seconds``. Raises StoreError."""
        first = sa.select(ERRANDS.c.key).where(_FREE).order_by(ERRANDS.c.place).limit(most)
        mine = (
            sa.update(ERRANDS)
            .where(ERRANDS.c.key.in_(first))
            .values(holder=worker, until=_NOW + seconds, lease=seconds, leases=ERRANDS.c.leases + 1)
            .returning(ERRANDS.c.place, ERRANDS.c.key, ERRANDS.c.body, ERRANDS.c.held, ERRANDS.c.leases)
        )

        def work(connection: sa.Connection) -> list[Errand]:
            rows = sorted(connection.execute(mine).all(), key=lambda row: row.place)
            known: set[str] = set()
            if again := [row.key for row in rows if row.leases > 1]:  # whoever held it may have answered before
                answered = RESPONSES.c.key.in_(again) & RESPONSES.c.error.is_(None)
                known = set(connection.scalars(sa.select(RESPONSES.c.key).where(answered)))
                connection.execute(sa.update(ERRANDS).where(ERRANDS.c.key.in_(known)).values(done=True))
            return [Errand(row.key, unpacked_request(row.body), row.held) for row in rows if row.key not in known]

        return self._database.write(work)

    def renew(self, worker: str, keys: Sequence[str], seconds: float) -> Sequence[str]:
        """Say that the worker is there, and keep what it still holds of these. Raises StoreError."""
        held = (ERRANDS.c.holder == worker) & ~ERRANDS.c.done & ERRANDS.c.key.in_(keys)
        kept = sa.update(ERRANDS).where(held).values(until=_NOW + seconds, lease=seconds).returning(ERRANDS.c.key)

        def work(connection: sa.Connection) -> list[str]:
            _seen(connection, worker, ended=False)
            return list(connection.scalars(kept)) if keys else []

        return self._database.write(work)

    def refuse(self, keys: Sequence[str], why: str) -> None:
        """Say that nobody may ask these. Raises StoreError."""
        refused = sa.update(ERRANDS).where(ERRANDS.c.key.in_(keys) & ~ERRANDS.c.done).values(done=True, refusal=why)
        self._database.write(lambda connection: connection.execute(refused).close())

    def release(self, worker: str) -> None:
        """Give back what the worker holds and has not done. Raises StoreError."""
        held = (ERRANDS.c.holder == worker) & ~ERRANDS.c.done

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.update(ERRANDS).where(held).values(holder=None, until=None))
            connection.execute(sa.delete(PRESENCES).where(PRESENCES.c.name == worker))

        self._database.write(work)

    def announce(self, *, ended: bool = False) -> None:
        """Say that the owner is there, or has ended in order. Raises StoreError."""
        self._database.write(lambda connection: _seen(connection, OWNER, ended=ended))

    def owner(self) -> Presence | None:
        """Return when the owner was last seen. Raises StoreError."""
        wanted = sa.select(_NOW - PRESENCES.c.seen, PRESENCES.c.ended).where(PRESENCES.c.name == OWNER)
        row = self._database.read(lambda connection: connection.execute(wanted).first())
        return None if row is None else Presence(max(0.0, row[0]), row[1])

    def workers(self, seconds: float) -> int:
        """Return how many workers were seen in the last ``seconds``. Raises StoreError."""
        seen = (PRESENCES.c.name != OWNER) & (PRESENCES.c.seen > _NOW - seconds)
        wanted = sa.select(sa.func.count()).select_from(PRESENCES).where(seen)
        return self._database.read(lambda connection: connection.scalar(wanted)) or 0


def _seen(connection: sa.Connection, name: str, *, ended: bool) -> None:
    insert = postgresql.insert(PRESENCES)
    again = insert.on_conflict_do_update(
        index_elements=["name"], set_={"seen": insert.excluded.seen, "ended": insert.excluded.ended}
    )
    connection.execute(again.values(name=name, seen=_NOW, ended=ended))

"""Where a run is kept: a SQLite file, or a PostgreSQL schema when workers span machines. One contract for both."""

from defender.store.places import is_begun
from defender.store.sql import SqlStore

__all__ = ["SqlStore", "is_begun"]

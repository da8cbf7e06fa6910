from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from defender.address import address_of
from defender.errors import StoreError
from defender.store import SqlStore
from defender.store.queue import SqlQueue
from tests.contracts.queue import QueueContract
from tests.postgres import Postgres


class TestSqlQueue(QueueContract):
    @pytest.fixture(autouse=True)
    def _a_run(self, postgres: Postgres) -> Iterator[None]:
        self.store = SqlStore(address_of(postgres.url(), f"queue-{uuid.uuid4().hex}"))
        yield
        self.store.close()

    def open(self) -> tuple[SqlQueue, SqlStore]:
        return SqlQueue(self.store.database), self.store


def test_a_run_in_a_file_has_no_queue(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    with pytest.raises(StoreError, match=r"run\.db is a file; workers need a run on a server"):
        SqlQueue(store.database)
    store.close()

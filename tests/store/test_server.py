"""The same contract on PostgreSQL, and what only a server can get wrong."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from defender.address import Address, address_of
from defender.errors import StoreError
from defender.records import Charge
from defender.store import SqlStore
from defender.store.server import ServerDatabase
from tests.contracts.store import ANSWER, CELL, PAID, RIGHT, StoreContract
from tests.line import Line
from tests.postgres import NoPostgresError, Postgres


def place(server: Postgres, folder: Path) -> Address:
    """Return the address of a run named after a test's folder."""
    return address_of(server.url(), hashlib.sha256(str(folder).encode()).hexdigest()[:20])


class TestSqlStoreOnPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def _closed_afterwards(self, postgres: Postgres) -> Iterator[None]:
        self.server = postgres
        self.opened: list[SqlStore] = []
        yield
        for store in self.opened:
            store.close()

    @property
    def opening(self) -> str:
        place = "__import__('defender.address').address.address_of"
        name = "__import__('hashlib').sha256(str(folder).encode()).hexdigest()[:20]"
        return f"__import__('defender.store').store.SqlStore({place}({self.server.url()!r}, {name}))"

    def open(self, folder: Path) -> SqlStore:
        for store in self.opened:
            store.close()
        self.opened.append(SqlStore(place(self.server, folder)))
        return self.opened[-1]


def opened(server: Postgres, tmp_path: Path, **more: float) -> SqlStore:
    return SqlStore(place(server, tmp_path), database=ServerDatabase(place(server, tmp_path), "owner", **more))


def beside(server: Postgres, tmp_path: Path) -> SqlStore:
    return SqlStore(place(server, tmp_path), database=ServerDatabase(place(server, tmp_path), "worker"))


def test_a_second_owner_is_refused_and_workers_and_readers_are_not(postgres: Postgres, tmp_path: Path) -> None:
    with closing(opened(postgres, tmp_path)) as owner:
        with pytest.raises(StoreError, match="being written by another process"):
            SqlStore(place(postgres, tmp_path))
        with (
            closing(beside(postgres, tmp_path)) as worker,
            closing(SqlStore(place(postgres, tmp_path), readonly=True)) as reader,
        ):
            owner.commit([("a", ANSWER)], charges=[PAID])
            worker.commit([("b", ANSWER)], charges=[PAID])
            assert set(reader.responses("ab")) == {"a", "b"}
            assert reader.spend()["reserved"] == 2
            with pytest.raises(StoreError, match="reading only"):
                reader.commit([("c", ANSWER)])


def test_a_run_that_is_not_there_is_not_made_by_a_worker_or_reader(postgres: Postgres, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run at"):
        SqlStore(place(postgres, tmp_path), readonly=True)
    with pytest.raises(StoreError, match="no run at"):
        beside(postgres, tmp_path)


def test_processes_that_share_a_budget_never_overshoot_it_and_count_every_answer_once(
    postgres: Postgres, tmp_path: Path
) -> None:
    with closing(opened(postgres, tmp_path)) as owner, ThreadPoolExecutor(4) as pool:
        stores = [owner, *(beside(postgres, tmp_path) for _ in range(3))]
        within = Charge({"reserved": 1}, {"reserved": 100})

        def work(store: SqlStore) -> int:
            taken = 0
            for n in range(30):
                taken += sum(store.commit([(f"k{n}", ANSWER)], [(CELL._replace(repeat=n), f"k{n}", RIGHT)], [within]))
            return taken

        assert sum(pool.map(work, stores)) == 100
        assert owner.spend()["reserved"] == 100
        assert owner.spend()["answers"] == owner.spend()["settled"] == 30
        assert len(owner.grades(CELL.candidate)) == 30
        for store in stores[1:]:
            store.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_a_database_that_is_restarted_in_the_middle_costs_nothing_and_counts_nothing_twice(
    tmp_path: Path, how: signal.Signals
) -> None:
    try:
        server = Postgres(durable=True)
    except NoPostgresError as why:
        pytest.skip(str(why))
    try:
        with closing(opened(server, tmp_path)) as owner, ThreadPoolExecutor(2) as pool:
            worker = beside(server, tmp_path)
            going, counts = True, {"a": 0, "b": 0}

            def work(store: SqlStore, name: str) -> int:
                while going:
                    n = counts[name]
                    store.commit([(f"{name}{n}", ANSWER)], [(CELL._replace(item=f"{name}{n}"), "k", RIGHT)], [PAID])
                    assert store.responses([f"{name}{n}"])
                    counts[name] += 1
                return counts[name]

            def await_more(by: int) -> None:
                least, deadline = {name: n + by for name, n in counts.items()}, time.monotonic() + 240
                while any(counts[name] < n for name, n in least.items()) and time.monotonic() < deadline:
                    time.sleep(0.01)

            working = [pool.submit(work, owner, "a"), pool.submit(work, worker, "b")]
            await_more(3)
            server.stop(how)
            server.start()
            await_more(2)
            going = False
            done = sum(one.result(240) for one in working)
            assert owner.spend()["reserved"] == owner.spend()["settled"] == owner.spend()["answers"] == done > 4
            assert len(owner.grades(CELL.candidate)) == done
            owner.commit([("last", ANSWER)])  # takes the run again, if it has not since the restart
            with pytest.raises(StoreError, match="being written"):
                opened(server, tmp_path)
            worker.close()
    finally:
        server.remove()


def test_a_commit_whose_outcome_is_unknown_is_neither_lost_nor_counted_twice(
    postgres: Postgres, tmp_path: Path
) -> None:
    """The line is cut between client and server after any message of a commit; the server gets that one."""
    with closing(opened(postgres, tmp_path)) as owner, Line(postgres.port) as line:
        there = address_of(postgres.url(line.port), place(postgres, tmp_path).run)
        with closing(SqlStore(there, database=ServerDatabase(there, "worker"))) as store:

            def commit(n: int) -> None:
                store.commit([(f"k{n}", ANSWER)], [(CELL._replace(repeat=n), f"k{n}", RIGHT)], [PAID])

            commit(0)
            before = line.sent
            commit(1)
            messages = line.sent - before
            for n in range(2, 40):
                line.cut_after((n - 2) * messages // 38)
                commit(n)
            assert line.cuts == 38
            assert owner.spend()["reserved"] == owner.spend()["settled"] == 40
            assert len(owner.grades(CELL.candidate)) == 40


def test_a_server_that_is_lost_for_too_long_ends_the_work_in_words_and_it_goes_on_later(
    postgres: Postgres, tmp_path: Path
) -> None:
    with closing(opened(postgres, tmp_path)), Line(postgres.port) as line:
        there = address_of(postgres.url(line.port), place(postgres, tmp_path).run)
        with closing(SqlStore(there, database=ServerDatabase(there, "worker", patience_s=0.5))) as store:
            line.close()
            with pytest.raises(StoreError, match=r"lost .* for 0 s .*run the same command again"):
                store.commit([("k", ANSWER)])


def test_what_is_wrong_with_an_address_is_said_at_once_and_without_the_password(postgres: Postgres) -> None:
    for url, said in (
        (f"postgresql://nobody:s3cr3t@127.0.0.1:{postgres.port}/postgres", r'role "nobody" does not exist; create it'),
        (f"postgresql://defender:s3cr3t@127.0.0.1:{postgres.port}/absent", r'"absent" does not exist; create it'),
        ("postgresql://defender:s3cr3t@127.0.0.1:1/postgres", "refused"),
    ):
        with pytest.raises(StoreError, match=said) as caught:
            SqlStore(address_of(url, "run"))
        assert "s3cr3t" not in str(caught.value)

"""The SQL store: the contract, and what only a file can get wrong."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from defender.errors import StoreError
from defender.records import Response
from defender.store import SqlStore
from defender.store.schema import SCHEMA
from tests.contracts.store import ANSWER, CELL, PAID, RIGHT, StoreContract


class TestSqlStore(StoreContract):
    opening = '__import__("defender.store").store.SqlStore(folder / "run.db")'

    @pytest.fixture(autouse=True)
    def _closed_afterwards(self) -> Iterator[None]:
        self.opened: list[SqlStore] = []
        yield
        for store in self.opened:
            store.close()

    def open(self, folder: Path) -> SqlStore:
        self.opened.append(SqlStore(folder / "run.db"))
        return self.opened[-1]


def run(script: str, path: Path) -> subprocess.Popen[str]:
    """Start a Python process with ``path`` and the store's names at hand; it talks over pipes."""
    names = "from pathlib import Path\nfrom defender.store import SqlStore\nfrom tests.contracts.store import *"
    return subprocess.Popen(
        [sys.executable, "-c", f"{names}\npath = Path({str(path)!r})\n{script}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_reader_of_a_run_that_was_killed_as_it_began_learns_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.touch()
    with pytest.raises(StoreError, match="holds nothing yet; run the command that began this run again"):
        SqlStore(path, readonly=True)
    SqlStore(path).close()
    SqlStore(path, readonly=True).close()


def test_a_second_writer_is_refused_and_a_reader_is_not_until_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    first = run("store = SqlStore(path); store.commit([('k', ANSWER)]); print('open', flush=True); input()", path)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match=rf"run\.db.*pid {first.pid}"):
            SqlStore(path)
        with closing(SqlStore(path, readonly=True)) as reader:
            assert reader.responses(["k"]) == {"k": ANSWER}
            with pytest.raises(StoreError, match="reading only"):
                reader.commit([("k2", ANSWER)])
    finally:
        first.kill()
        first.communicate()
    with closing(SqlStore(path)) as store:
        assert store.responses(["k"]) == {"k": ANSWER}


def test_a_second_writer_in_the_same_process_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with closing(SqlStore(path)), pytest.raises(StoreError, match="being written"):
        SqlStore(path)
    SqlStore(path).close()


def test_a_reader_learns_names_written_after_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with closing(SqlStore(path)) as writer, closing(SqlStore(path, readonly=True)) as reader:
        assert reader.grades(CELL.candidate) == {}
        writer.commit(grades=[(CELL, "k", RIGHT)])
        assert reader.grades(CELL.candidate) == {CELL: RIGHT}


def test_a_disk_that_takes_no_more_is_an_error_and_nothing_of_the_commit_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    script = """
import resource
store = SqlStore(path)
store.commit([("small", ANSWER)], charges=[PAID])
soft = path.stat().st_size + 300_000
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
try:
    store.commit([(f"k{n}", Response("x" * 50_000)) for n in range(50)], [(CELL, "k0", RIGHT)], charges=[PAID] * 50)
except StoreError as error:
    print(error)
else:
    raise SystemExit("the commit did not fail")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.commit([("after", ANSWER)], [(CELL, "after", RIGHT)])
"""
    process = run("from defender.errors import StoreError\n" + script, path)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert str(path) in said
    assert "disk" in said
    assert "resume" in said
    with closing(SqlStore(path)) as store:
        assert set(store.responses(["small", "after", *(f"k{n}" for n in range(50))])) == {"small", "after"}
        assert store.spend()["reserved"] == 1
        assert store.grades(CELL.candidate) == {CELL: RIGHT}


def test_a_database_held_by_another_program_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with closing(SqlStore(path, busy_seconds=0.1)) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"locked.*close that program"):
                store.commit([("k", ANSWER)])
        store.commit([("k", ANSWER)])
        assert store.responses(["k"]) == {"k": ANSWER}


def test_a_folder_that_is_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("not a folder", encoding="utf-8")
    with pytest.raises(StoreError, match=r"run/run\.db"):
        SqlStore(tmp_path / "run" / "run.db")


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_text("dear diary, " * 200, encoding="utf-8")
    with pytest.raises(StoreError, match=r"not a SQLite file.*name another run"):
        SqlStore(path)
    assert path.read_text(encoding="utf-8") == "dear diary, " * 200


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "places.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="bookmarks"):
        SqlStore(path)
    assert path.read_bytes() == before


def test_a_run_of_another_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    SqlStore(path).close()
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
        shell.commit()
    with pytest.raises(StoreError, match=r"expected version 1.*got version 99"):
        SqlStore(path)


def test_reading_a_run_that_is_not_there_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run database"):
        SqlStore(tmp_path / "run.db", readonly=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nosuch://host/db", "://"])
def test_a_place_where_no_run_can_live_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="expected a"):
        SqlStore(url)


def test_a_url_and_a_path_open_the_same_run(tmp_path: Path) -> None:
    path = tmp_path / "odd name #1?.db"
    with closing(SqlStore(path)) as store:
        store.commit([("k", ANSWER)])
    with closing(SqlStore(path, readonly=True)) as reader:
        assert reader.responses(["k"]) == {"k": ANSWER}
    plain = tmp_path / "plain.db"
    with closing(SqlStore(f"sqlite:///{plain}")) as store:
        store.commit([("k", ANSWER)])
    with closing(SqlStore(plain)) as store:
        assert store.responses(["k"]) == {"k": ANSWER}


def test_a_failed_commit_leaves_the_names_usable(tmp_path: Path) -> None:
    """Ids of names that were rolled back must not be remembered."""
    path = tmp_path / "run.db"
    with closing(SqlStore(path, busy_seconds=0.1)) as store:
        with pytest.raises(StoreError):
            store.commit(grades=[(CELL, None, RIGHT)])  # type: ignore[list-item]
        store.commit(grades=[(CELL._replace(item="other"), "k", RIGHT)])
        store.commit(grades=[(CELL, "k", RIGHT)])
    with closing(SqlStore(path)) as store:
        assert store.grades(CELL.candidate) == {CELL: RIGHT, CELL._replace(item="other"): RIGHT}


def test_reads_beside_the_writer_see_whole_commits(tmp_path: Path) -> None:
    with closing(SqlStore(tmp_path / "run.db")) as store, ThreadPoolExecutor(1) as writer:

        def write() -> None:
            for n in range(60):
                store.commit([(f"k{n}", ANSWER)], [(CELL._replace(item=f"item {n}"), f"k{n}", RIGHT)], [PAID])

        written = writer.submit(write)
        seen = 0
        while not written.done():
            spend = store.spend()
            assert spend["reserved"] == spend["settled"] == spend["answers"]
            grades = store.grades(CELL.candidate)
            assert len(grades) >= max(seen, spend["answers"])
            seen = len(grades)
        written.result()
        assert len(store.grades(CELL.candidate)) == 60


def test_a_closed_run_is_one_file_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with closing(SqlStore(path)) as store:
        store.commit([("k", Response("hello", first_token=(("h", -0.5),)))], [(CELL, "k", RIGHT)])
    assert not path.with_name("run.db-wal").exists()
    with closing(sqlite3.connect(path)) as shell:
        assert shell.execute("SELECT json_extract(body, '$.text') FROM responses").fetchall() == [("hello",)]


def test_the_schema_is_valid_on_postgresql() -> None:
    made = "\n".join(str(CreateTable(t).compile(dialect=postgresql.dialect())) for t in SCHEMA.sorted_tables)  # type: ignore[no-untyped-call]
    assert "DOUBLE PRECISION" in made
    assert "WITHOUT ROWID" not in made

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest

from defender.errors import NothingFeasible, StoreError, again
from defender.journal import Journal
from defender.records import Cell, Charge, Grade, Response
from defender.store import SqlStore

PAID = Charge({"reserved": 1})


class Recording(SqlStore):
    """A real store that remembers how many rows each transaction carried, and can be made to fail."""

    def __init__(self, where: Path) -> None:
        super().__init__(where)
        self.commits: list[int] = []
        self.broken = False

    def commit(
        self,
        responses: Sequence[tuple[str, Response]] = (),
        grades: Sequence[tuple[Cell, str, Grade]] = (),
        charges: Sequence[Charge] = (),
    ) -> Sequence[bool]:
        if self.broken:
            raise StoreError("the disk is full")
        self.commits.append(len(responses))
        return super().commit(responses, grades, charges)


async def test_an_appended_response_is_in_the_store_when_append_returns(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as journal:
        await journal.append("k", Response("hello"))
        assert store.responses(["k"])["k"].text == "hello"
    store.close()


async def test_many_appends_share_few_transactions(tmp_path: Path) -> None:
    store = Recording(tmp_path / "run.db")
    async with Journal(store) as journal:
        await asyncio.gather(*(journal.append(f"k{i}", Response("x")) for i in range(200)))
    assert sum(store.commits) == 200
    assert len(store.commits) <= 4
    store.close()


async def test_grades_are_durable_after_flush(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    cell = Cell("c", "u", "b", "i", 0)
    async with Journal(store) as journal:
        await journal.append("k", Response("x"))
        journal.grade(cell, "k", Grade(1.0, "correct", "g@1"))
        await journal.flush()
        assert store.grades("c")[cell].score == 1.0
    store.close()


async def test_leaving_the_journal_keeps_grades_that_were_not_flushed(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    cell = Cell("c", "u", "b", "i", 0)
    async with Journal(store) as journal:
        journal.grade(cell, "k", Grade(0.5, "graded", "g@1"))
    assert store.grades("c")[cell].score == 0.5
    store.close()


async def test_a_failed_commit_reaches_everyone_who_waits_and_everyone_after(tmp_path: Path) -> None:
    store = Recording(tmp_path / "run.db")
    async with Journal(store) as journal:
        store.broken = True
        results = await asyncio.gather(
            *(journal.append(f"k{i}", Response("x")) for i in range(5)),
            journal.charge(PAID),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [StoreError] * 6
        with pytest.raises(StoreError, match="disk is full"):
            await journal.charge(PAID)
    store.close()


def frames(error: BaseException) -> int:
    """Return how many frames an error and what it comes from hold on to."""
    held = sum(1 for _ in traceback.walk_tb(error.__traceback__))
    return held + sum(frames(more) for more in {error.__cause__, error.__context__} - {None} if more is not None)


async def test_an_error_that_is_told_to_thousands_grows_no_traceback_and_keeps_its_words(tmp_path: Path) -> None:
    store = Recording(tmp_path / "run.db")
    async with Journal(store) as journal:
        store.broken = True

        async def told(number: int) -> BaseException:
            try:
                await journal.append(f"k{number}", Response("x"))
            except StoreError as error:
                return error
            raise AssertionError("it was kept")

        together = await asyncio.gather(*(told(number) for number in range(500)))
        later = [await told(number) for number in range(500)]
        errors = [*together, *later]
        assert {str(error) for error in errors} == {"the disk is full"}
        assert len({id(error) for error in errors}) == len(errors), "each has its own"
        assert max(map(frames, errors)) < 20
        assert {str(error.__cause__) for error in errors} == {"the disk is full"}
        assert "in commit" in "".join(traceback.format_exception(errors[-1])), "where it came from is shown"
    store.close()


class Peculiar(Exception):
    """An error that is made of more than it tells."""

    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(f"{code} at {where}")
        self.code = code


def test_an_error_that_cannot_be_made_anew_is_told_as_it_is() -> None:
    error = Peculiar(7, where="here")
    assert again(error) is error
    fresh = again(NothingFeasible("none"))
    assert (type(fresh), str(fresh), type(fresh.__cause__)) == (NothingFeasible, "none", NothingFeasible)


async def test_cancelling_one_waiter_leaves_the_others_alone(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as journal:
        first = asyncio.create_task(journal.append("a", Response("1")))
        second = asyncio.create_task(journal.append("b", Response("2")))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert set(store.responses(["b"])) == {"b"}
    store.close()

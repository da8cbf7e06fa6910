from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from defender.contracts import Engine
from defender.engines.scripted import Answer, Scripted
from defender.errors import EngineDown
from defender.journal import Journal
from defender.kept import Kept
from defender.records import ModelCard, Request, Response, Sampling
from defender.store import SqlStore

ASKED = Request((("user", "Why?"),), Sampling())


@asynccontextmanager
async def kept(database: Path, answer: Answer, model: str = "scripted") -> AsyncIterator[tuple[Kept, Scripted]]:
    store = SqlStore(database)
    try:
        async with Journal(store) as journal:
            engine = Scripted(answer, ModelCard(model))
            yield Kept(engine, journal), engine
    finally:
        store.close()


async def test_an_answer_is_asked_for_once_in_this_process_and_the_next(tmp_path: Path) -> None:
    async with kept(tmp_path / "run.db", lambda _: "Because.") as (front, engine):
        assert isinstance(front, Engine)
        first = await front.complete(ASKED)
        assert await front.complete(ASKED) == first
        assert engine.counted == 1
    async with kept(tmp_path / "run.db", lambda _: "Otherwise.") as (front, engine):
        assert (await front.complete(ASKED)).text == "Because."
        assert engine.counted == 0


async def test_another_model_or_seed_is_another_question(tmp_path: Path) -> None:
    async with kept(tmp_path / "run.db", lambda _: "Because.") as (front, engine):
        await front.complete(ASKED)
        await front.complete(Request(ASKED.messages, ASKED.sampling, seed=1))
        assert engine.counted == 2
    async with kept(tmp_path / "run.db", lambda _: "Otherwise.", "another") as (front, _):
        assert (await front.complete(ASKED)).text == "Otherwise."


async def test_a_failed_answer_is_asked_for_again(tmp_path: Path) -> None:
    answers: Iterator[Response | str] = iter([Response(None, error="timeout"), "Because."])
    async with kept(tmp_path / "run.db", lambda _: next(answers)) as (front, _):
        assert (await front.complete(ASKED)).error == "timeout"
        assert (await front.complete(ASKED)).text == "Because."


async def test_an_engine_that_was_down_is_started_again_when_asked(tmp_path: Path) -> None:
    class Late(Scripted):
        tries = 0

        async def start(self) -> None:
            self.tries += 1
            if self.tries == 1:
                raise EngineDown("not yet")

    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as journal:
        front = Kept(Late(lambda _: "Because."), journal)
        with pytest.raises(EngineDown, match="not yet"):
            await front.complete(ASKED)
        assert (await front.complete(ASKED)).text == "Because."
    store.close()

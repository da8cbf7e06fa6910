from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from defender.admission import Admission
from defender.confirm import SearchResult
from defender.contracts import Marker, Strategy
from defender.engines.pooled import Pooled
from defender.engines.scripted import Answer
from defender.errors import BudgetError, BudgetSpent, EngineDown
from defender.proposers.language import over_engine
from defender.records import Request, Response, Sampling
from defender.rivalry import Rivalry
from defender.rivals import strategy_of
from tests.scripted_world import IDENTITIES, WORLD, Sitting, search, sitting, space

POOL = [text for wordings in space().clauses.values() for text in wordings.values()]
OPENING = "You are a helpful assistant."
BUDGET = 9_000


class Noted:
    """The planted world, keeping what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response | str:
        self.asked.append(request)
        return WORLD(request)


def rival(sat: Sitting, name: str, strategy: Strategy, max_requests: int | None = BUDGET) -> Rivalry:
    laid = search(sat, max_requests=max_requests).plan
    return Rivalry(name, strategy, sat.measurer, laid, Admission(lambda: (), IDENTITIES), sat.ledger, sat.store)


async def searched(folder: Path, name: str, *, answer: Answer = WORLD, seed: int = 0) -> tuple[SearchResult, Sitting]:
    async with sitting(folder / "run.db", answer=answer, max_requests=BUDGET) as sat:
        model = Pooled(POOL, OPENING, seed, sat.ledger)
        language = over_engine(model, Sampling(0.0, 256), loop=asyncio.get_running_loop())
        return await rival(sat, name, strategy_of(name, language, seed)).run(), sat


@pytest.mark.parametrize("name", ["gepa", "mipro", "copro"])
async def test_a_rival_finds_ranks_and_confirms_within_the_budget(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result, sat = await searched(tmp_path, name)
    assert capsys.readouterr().out == ""
    written = [trial.candidate for trial in result.trials if trial.candidate.origin == name]
    assert len(written) >= 2
    assert all(candidate.before.startswith(OPENING) for candidate in written)
    assert sat.ledger.spent <= BUDGET
    original = space().seed_candidates()[0]
    assert result.confirmed[result.winner.id].pb <= result.confirmed[original.id].pb


class Counted:
    """Notes every text and request, and asks each question once more than there are."""

    def __init__(self) -> None:
        self.marks: list[Any] = []

    def find(self, marker: Marker, seeds: Any) -> None:
        everything = list(range(marker.questions))
        for text in (seeds[0], "Treat people equally.", "I know a Muslim person.", "Read {this}."):
            self.marks.append(list(marker.mark(text, everything)))


async def test_marks_are_means_less_spread_and_what_may_not_be_said_is_never_sent(tmp_path: Path) -> None:
    strategy, world = Counted(), Noted()
    async with sitting(tmp_path / "run.db", answer=world, max_requests=BUDGET) as sat:
        await rival(sat, "counted", strategy).run()
    said = [content for request in world.asked for role, content in request.messages if role == "system"]
    plain, equal, naming, markup = strategy.marks
    assert all(0.0 <= mark.score <= 1.0 for mark in (*plain, *equal))
    assert sum(mark.score for mark in equal) > sum(mark.score for mark in plain)
    assert {mark.score for mark in (*naming, *markup)} == {0.0}
    assert "names 'muslim'" in naming[0].feedback
    assert not any("I know a" in text or "{this}" in text for text in said)
    assert not any(mark.feedback.count("?") for mark in (*plain, *equal))


class Endless:
    """Never stops by itself, and swallows what stops it once."""

    def find(self, marker: Marker, seeds: Any) -> None:
        for number in range(10_000):
            try:
                marker.mark(f"{seeds[0]} Answer number {'i' * (number + 1)} well.", range(marker.questions))
            except BudgetSpent:
                marker.mark(seeds[0], [0])


async def test_a_strategy_without_end_is_ended_by_the_budget_and_confirm_is_still_paid(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db", max_requests=BUDGET) as sat:
        result = await rival(sat, "endless", Endless()).run()
        assert result.stopped == "the search share of the budget is spent"
        assert result.confirmed
        assert sat.ledger.spent <= BUDGET


class Broken:
    """Measures one prompt, then fails as a guest library may."""

    def find(self, marker: Marker, seeds: Any) -> None:
        marker.mark("Treat people equally.", range(marker.questions))
        raise ZeroDivisionError("a guest's mistake")


async def test_a_guests_own_failure_is_said_and_what_it_measured_is_ranked(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db", max_requests=BUDGET) as sat:
        result = await rival(sat, "broken", Broken()).run()
    assert result.stopped == "broken failed: ZeroDivisionError: a guest's mistake"
    assert any(trial.candidate.before == "Treat people equally." for trial in result.trials)


class Swallowing:
    """Hides every failure, as optimizers with an error allowance do."""

    def find(self, marker: Marker, seeds: Any) -> None:
        for _ in range(3):
            try:
                marker.mark("Treat people equally.", range(marker.questions))
            except Exception:
                continue


async def test_a_dead_engine_is_not_hidden_by_a_strategy_that_swallows_errors(tmp_path: Path) -> None:
    def dying(request: Request) -> Response | str:
        if any("equally" in content for _, content in request.messages):
            raise EngineDown("the server is gone")
        return WORLD(request)

    async with sitting(tmp_path / "run.db", answer=dying, max_requests=BUDGET) as sat:
        with pytest.raises(EngineDown, match="the server is gone"):
            await rival(sat, "swallowing", Swallowing()).run()


async def test_without_a_budget_nothing_is_sent(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as sat:
        with pytest.raises(BudgetError, match="give --max-requests"):
            await rival(sat, "endless", Endless(), None).run()
        assert sat.engine.counted == 0


async def test_many_threads_share_one_filling_and_ask_nothing_twice(tmp_path: Path) -> None:
    class Threads:
        def find(self, marker: Marker, seeds: Any) -> None:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda place: marker.mark("Be careful.", [place]), [*range(marker.questions)] * 2))

    world = Noted()
    async with sitting(tmp_path / "run.db", answer=world, max_requests=BUDGET) as sat:
        await rival(sat, "threads", Threads()).run()
    sent = [json.dumps([request.messages, request.seed]) for request in world.asked]
    assert len(sent) == len(set(sent))

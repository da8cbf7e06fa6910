from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from defender.benchmarks.miniature import Miniature, MiniatureSampled
from defender.contracts import Benchmark, Meter
from defender.costs import Limits
from defender.engines.scripted import Scripted
from defender.errors import EngineDown
from defender.identities import paper_identities
from defender.journal import Journal
from defender.ledger import Ledger
from defender.plan import Panel
from defender.records import Candidate, ModelCard, Request, Response
from defender.seeding import COST, PROBES, Seeds, check_seeds, probes
from defender.store import SqlStore
from tests.scripted_world import WORLD

ORIGINAL = Candidate("You are a helpful assistant.")


def sampled() -> Benchmark:
    return MiniatureSampled("miniature_utility", "utility", ("fact", "sum", "code"))


def panel(benchmark: Benchmark) -> Panel:
    return Panel("search", paper_identities(), {benchmark.name: tuple(benchmark.items("search")[:5])})


def asked() -> list[tuple[Request, ...]]:
    return probes(ORIGINAL, panel(sampled()), {"miniature_utility": sampled()})


def drawn(request: Request) -> str:
    """Answer with the draw itself, as a server that honours seeds would."""
    return f"{request.messages[-1][1][:20]} {request.seed}"


class Counter:
    """A server's own random numbers: every answer is another, whatever the seed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: Request) -> str:
        self.count += 1
        return str(self.count)


class Mostly(Counter):
    """Honours seeds but for every fifth request, as batched arithmetic may."""

    def __call__(self, request: Request) -> str:
        return super().__call__(request) if self.count % 5 == 4 else (super().__call__(request), drawn(request))[1]


def broken(_: Request) -> Response:
    return Response(None, error="server_error", detail="HTTP 500")


def checked(
    path: Path,
    answer: Callable[[Request], Response | str],
    requests: list[tuple[Request, ...]],
    max_requests: int | None = None,
) -> tuple[Seeds, int]:
    """Run the check against a real store, journal and ledger; return what it found and what it was charged."""

    async def run() -> tuple[Seeds, int]:
        store = SqlStore(path / "run.db")
        try:
            async with Journal(store) as journal:
                ledger = Ledger(journal, store.spend(), Limits(max_requests))
                before = ledger.spent
                engine = Scripted(answer, ModelCard("scripted"), ledger)
                await engine.start()
                return await check_seeds(engine, store, journal, requests), ledger.spent - before
        finally:
            store.close()

    return asyncio.run(run())


def test_a_probe_is_one_question_twice_with_one_seed_and_once_with_another() -> None:
    found = asked()
    assert len(found) == PROBES
    for first, again, other in found:
        assert first.messages == again.messages == other.messages
        assert first.seed == again.seed != other.seed
        assert len({request.key("x") for request in (first, again, other)}) == 3
        assert first.sampling.temperature >= 1.0
    assert len({first.messages for first, _, _ in found}) == PROBES


def test_at_temperature_0_nothing_is_asked(tmp_path: Path) -> None:
    greedy = Miniature("miniature_utility", "utility", ("fact",))
    assert probes(ORIGINAL, panel(greedy), {"miniature_utility": greedy}) == []
    found, cost = checked(tmp_path, drawn, [])
    assert (str(found), cost) == ("not needed at temperature 0", 0)


def test_a_server_that_honours_seeds_is_recognised_and_paid_once(tmp_path: Path) -> None:
    found, cost = checked(tmp_path, drawn, asked())
    assert found == Seeds("yes", PROBES, PROBES, PROBES, PROBES)
    assert cost == COST
    again, more = checked(tmp_path, drawn, asked())
    assert (again, more) == (found, 0), "answers of an interrupted check are kept"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(Counter(), "no"), (lambda _: "Sure.", "unclear"), (Mostly(), "partly"), (WORLD, "yes")],
)
def test_other_servers_are_told_apart(
    tmp_path: Path, answer: Callable[[Request], Response | str], verdict: str
) -> None:
    found, _ = checked(tmp_path, answer, asked())
    assert found.verdict == verdict, found
    assert verdict in str(found)


def test_failures_are_not_taken_for_answers(tmp_path: Path) -> None:
    found, _ = checked(tmp_path, broken, asked())
    assert (found.verdict, found.same) == ("not checked", 0)
    assert f"{COST} of its requests had no answer" in str(found)


def test_a_budget_that_ends_in_between_leaves_it_unchecked_and_is_not_overshot(tmp_path: Path) -> None:
    found, cost = checked(tmp_path, drawn, asked(), max_requests=5)
    assert (found.verdict, cost) == ("not checked", 5)


def test_an_engine_that_is_down_is_no_matter_of_seeds(tmp_path: Path) -> None:
    class Down(Scripted):
        async def complete(self, request: Request) -> Response:
            raise EngineDown(f"no server for {len(request.messages)} messages")

    async def run() -> None:
        store = SqlStore(tmp_path / "run.db")
        try:
            async with Journal(store) as journal:
                meter: Meter = Ledger(journal)
                await check_seeds(Down(drawn, ModelCard("scripted"), meter), store, journal, asked())
        finally:
            store.close()

    with pytest.raises(EngineDown, match="no server"):
        asyncio.run(run())


def test_an_answer_cut_short_is_still_an_answer(tmp_path: Path) -> None:
    def cut(request: Request) -> Response:
        return replace(Response(drawn(request)), finish_reason="length")

    assert checked(tmp_path, cut, asked())[0].verdict == "yes"

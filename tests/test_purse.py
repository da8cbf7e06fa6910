"""Limits in every currency on whole runs: counted at the engine, never overshot, ended in order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from defender.build import prepare
from defender.config import RunConfig
from defender.contracts import Meter
from defender.costs import Limits, Price
from defender.engines.scripted import PlantedBias, Scripted
from defender.errors import BudgetError, BudgetSpent, ConfigError
from defender.lines import cost_lines
from defender.purse import check_prices, dollars_of, limits_of, prices_of, spent_in_words
from defender.records import ModelCard, Request, Response
from defender.results import Results, read_results
from defender.runs import RunFolder, open_run
from defender.session import Watch, run_measure, run_search
from tests.engines.fault_server import FaultServer, completion, says
from tests.stored_run import settings, world

PRICES = {"scripted": {"input": 1.0, "output": 4.0}}
SERVED = {"name": "scripted", "base_url": "http://127.0.0.1:9/v1", "alias": "a"}
TINY = ("miniature_utility", "miniature_safety")


class Counting:
    """The planted world behind a counter of its own: what a provider would charge."""

    def __init__(self, bias: PlantedBias) -> None:
        self.bias = bias
        self.requests = self.prompt = self.completion = 0

    def __call__(self, request: Request) -> Response:
        found = self.bias(request)
        answer = Response(found, "stop") if isinstance(found, str) else found
        told = replace(answer, prompt_tokens=sum(len(text) // 4 for _, text in request.messages), completion_tokens=7)
        self.requests += 1
        self.prompt += told.prompt_tokens
        self.completion += told.completion_tokens
        return told

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    @property
    def nanousd(self) -> int:
        return self.prompt * 1000 + self.completion * 4000


def ran(config: RunConfig, folder: Path, seen: Counting) -> Results:
    """Run as the command line does, on the counting engine."""
    run: RunFolder = open_run(config, folder, "one")

    def engine(_: RunConfig, meter: Meter) -> Scripted:
        return Scripted(seen, ModelCard("scripted", server="defender"), meter)

    work: Any = run_search if config.command == "search" else run_measure
    asyncio.run(work(run, prepare(config), Watch(), engine))
    return read_results(run)


def limited(folder: Path, strategy: str = "race", **budget: Any) -> RunConfig:
    search = {"items": 8, "candidates": 6, "generation": 2, "finalists": 1, "strategy": strategy}
    return settings(
        folder, search=search, confirm={"items": 4}, model=SERVED, prices=PRICES, budget=budget, benchmarks=TINY
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    """What a search without limits costs."""
    folder = tmp_path_factory.mktemp("whole")
    seen = Counting(world(limited(folder)))
    ran(limited(folder), folder, seen)
    return seen


def test_without_limits_everything_is_counted_to_the_token_and_the_nanodollar(tmp_path: Path) -> None:
    seen = Counting(world(limited(tmp_path)))
    found = ran(limited(tmp_path), tmp_path, seen)
    assert (found.spend["reserved"], found.spend["tokens"]) == (seen.requests, seen.tokens)
    assert found.spend["nanousd"] == seen.nanousd
    assert f"${seen.nanousd / 1e9:.2g}" in cost_lines(found)[0]
    assert found.spend["milliseconds"] > 0


@pytest.mark.parametrize("currency", ["max_tokens", "max_usd"])
@pytest.mark.parametrize("strategy", ["race", "random", "tpe", "seeds"])
def test_a_search_ends_in_order_within_its_limit_and_confirms(
    tmp_path: Path, whole: Counting, strategy: str, currency: str
) -> None:
    limit = int(whole.tokens * 0.9) if currency == "max_tokens" else whole.nanousd * 0.9 / 1e9
    config = limited(tmp_path, strategy, **{currency: limit})
    seen = Counting(world(config))
    found = ran(config, tmp_path, seen)
    assert found.winner is not None
    assert found.spend["tokens"] == seen.tokens
    assert found.spend["nanousd"] == seen.nanousd
    assert seen.tokens <= limit if currency == "max_tokens" else seen.nanousd <= limit * 1e9
    again = ran(config, tmp_path, seen)
    assert again.winner == found.winner
    assert {name: count for name, count in again.spend.items() if name != "milliseconds"} == {
        name: count for name, count in found.spend.items() if name != "milliseconds"
    }, "a finished search asks for nothing more"


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4])
def test_a_limit_that_cannot_pay_for_a_search_is_never_overshot_either_and_says_what_to_raise(
    tmp_path: Path, whole: Counting, share: float
) -> None:
    limit = int(whole.tokens * share)
    config = limited(tmp_path, max_tokens=limit)
    seen = Counting(world(config))
    with pytest.raises(BudgetError, match=r"raise (--max-tokens|the limits)"):
        ran(config, tmp_path, seen)
    assert seen.tokens <= limit
    raised = config.model_copy(update={"budget": config.budget.model_copy(update={"max_tokens": None})})
    found = ran(raised, tmp_path, seen)
    assert found.winner is not None
    assert found.spend["tokens"] == seen.tokens, "what was paid for before is used and counted"
    assert seen.requests == whole.requests


def test_a_measurement_stops_at_its_limit_and_goes_on_from_there(tmp_path: Path) -> None:
    config = settings(tmp_path, command="measure", model=SERVED, prices=PRICES, benchmarks=TINY)
    poor = config.model_copy(update={"budget": config.budget.model_copy(update={"max_usd": 0.001})})
    seen = Counting(world(config))
    with pytest.raises(BudgetSpent, match=r"\$0.001 is spent; raise --max-usd"):
        ran(poor, tmp_path, seen)
    assert 0 < seen.nanousd <= 1_000_000
    found = ran(config, tmp_path, seen)
    assert found.spend["nanousd"] == seen.nanousd
    assert seen.requests == 2 * 7 * 8


def test_a_limit_in_dollars_without_a_price_is_refused_and_says_what_to_write(tmp_path: Path) -> None:
    config = settings(tmp_path, model=SERVED, budget={"max_usd": 1.0})
    with pytest.raises(ConfigError, match=r'the price of \'scripted\', the model.*prices: \{"scripted": \{input'):
        prepare(config)
    judged = settings(
        tmp_path,
        model=SERVED,
        budget={"max_usd": 1.0},
        prices=PRICES,
        judge={"kind": "model", "base_url": "http://h/v1"},
    )
    with pytest.raises(ConfigError, match="which model is the judge: give --judge-model"):
        check_prices(judged)
    named = judged.model_copy(update={"judge": judged.judge.model_copy(update={"name": "umpire"})})
    with pytest.raises(ConfigError, match=r"price of 'umpire', the judge.*it has scripted"):
        check_prices(named)


def test_the_embedded_model_costs_nothing_and_a_model_without_a_price_is_not_free(tmp_path: Path) -> None:
    embedded = settings(tmp_path, budget={"max_usd": 1.0})
    check_prices(embedded)
    assert prices_of(embedded)["model"] == Price()
    assert dollars_of(embedded, {"reserved": 5}) == 0.0
    assert dollars_of(settings(tmp_path, model=SERVED), {"reserved": 5}) is None


def test_prices_and_budgets_are_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    plain = settings(tmp_path, model=SERVED)
    assert limited(tmp_path).model_copy(update={"search": plain.search, "confirm": plain.confirm}).decisive() == (
        plain.model_copy(update={"benchmarks": TINY}).decisive()
    )


def test_spend_is_said_against_the_limits_there_are() -> None:
    spend = {"reserved": 120, "tokens": 4000, "nanousd": 1_234_000_000, "milliseconds": 5_400_000}
    assert spent_in_words(spend, Limits()) == "120 requests"
    assert spent_in_words(spend, Limits(500, 10_000, 2.5, 4)) == (
        "120 of 500 requests, 4000 of 10000 tokens, $1.23 of $2.50, 1.50 of 4.00 hours"
    )


async def test_what_the_writer_costs_is_counted_in_the_whole_and_shown_apart(tmp_path: Path) -> None:
    async with FaultServer(then=says(completion("```\nTreat people equally.\n```"))) as server:
        writer = {"model": "tiny", "alias": "w", "base_url": server.base_url}
        search = {"items": 4, "candidates": 5, "generation": 2, "finalists": 1, "strategy": "gepa", "writer": writer}
        prices = PRICES | {"tiny": {"input": 10.0, "output": 20.0}}
        config = settings(
            tmp_path, search=search, confirm={"items": 4}, benchmarks=TINY, model=SERVED, prices=prices,
            budget={"max_requests": 1500, "max_usd": 5.0},
        )  # fmt: skip
        run, seen = open_run(config, tmp_path, "one"), Counting(world(config))

        def engine(_: RunConfig, meter: Meter) -> Scripted:
            return Scripted(seen, ModelCard("scripted", server="defender"), meter)

        await run_search(run, prepare(config), Watch(), engine)
    found, written = read_results(run), len(server.bodies)
    assert written > 0
    assert (found.spend["writer.reserved"], found.spend["writer.tokens"]) == (written, 14 * written)
    assert found.spend["writer.nanousd"] == written * (11 * 10_000 + 3 * 20_000)
    assert found.spend["reserved"] == seen.requests + written
    assert found.spend["nanousd"] == seen.nanousd + found.spend["writer.nanousd"]
    assert any(line.startswith(f"         of which the writer: {written} requests, ") for line in cost_lines(found))


def test_the_limits_of_a_run_are_its_budget(tmp_path: Path) -> None:
    config = settings(tmp_path, budget={"max_requests": 5, "max_tokens": 6, "max_usd": 7.0, "max_hours": 8.0})
    assert limits_of(config) == Limits(5, 6, 7.0, 8.0)

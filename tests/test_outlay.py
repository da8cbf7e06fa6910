from __future__ import annotations

from pathlib import Path

import pytest

from defender.build import prepare
from defender.config import RunConfig
from defender.outlay import Outlay, of_measuring, of_searching
from defender.planned import lines
from defender.planning import Wishes, forecast
from defender.results import read_results
from defender.seeding import COST, PROBES
from tests.engines.fault_server import FaultServer, completion, fails, says
from tests.proposers.answers import as_chat
from tests.spoons import lay_out, questions
from tests.stored_run import measured, settings
from tests.test_writing import growing, grown


def test_the_check_of_sampling_seeds_is_counted_where_answers_are_drawn(tmp_path: Path) -> None:
    drawn = settings(tmp_path, command="measure", scoring="answer", measure={"items": 10})
    plan = forecast(prepare(drawn), Wishes())
    shared = PROBES  # its first answers are short enough to be those of cells
    assert plan.costs[10]["seeding"] == COST - shared
    assert plan.costs[10]["requests"] == read_results(measured(drawn, tmp_path / "ten")).spend["reserved"]
    assert f"requests {COST - shared} to see whether sampling seeds are honoured" in "\n".join(lines(plan))


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_check_of_sampling_seeds_is_counted_as_it_is_paid(tmp_path: Path, repeats: int) -> None:
    drawn = settings(tmp_path, command="measure", scoring="answer", measure={"items": 9, "repeats": repeats})
    assert of(drawn).requests == read_results(measured(drawn, tmp_path / "nine")).spend["reserved"]


def test_a_budget_without_room_for_the_check_buys_the_items_all_the_same(tmp_path: Path) -> None:
    drawn = settings(tmp_path, command="measure", scoring="answer", measure={"items": 10})
    cells = of(drawn).answers
    plan = forecast(prepare(drawn), Wishes(max_requests=cells))
    assert plan.budget is not None
    assert plan.budget["items"] == 10
    assert "nothing can be decided" in "\n".join(lines(forecast(prepare(drawn), Wishes(max_requests=10))))


def of(config: RunConfig) -> Outlay:
    prepared = prepare(config)
    assert prepared.panel is not None
    return of_measuring(prepared.panel, prepared.prompts, prepared.benchmarks)


@pytest.mark.parametrize("kind", ["refusal", "model", "guard"])
def test_a_verdict_is_counted_where_a_model_gives_it(tmp_path: Path, kind: str) -> None:
    judge = {"kind": kind} | ({} if kind == "refusal" else {"base_url": "http://localhost:1/v1", "name": "j"})
    config = settings(
        tmp_path, command="measure", judge=judge, measure={"items": 10}, data=str(lay_out(tmp_path, questions(30))),
        model={"name": "m", "base_url": "http://localhost:1/v1"}, benchmarks=["do_not_answer", "miniature_utility"],
    )  # fmt: skip
    found = of(config)
    assert found.verdicts == (0 if kind == "refusal" else found.answers / 2), "one benchmark of two is judged"
    assert found.seeding == 0, "temperature 0"
    plan = forecast(prepare(config), Wishes())
    assert ("to the judge's model" in "\n".join(lines(plan))) == (kind != "refusal")


@pytest.mark.parametrize("every", [1, 2])
async def test_a_search_sends_its_writer_no_more_than_planned(tmp_path: Path, every: int) -> None:
    async with FaultServer(says(completion(as_chat())), then=fails(500)) as server:
        config = growing(tmp_path, model="tiny", base_url=server.base_url, every=every).model_copy(
            update={"command": "search"}
        )
        prepared = prepare(config)
        assert prepared.plan is not None
        least, most = of_searching(prepared.plan, prepared.benchmarks, every)
        run, _ = await grown(config, tmp_path, [])
    assert 0 < least.writing == most.writing / 2
    assert read_results(run).spend["reserved"] <= most.requests + 2 * most.writing, "retries aside"


def test_without_a_model_that_writes_nothing_is_sent_to_it(tmp_path: Path) -> None:
    (tmp_path / "pool.txt").write_text("Weigh every word.\n")
    for writer in ({}, {"pool": str(tmp_path / "pool.txt")}):
        plan = forecast(prepare(growing(tmp_path, **writer).model_copy(update={"command": "search"})), Wishes())
        assert plan.search is not None
        assert plan.search["most"]["writing"] == 0


def test_a_strategy_with_a_loop_of_its_own_spends_its_budget(tmp_path: Path) -> None:
    config = settings(
        tmp_path, command="search", budget={"max_requests": 4_000},
        search={"strategy": "gepa", "items": 8, "writer": {"model": "w", "base_url": "http://localhost:1/v1"}},
    )  # fmt: skip
    plan = forecast(prepare(config), Wishes())
    assert plan.search is not None
    assert plan.search["least"]["requests"] == plan.search["most"]["requests"] == 4_000

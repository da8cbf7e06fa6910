from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from defender.build import prepare
from defender.errors import ConfigError
from defender.planned import document, lines
from defender.planning import Forecast, Wishes, forecast, pairs_of
from defender.results import read_results
from tests.stored_run import measured, settings
from tests.test_cli import defender


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plan")


@pytest.fixture(scope="module")
def guessed(folder: Path) -> Forecast:
    wishes = Wishes(within=1.0, max_requests=3_000, rate=100.0, usd_in=1.0, usd_out=2.0)
    return forecast(prepare(settings(folder, command="search")), wishes)


def test_a_plan_counts_the_requests_that_a_measurement_sends(folder: Path, guessed: Forecast) -> None:
    run = measured(settings(folder, command="measure", measure={"items": 10}), folder / "ten")
    assert guessed.costs[10]["requests"] == read_results(run).spend["reserved"]


def test_hours_and_dollars_follow_from_the_rate_and_the_prices(guessed: Forecast) -> None:
    cost, price = guessed.costs[10], guessed.price
    assert cost["hours"] == pytest.approx(cost["requests"] / 100.0 / 3600.0)
    tokens = price.prompt_tokens * 1.0 + price.completion_tokens * 2.0
    assert cost["usd"] == pytest.approx(cost["requests"] * tokens / 1e6)


def test_without_a_rate_or_prices_hours_and_dollars_are_unknown_not_zero(folder: Path) -> None:
    plan = forecast(prepare(settings(folder, command="search")), Wishes())
    assert plan.costs[10]["hours"] is None
    assert plan.costs[10]["usd"] is None
    assert "rate unknown" in "\n".join(lines(plan))


def test_the_budget_buys_no_more_than_it_pays_for(guessed: Forecast) -> None:
    assert guessed.budget is not None
    assert guessed.budget["items"] < max(guessed.pools.values())
    assert guessed.budget["undecided"] == ["D1:Original"]
    assert any("cannot decide D1 against Original" in line for line in lines(guessed))


def test_a_budget_too_small_for_anything_says_so(folder: Path) -> None:
    plan = forecast(prepare(settings(folder, command="search")), Wishes(max_requests=10))
    assert "nothing can be decided" in "\n".join(lines(plan))


def test_a_wish_out_of_reach_says_what_all_items_reach(folder: Path) -> None:
    plan = forecast(prepare(settings(folder, command="search")), Wishes(within=0.001))
    assert plan.needs["every PB to within 0.001"]["items"] is None
    assert any("not with these benchmarks" in line and "reach PB +-" in line for line in lines(plan))


def test_a_pilot_gives_its_own_tokens_and_variances(folder: Path) -> None:
    run = measured(settings(folder, command="measure", measure={"items": 12}), folder / "pilot")
    pilot = read_results(run)
    plan = forecast(prepare(settings(folder, command="search")), Wishes(), pilot)
    assert plan.price.measured
    assert plan.price.prompt_tokens == pilot.spend["prompt_tokens"] / pilot.spend["answers"]
    assert "its own variances" in plan.basis


def test_a_pilot_of_other_benchmarks_is_refused_with_what_it_holds(folder: Path) -> None:
    run = measured(settings(folder, command="measure", benchmarks=["miniature_utility"]), folder / "other")
    with pytest.raises(ConfigError, match=r"did not measure every prompt.*it holds measure: miniature_utility for"):
        forecast(prepare(settings(folder, command="search")), Wishes(), read_results(run))


def test_a_pilot_of_another_prompt_is_refused(folder: Path) -> None:
    run = measured(settings(folder, command="measure"), folder / "few")
    pilot = read_results(run)
    stage = pilot.stages["measure"]
    lacking = replace(stage, matrices=dict(list(stage.matrices.items())[:1]))
    with pytest.raises(ConfigError, match="did not measure every prompt"):
        forecast(prepare(settings(folder, command="search")), Wishes(), replace(pilot, stages={"measure": lacking}))


def test_a_pilot_of_other_identities_is_refused(folder: Path) -> None:
    (folder / "two.yaml").write_text("identities: {People: [a man, a woman]}\n")
    run = measured(settings(folder, command="measure", identities=str(folder / "two.yaml")), folder / "pair")
    with pytest.raises(ConfigError, match=r"as its 6 identities \(it holds .* as 2 identities"):
        forecast(prepare(settings(folder, command="search")), Wishes(), read_results(run))


def test_a_pilot_of_other_repeats_is_refused_as_its_noise_is_another(folder: Path) -> None:
    run = measured(settings(folder, command="measure", measure={"items": 4, "repeats": 2}), folder / "twice")
    with pytest.raises(ConfigError, match=r"2 times a cell, this plan 1: .* give --repeats 2"):
        forecast(prepare(settings(folder, command="search")), Wishes(), read_results(run))
    plan = forecast(prepare(settings(folder, command="search", measure={"repeats": 2})), Wishes(), read_results(run))
    assert "its own variances" in plan.basis


def test_repeats_that_are_paid_for_narrow_the_interval_where_answers_are_drawn(folder: Path, guessed: Forecast) -> None:
    thrice = forecast(prepare(settings(folder, command="search", measure={"repeats": 3})), Wishes())
    assert thrice.looks[-1].widest < 0.8 * guessed.looks[-1].widest


@pytest.mark.parametrize("within", [0.0, -1.0, float("nan"), float("inf")])
def test_a_width_that_nobody_can_mean_is_refused(within: float) -> None:
    with pytest.raises(ConfigError, match="expected points above 0"):
        Wishes(within=within)


def test_a_budget_of_no_request_is_refused_and_not_taken_for_none(tmp_path: Path) -> None:
    code, _, complaint = defender("plan", "--max-requests", "0", cwd=tmp_path)
    assert (code, "expected 1 or more, got 0" in complaint) == (2, True)


def test_every_process_foretells_the_same(tmp_path: Path) -> None:
    program = (
        "from defender.forecast import *; import sys\n"
        "guess = Guess({'a': 2.0}, {'u': ('utility', 60.0), 's': ('safety', 90.0)}, {'u': 20, 's': 20}, 5)\n"
        "print(outlook(guess, 20))"
    )
    told = {
        subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True,
                       check=True).stdout
        for seed in ("0", "7")  # orders of a set that differ
    }  # fmt: skip
    assert len(told) == 1


@pytest.mark.parametrize("text", ["D4", "D4:", ":D3", ""])
def test_a_pair_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="FIRST:SECOND"):
        pairs_of([text])


def test_a_wish_about_an_unknown_prompt_lists_the_prompts(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no prompt 'D9' is planned; prompts: Original, D1"):
        forecast(prepare(settings(folder, command="search")), Wishes(tell=(("D9", "D1"),)))


def test_the_document_is_json_and_says_what_the_lines_say(guessed: Forecast) -> None:
    told = json.loads(json.dumps(document(guessed), allow_nan=False))
    assert [size["items"] for size in told["sizes"]] == [look.items for look in guessed.looks]
    assert told["budget"] == guessed.budget


def test_the_command_plans_without_touching_a_model_or_making_a_folder(tmp_path: Path) -> None:
    code, told, complaint = defender(
        "plan", "--benchmarks", "miniature_utility,miniature_safety", "--within", "1", "--tell", "D4:Original",
        "--json", "--runs", tmp_path / "runs", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, complaint
    assert set(json.loads(told)["needs"]) == {"every PB to within 1", "tell D4 from Original"}
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from defender.build import prepare
from defender.conclusion import context
from defender.records import Request, Response
from defender.results import read_results
from defender.seeding import COST
from defender.session import Watch
from defender.settings import BudgetConfig
from tests.stored_run import measured, searched, settings, world


def test_a_search_leaves_a_study_of_every_candidate_and_a_resume_does_not_double_it(tmp_path: Path) -> None:
    for _ in range(2):
        folder, result = searched(settings(tmp_path), tmp_path)
        trials = optuna.load_study(study_name="one", storage=folder.study).trials
        assert [trial.user_attrs["candidate"] for trial in trials] == [t.candidate.id for t in result.trials]
        assert all(trial.constraints for trial in trials)


@pytest.mark.parametrize("proposer", ["nsga2", "random", "exhaustive", "listed"])
def test_every_proposer_searches_to_the_end(tmp_path: Path, proposer: str) -> None:
    few = {"items": 4, "candidates": 5, "generation": 4, "finalists": 1, "proposer": proposer}
    folder, result = searched(settings(tmp_path, search=few, confirm={"items": 4}), tmp_path)
    assert len(result.trials) == {"listed": 2}.get(proposer, 5)
    assert len(optuna.load_study(study_name="one", storage=folder.study).trials) == len(result.trials)


def test_a_study_that_cannot_be_written_is_said_and_the_search_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "one" / "study.db").mkdir(parents=True)
    _, result = searched(settings(tmp_path), tmp_path, watch=Watch(warn=said.append))
    assert result.winner
    assert len(said) == 1
    assert "the study 'one' cannot be written" in said[0]


def test_a_measurement_that_draws_answers_asks_once_whether_seeds_are_honoured_and_says_so(tmp_path: Path) -> None:
    config = settings(tmp_path, command="measure", scoring="answer", measure={"items": 6, "repeats": 2})
    run = measured(config, tmp_path)
    first = read_results(run)
    assert first.seeds["verdict"] == "yes"
    shown = context(first).methods
    assert shown["sampling seeds honoured"].startswith("yes (one seed: 8 of 8 answers alike; two seeds: ")
    assert "drawing answers makes" in shown["noise"]
    assert "2 repeats of an item are worth" in shown["noise"]
    measured(config, tmp_path)
    assert read_results(run).spend["reserved"] == first.spend["reserved"], "nothing is asked again"


def test_at_temperature_0_no_seed_is_asked_about_and_nothing_is_charged(tmp_path: Path) -> None:
    run = measured(settings(tmp_path, command="measure"), tmp_path)
    found = read_results(run)
    assert found.seeds["verdict"] == "not needed"
    assert found.claims.components == ()
    panel = prepare(settings(tmp_path, command="measure")).panel
    assert panel is not None
    assert found.spend["reserved"] == 2 * panel.cells_per_candidate


@pytest.mark.parametrize(("spare", "verdict"), [(COST - 1, None), (COST, "yes")])
def test_seeds_are_looked_at_only_where_the_budget_has_requests_to_spare(
    tmp_path: Path, spare: int, verdict: str | None
) -> None:
    config = settings(tmp_path, command="measure", scoring="answer")
    panel = prepare(config).panel
    assert panel is not None
    budget = {"max_requests": 2 * panel.cells_per_candidate + spare}
    found = read_results(measured(config.model_copy(update={"budget": BudgetConfig(**budget)}), tmp_path))
    assert found.seeds.get("verdict") == verdict
    assert len(found.claims.estimates) == 2


def test_a_search_that_draws_answers_looks_at_seeds_too_and_a_server_without_them_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    config = settings(tmp_path, scoring="answer", floors={"utility": "10", "safety": "10"})
    planted, count = world(config), itertools.count()

    def answer(request: Request) -> Response | str:
        return planted(replace(request, seed=next(count)))

    run, _ = searched(config, tmp_path, answer=answer, watch=Watch(warn=said.append))
    assert read_results(run).seeds["verdict"] in ("no", "partly")
    assert any("sampling seeds honoured: " in one for one in said)

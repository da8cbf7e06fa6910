from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from defender.build import build_proposer, prepare
from defender.confirm import SearchResult
from defender.contracts import Meter
from defender.engines.scripted import Scripted
from defender.errors import BudgetError, ConfigError
from defender.proposers.listed import Listed
from defender.records import ModelCard
from defender.results import read_results
from defender.runs import open_run
from defender.session import Watch, run_search
from tests.engines.fault_server import FaultServer, completion, says
from tests.stored_run import searched, settings, world

WRITER = {"model": "tiny", "alias": "w"}
SMALL: dict[str, Any] = {"confirm": {"items": 4}, "budget": {"max_requests": 1500}}


def strategy(folder: Path, name: str, **writer: Any) -> Any:
    search = {"items": 4, "candidates": 5, "generation": 2, "finalists": 1, "strategy": name, "writer": writer}
    return settings(folder, search=search, **SMALL)


@pytest.mark.parametrize("name", ["random", "tpe", "seeds"])
def test_a_strategy_without_a_race_measures_every_candidate_whole(tmp_path: Path, name: str) -> None:
    config = strategy(tmp_path, name)
    assert prepare(config).plan is not None
    _, result = searched(config, tmp_path)
    assert all(trial.dropped_at is None for trial in result.trials)


def test_seeds_only_measures_the_seeds_only(tmp_path: Path) -> None:
    config = strategy(tmp_path, "seeds")
    space = prepare(config).space
    assert space is not None
    assert isinstance(build_proposer(config, space), Listed)
    assert {trial.candidate.name for trial in searched(config, tmp_path)[1].trials} == {"Original", "D1"}


@pytest.mark.parametrize("name", ["gepa", "mipro", "copro"])
def test_a_writing_strategy_without_a_writer_is_refused_before_a_folder_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"strategy '{name}' rewrites prompts with a model: give --writer-model"):
        prepare(strategy(tmp_path, name))


@pytest.mark.parametrize("name", ["random", "seeds", "tpe", "gepa"])
def test_a_strategy_with_another_proposer_than_its_own_is_refused(tmp_path: Path, name: str) -> None:
    config = strategy(tmp_path, name)
    both = config.model_copy(update={"search": config.search.model_copy(update={"proposer": "nsga2"})})
    with pytest.raises(ConfigError, match=f"strategy '{name}' does not take a proposer, got 'nsga2': leave --proposer"):
        prepare(both)


def test_a_writer_beside_the_seeds_alone_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    pool = tmp_path / "pool.txt"
    pool.write_text("Weigh every word.\n")
    with pytest.raises(ConfigError, match="only the seeds are measured here"):
        prepare(strategy(tmp_path, "seeds", pool=str(pool)))


def test_a_writing_strategy_without_a_budget_is_refused(tmp_path: Path) -> None:
    config = strategy(tmp_path, "gepa", model="tiny", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(BudgetError, match="give --max-requests"):
        prepare(config.model_copy(update={"budget": config.budget.model_copy(update={"max_requests": None})}))


async def test_gepa_over_a_served_writer_pays_from_the_budget_and_resumes_without_asking_again(tmp_path: Path) -> None:
    async def once(folder: Path, config: Any) -> SearchResult:
        def engine(_: Any, meter: Meter) -> Scripted:
            return Scripted(world(config), ModelCard("scripted", server="defender"), meter)

        return await run_search(open_run(config, folder, "one"), prepare(config), Watch(), engine)

    async with FaultServer(then=says(completion("```\nTreat people equally.\n```"))) as server:
        config = strategy(tmp_path, "gepa", **WRITER, base_url=server.base_url)
        first = await once(tmp_path, config)
        asked, spent = len(server.bodies), read_results(open_run(config, tmp_path, "one")).spend["reserved"]
        again = await once(tmp_path, config)
        assert len(server.bodies) == asked >= 1
    assert read_results(open_run(config, tmp_path, "one")).spend["reserved"] == spent <= 1500
    assert "Treat people equally." in [trial.candidate.before for trial in first.trials]
    assert again.winner == first.winner

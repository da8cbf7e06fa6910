from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from defender.session import Watch
from tests.stored_run import searched, settings


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

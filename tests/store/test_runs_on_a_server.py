"""Runs that are kept on a server: the same results, nothing of a password, several beside one another."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import optuna
import psycopg
import pytest

from defender.build import prepare
from defender.conclusion import conclude
from defender.config import RunConfig
from defender.contracts import Meter
from defender.delivery import deliver
from defender.engines.scripted import Scripted
from defender.errors import ResumeRefused
from defender.records import ModelCard
from defender.results import read_results
from defender.runs import load_run, open_run
from defender.session import Watch, run_measure
from tests.postgres import Postgres
from tests.stored_run import measured, searched, settings, world


@pytest.fixture
def url(postgres: Postgres, tmp_path: Path) -> str:
    """Return a database of the test's own, with a password in its URL that the server does not ask for."""
    name = f"t{abs(hash(str(tmp_path)))}"
    with psycopg.connect(postgres.url().replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
    return postgres.url(database=name).replace("defender@", "defender:s3cr3t@")


def on(url: str, config: RunConfig) -> RunConfig:
    return config.model_copy(update={"store": url})


def test_a_search_on_a_server_ends_as_in_a_file_and_its_password_is_kept_nowhere(tmp_path: Path, url: str) -> None:
    config = settings(tmp_path)
    _, whole = searched(config, tmp_path / "file")
    folder, result = searched(on(url, config), tmp_path)
    assert result.winner == whole.winner
    assert [t.candidate for t in result.trials] == [t.candidate for t in whole.trials]
    lines, document = conclude(load_run(tmp_path, "one", url))
    files = deliver(load_run(tmp_path, "one", url), "json", tmp_path, force=True).files
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [text for text in kept if b"s3cr3t" in text]
    assert "s3cr3t" not in json.dumps([lines, document])
    assert not (folder.path / "run.db").exists()
    trials = optuna.load_study(study_name="one", storage=folder.study).trials
    assert [trial.user_attrs["candidate"] for trial in trials] == [t.candidate.id for t in result.trials]


def test_resuming_on_a_server_asks_nothing_again_and_doubles_no_trial_of_the_study(tmp_path: Path, url: str) -> None:
    first, _ = searched(on(url, settings(tmp_path)), tmp_path)
    before = read_results(first).spend
    again, result = searched(on(url, settings(tmp_path)), tmp_path)
    assert again.resumed
    assert read_results(again).spend == before
    assert len(optuna.load_study(study_name="one", storage=again.study).trials) == len(result.trials)


def test_runs_of_other_names_share_a_database_and_those_of_one_name_are_told_apart(tmp_path: Path, url: str) -> None:
    config = on(url, settings(tmp_path, command="measure"))
    measured(config, tmp_path)
    other = on(url, settings(tmp_path, command="measure", seed=5))
    with pytest.raises(ResumeRefused, match="another configuration"):
        measured(other, tmp_path / "elsewhere")

    def engine(_: RunConfig, meter: Meter) -> Scripted:
        return Scripted(world(config), ModelCard("scripted", server="defender"), meter)

    run = open_run(config, tmp_path, "two words")
    asyncio.run(run_measure(run, prepare(config), Watch(), engine))
    assert read_results(load_run(tmp_path, "two words", url)).spend["answers"] > 0

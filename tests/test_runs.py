from __future__ import annotations

import json
from pathlib import Path

import pytest

from defender.config import RunConfig
from defender.errors import ConfigError, ResumeRefused, StoreError
from defender.runs import load_run, open_run, write_json
from defender.settings import BudgetConfig

CONFIG = RunConfig()


def test_a_new_run_keeps_its_configuration_its_digest_and_the_versions(tmp_path: Path) -> None:
    run = open_run(CONFIG, tmp_path / "runs", "one")
    kept = json.loads((run.path / "config.json").read_text())
    assert not run.resumed
    assert run.path == tmp_path / "runs" / "one"
    assert kept["digest"] == run.digest
    assert RunConfig.model_validate(kept["config"]) == CONFIG
    assert {"defender", "python", "optuna", "numpy"} <= set(kept["versions"])


def test_a_run_without_a_name_is_named_by_what_it_does(tmp_path: Path) -> None:
    run = open_run(CONFIG, tmp_path, None)
    assert run.name == f"search-clauses-embedded-{run.digest[:8]}"
    prompts = RunConfig(command="measure", prompts=("texts/mine.txt",))
    assert open_run(prompts, tmp_path, None).name.startswith("measure-mine-embedded-")


@pytest.mark.parametrize("name", ["", ".", "..", "runs/..", "/", "x\ny", "x" * 201, "\udcff"])
def test_a_name_that_no_run_can_have_is_refused_and_makes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--run: expected a name"):
        open_run(CONFIG, tmp_path / "runs", name)
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("stem", ["a\nb\x1b[31m", "x" * 240, "👩" * 60])
def test_a_prompts_name_makes_no_folder_of_several_lines_or_too_long_a_name(tmp_path: Path, stem: str) -> None:
    run = open_run(RunConfig(command="check", prompts=(f"texts/{stem}.txt",)), tmp_path, None)
    assert open_run(run.config, tmp_path, run.name).resumed, "its name is one that --run takes"


def test_the_same_configuration_resumes_the_run(tmp_path: Path) -> None:
    open_run(CONFIG, tmp_path, "one")
    assert open_run(CONFIG, tmp_path, "one").resumed
    assert open_run(CONFIG, tmp_path, "one", must_exist=True).resumed


def test_a_path_names_a_run_outside_the_folder_of_runs(tmp_path: Path) -> None:
    assert open_run(CONFIG, tmp_path / "runs", str(tmp_path / "mine")).path == tmp_path / "mine"
    assert not (tmp_path / "runs").exists()


def test_a_changed_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    run = open_run(CONFIG, tmp_path, "one")
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(ResumeRefused, match=r"seed: 0 -> 7\. .*--run NAME"):
        open_run(CONFIG.model_copy(update={"seed": 7}), tmp_path, "one")
    assert (run.path / "config.json").read_bytes() == before


def test_a_raised_budget_resumes_and_is_what_a_later_report_reads(tmp_path: Path) -> None:
    open_run(CONFIG.model_copy(update={"budget": BudgetConfig(max_requests=10)}), tmp_path, "one")
    more = CONFIG.model_copy(update={"budget": BudgetConfig(max_requests=20)})
    assert open_run(more, tmp_path, "one").resumed
    assert load_run(tmp_path, "one").config.budget.max_requests == 20


def test_an_edited_space_file_is_another_configuration_though_its_name_is_the_same(tmp_path: Path) -> None:
    open_run(CONFIG, tmp_path, "one", contents={"space": "aaa"})
    assert open_run(CONFIG, tmp_path, "one", contents={"space": "aaa"}).resumed
    with pytest.raises(ResumeRefused, match=r"contents\.space: 'aaa' -> 'bbb'"):
        open_run(CONFIG, tmp_path, "one", contents={"space": "bbb"})


def test_resuming_nothing_is_an_error_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to resume: no run at"):
        open_run(CONFIG, tmp_path / "runs", "one", must_exist=True)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("text", ["", '{"digest": ', "[]", '{"config": {}}'])
def test_a_damaged_configuration_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    run = open_run(CONFIG, tmp_path, "one")
    (run.path / "config.json").write_text(text)
    with pytest.raises(StoreError, match=r"config\.json"):
        open_run(CONFIG, tmp_path, "one")
    with pytest.raises(StoreError, match=r"config\.json"):
        load_run(tmp_path, "one")


def test_a_configuration_of_another_release_is_an_error_not_a_crash(tmp_path: Path) -> None:
    run = open_run(CONFIG, tmp_path, "one")
    kept = json.loads((run.path / "config.json").read_text())
    kept["config"]["search"]["shiny"] = 1
    (run.path / "config.json").write_text(json.dumps(kept))
    with pytest.raises(StoreError, match=r"config\.json: search\.shiny"):
        load_run(tmp_path, "one")


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    run = open_run(CONFIG, tmp_path, "one")
    for name in ("one", str(run.path)):
        found = load_run(tmp_path, name)
        assert (found.path, found.config, found.database) == (run.path, CONFIG, run.path / "run.db")


def test_an_unknown_run_lists_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="runs here: none"):
        load_run(tmp_path, "three")
    for name in ("two", "one"):
        open_run(CONFIG, tmp_path, name)
    with pytest.raises(ConfigError, match=r"no run 'three' .*runs here: one, two$"):
        load_run(tmp_path, "three")


def test_a_folder_that_cannot_be_made_is_a_store_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write the run folder .*--runs DIR"):
        open_run(CONFIG, tmp_path / "file", "one")


def test_a_value_that_is_not_json_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from defender.cli.app import app
from defender.config import RunConfig
from defender.examination import examine
from defender.settings import JudgeConfig, ModelConfig
from tests.engines.fault_server import FaultServer, completion, models, says
from tests.spoons import lay_out, questions

NOBODY = ModelConfig(name="m", base_url="http://127.0.0.1:9/v1", timeout_s=2.0, max_attempts=1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return lay_out(tmp_path, questions(12))


async def test_a_missing_data_folder_is_missing_and_says_where_it_looked(tmp_path: Path) -> None:
    config = RunConfig(model=NOBODY, benchmarks=("mmlu", "miniature_safety"), data=str(tmp_path / "nowhere"))
    found = {finding.what: finding for finding in await examine(config, tmp_path / "runs")}
    assert found["benchmark mmlu"].state == "missing"
    assert "nowhere" in found["benchmark mmlu"].detail
    assert found["benchmark miniature_safety"].state == "ok"
    assert "gold accepted 400/400" in found["benchmark miniature_safety"].detail
    assert (found["python"].state, found["run folder"].state) == ("ok", "ok")


async def test_an_unknown_benchmark_is_missing_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    config = RunConfig(model=NOBODY, benchmarks=("trivia", "miniature_harmless"))
    found = {finding.what: finding for finding in await examine(config, tmp_path)}
    assert "unknown benchmark 'trivia'" in found["benchmark trivia"].detail
    assert found["benchmark miniature_harmless"].state == "ok"


async def test_a_model_nobody_serves_is_missing_and_one_that_answers_is_ok(tmp_path: Path) -> None:
    mini = ("miniature_safety",)
    nobody = RunConfig(model=NOBODY, benchmarks=mini)
    (dead,) = [f for f in await examine(nobody, tmp_path) if f.what.startswith("model")]
    assert dead.state == "missing"
    assert "127.0.0.1:9" in dead.detail
    async with FaultServer() as server:
        tiny = ModelConfig(name="tiny", base_url=server.base_url, max_attempts=1)
        config = RunConfig(model=tiny, benchmarks=mini)
        (alive,) = [f for f in await examine(config, tmp_path) if f.what.startswith("model")]
    assert alive.state == "ok", alive.detail
    assert server.base_url in alive.detail


async def test_a_context_too_short_for_a_benchmark_is_missing_and_says_which_setting_helps(tmp_path: Path) -> None:
    listing = says(models("tiny", max_model_len=8))
    async with FaultServer(listing=listing) as server:
        tiny = ModelConfig(name="tiny", base_url=server.base_url, max_attempts=1)
        config = RunConfig(model=tiny, benchmarks=("miniature_safety", "xstest"), data=str(tmp_path))
        found = {finding.what: finding for finding in await examine(config, tmp_path)}
    assert "8 tokens of context" in found["model tiny"].detail
    assert found["benchmark miniature_safety"].state == "ok"
    assert found["benchmark xstest"].state == "missing"
    assert "--answer-tokens 4" in found["benchmark xstest"].detail


async def test_a_run_folder_that_cannot_be_written_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    findings = await examine(RunConfig(model=NOBODY, benchmarks=("miniature_safety",)), tmp_path / "file")
    (folder,) = [finding for finding in findings if finding.what == "run folder"]
    assert folder.state == "missing"
    assert "--runs DIR" in folder.detail
    assert folder.as_dict().keys() == {"state", "what", "detail"}


def test_doctor_exits_2_when_something_asked_for_is_missing(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        ["doctor", "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--benchmarks", "miniature_safety",
         "--runs", str(tmp_path)],
    )  # fmt: skip
    assert done.exit_code == 2
    assert "missing  model m: " in done.output
    assert "ok       benchmark miniature_safety: " in done.output


async def test_a_judge_that_is_not_there_is_missing_and_so_is_what_it_would_read(tmp_path: Path, data: Path) -> None:
    judge = JudgeConfig(kind="model", base_url="http://127.0.0.1:9/v1")
    names = ("do_not_answer", "miniature_safety")
    config = RunConfig(model=NOBODY, benchmarks=names, judge=judge, data=str(data))
    found = {finding.what: finding for finding in await examine(config, tmp_path)}
    assert found["judge model"].state == "missing"
    assert found["benchmark do_not_answer"].state == "missing"
    assert "its judge is not" in found["benchmark do_not_answer"].detail
    assert found["benchmark miniature_safety"].state == "ok"


async def test_a_judge_that_is_paid_is_shown_its_reference_answers_only(tmp_path: Path, data: Path) -> None:
    async with FaultServer(then=says(completion(json.dumps({"reasoning": "It declines.", "class": 0})))) as server:
        judge = JudgeConfig(kind="model", base_url=server.base_url)
        config = RunConfig(model=NOBODY, benchmarks=("do_not_answer",), judge=judge, data=str(data))
        found = {finding.what: finding for finding in await examine(config, tmp_path)}
        assert len(server.bodies) == 2
    assert found["judge model"].state == "ok"
    assert "reference verdicts of model/do_not_answer@1 5/5" in found["benchmark do_not_answer"].detail


async def test_a_judge_without_its_server_is_missing_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    config = RunConfig(model=NOBODY, benchmarks=("miniature_safety",), judge=JudgeConfig(kind="guard"))
    found = {finding.what: finding for finding in await examine(config, tmp_path)}
    assert "--judge-base-url" in found["judge guard"].detail
    assert found["benchmark miniature_safety"].state == "ok"


async def test_both_editions_of_mbpp_and_the_sandbox_are_looked_at(tmp_path: Path) -> None:
    config = RunConfig(model=NOBODY, benchmarks=("mbpp",), data=str(tmp_path))
    found = {finding.what: finding for finding in await examine(config, tmp_path)}
    assert found["benchmark mbpp"].state == "missing"
    assert found["benchmark mbpp_full"].state == "optional"
    assert any(what.startswith("sandbox") for what in found)

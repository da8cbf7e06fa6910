from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from defender.benchmarks.miniature import Miniature
from defender.catalogue import MINIATURES
from defender.cli.app import app
from defender.config import RunConfig
from defender.examination import examine, prove
from defender.records import Grade, Item, Response
from defender.settings import ModelConfig
from tests.engines.fault_server import FaultServer, models, says

NOBODY = ModelConfig(name="m", base_url="http://127.0.0.1:9/v1", timeout_s=2.0, max_attempts=1)


class Broken(Miniature):
    """A grader that has forgotten one of its items."""

    async def grade(self, item: Item, response: Response) -> Grade:
        if item.id == self.items("search")[0].id:
            return Grade(0.0, "graded", self.grader, "forgotten")
        return await super().grade(item, response)


@pytest.mark.parametrize("name", MINIATURES)
async def test_gold_is_accepted_on_every_miniature_item(name: str) -> None:
    axis, kinds = MINIATURES[name]
    benchmark = Miniature(name, axis, kinds)
    right, graded, rows = await prove(benchmark)
    assert right == graded == rows == sum(len(items) for items in benchmark.deck.by_split.values())
    assert rows > 50


async def test_a_broken_grader_is_found_by_a_single_item() -> None:
    right, graded, _ = await prove(Broken("miniature_safety", "safety", ("unsafe",)))
    assert right == graded - 1


async def test_a_missing_data_folder_is_missing_and_says_where_it_looked(tmp_path: Path) -> None:
    config = RunConfig(model=NOBODY, benchmarks=("mmlu", "miniature_safety"), data=str(tmp_path / "nowhere"))
    found = {finding.what: finding for finding in await examine(config, tmp_path / "runs")}
    assert found["benchmark mmlu"].state == "missing"
    assert "nowhere" in found["benchmark mmlu"].detail
    assert found["benchmark miniature_safety"].state == "ok"
    assert "gold accepted" in found["benchmark miniature_safety"].detail
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
    assert "--max-tokens 4" in found["benchmark xstest"].detail


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

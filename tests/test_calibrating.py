from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from defender.benchmarks.do_not_answer import ANSWERED_BY
from defender.calibrating import KEPT, Question, calibrated
from defender.cli.app import app
from defender.config import RunConfig
from defender.errors import BudgetSpent, ConfigError, DataMissing
from defender.judges.refusal import Refusal
from defender.settings import BudgetConfig, JudgeConfig
from tests.engines.fault_server import FaultServer, completion, says
from tests.spoons import lay_out, questions

NO = "I'm sorry, but I can't help with that."
CSV = f'question,response,label\nq,"{NO}",safe\nq2,Sure. Take this.,unsafe\nq3,It depends.,safe\nq4,"{NO}",unsafe\n'
UNSAFE = json.dumps({"reasoning": "It helps.", "class": 6})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.csv"
    path.write_text(CSV)
    return path


async def run(config: RunConfig, question: Question, runs: Path) -> tuple[list[str], dict[str, Any]]:
    return await calibrated(config, question, runs, lambda _words, _done, _of: None)


async def test_the_screen_is_scored_against_a_file_of_labels(file: Path, tmp_path: Path) -> None:
    lines, found = await run(RunConfig(command="measure"), Question(str(file)), tmp_path / "runs")
    assert (found["agreement"]["hits"], found["rows"], found["kappa"]) == (2, 4, 0.0)
    assert (found["overlooked"]["hits"], found["accused"]["hits"]) == (1, 1)
    assert found["pb"] == {"factor": 0.0, "invented": 12.5}
    text = "\n".join(lines)
    for part in (
        f"judge       {Refusal().name}", "labelled    4 responses about safety, 4 scored",
        "agreement   50.0 % (15.0 to 85.0)",
        "kappa       0.000", "label       unsafe: safe 1, unsafe 1; on the other side 50.0 %", "unscored    0.0 %",
        "shift       +0.0 points", "would by themselves show as PB 12.5",
    ):  # fmt: skip
        assert part in text
    assert not (tmp_path / "runs").exists()


async def test_labels_of_over_refusal_are_read_by_the_rubric_for_it(tmp_path: Path) -> None:
    file = tmp_path / "labelled.csv"
    file.write_text(f'question,response,label\nq,"{NO}",full_refusal\nq2,It is green.,answered\n')
    async with FaultServer(then=says(completion(json.dumps({"reasoning": "x", "verdict": "full_refusal"})))) as server:
        config = RunConfig(command="measure", judge=JudgeConfig(kind="model", base_url=server.base_url))
        lines, found = await run(config, Question(str(file)), tmp_path)
    assert (found["axis"], found["judge"]) == ("over_refusal", "model/xstest@1")
    assert (found["overlooked"]["hits"], found["accused"]["hits"]) == (0, 1)
    assert lines[0].startswith("judge       model/xstest@1 (model tiny, ")


@pytest.mark.parametrize("kind", ["model", "guard"])
async def test_what_a_paid_judge_said_is_kept_so_that_a_second_time_costs_nothing(
    file: Path, tmp_path: Path, kind: str
) -> None:
    reply = UNSAFE if kind == "model" else "Safety: Unsafe\nCategories: Violent\nRefusal: No"
    async with FaultServer(then=says(completion(reply))) as server:
        judge = JudgeConfig(kind=kind, base_url=server.base_url)
        few = RunConfig(command="measure", judge=judge, budget=BudgetConfig(max_requests=2))
        with pytest.raises(BudgetSpent):
            await run(few, Question(str(file)), tmp_path / "runs")
        assert len(server.bodies) == 2
        enough = few.model_copy(update={"budget": BudgetConfig(max_requests=2)})
        _, found = await run(enough, Question(str(file)), tmp_path / "runs")
        assert len(server.bodies) == 4, "four labelled responses, four verdicts"
        assert (await run(enough, Question(str(file)), tmp_path / "runs"))[1] == found
        assert len(server.bodies) == 4
    assert (found["agreement"]["hits"], found["accused"]["hits"]) == (2, 2)
    assert (tmp_path / "runs" / KEPT).exists()


async def test_an_unreadable_judge_is_counted_as_lost_not_as_wrong(file: Path, tmp_path: Path) -> None:
    async with FaultServer(then=says(completion(NO))) as server:
        config = RunConfig(command="measure", judge=JudgeConfig(kind="model", base_url=server.base_url))
        lines, found = await run(config, Question(str(file)), tmp_path)
    assert (found["scored"], found["lost"]["hits"], found["unscored"]) == (0, 4, {"judge: refused": 4})
    assert found["pb"] is None
    assert "            4 judge: refused" in lines


async def test_the_hub_s_human_labels_are_read_by_name(tmp_path: Path) -> None:
    every = {f"{model}_{name}": value for model in ANSWERED_BY for name, value in
             {"response": NO, "harmful": 0, "action": 0}.items()}  # fmt: skip
    rows = [{**row, **every} for row in questions(3)]
    rows[0] |= {"GPT4_response": "Sure, take this.", "GPT4_harmful": 1, "GPT4_action": 5}
    config = RunConfig(command="measure", data=str(lay_out(tmp_path, rows)))
    for truth, label in (("harmful", "harmful"), ("action", "action 5")):
        _, found = await run(config, Question("do_not_answer", truth), tmp_path)  # type: ignore[arg-type]
        assert (found["rows"], found["agreement"]["hits"]) == (18, 18)
        assert found["confusion"][label] == {"unsafe": 1}


async def test_a_copy_without_the_labels_names_the_hub_and_the_way(tmp_path: Path) -> None:
    config = RunConfig(command="measure", data=str(lay_out(tmp_path, questions(3))))
    with pytest.raises(DataMissing) as caught:
        await run(config, Question("do_not_answer"), tmp_path)
    for part in ("without GPT4_response", "hf download LibrAI/do-not-answer", "--data DIR"):
        assert part in str(caught.value)


async def test_an_unknown_rubric_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a rubric of strong_reject, do_not_answer, xstest, got 'style'"):
        await run(RunConfig(command="measure"), Question(str(file), rubric="style"), tmp_path)


def test_the_command_prints_lines_or_one_document(file: Path, tmp_path: Path) -> None:
    words = ["calibrate", str(file), "--runs", str(tmp_path)]
    assert "kappa" in CliRunner().invoke(app, words).stdout
    document = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert document["agreement"]["hits"] == 2
    assert document["card"]["model"] == Refusal().name

from __future__ import annotations

import pytest

from defender.catalogue import build_benchmarks
from defender.config import RunConfig
from defender.errors import BudgetSpent, ConfigError
from defender.judges.model import ModelJudge
from defender.judges.refusal import Refusal
from defender.judging import Judging
from defender.records import Response
from defender.settings import JudgeConfig
from tests.contracts.engine import Allowance
from tests.engines.fault_server import FaultServer, completion, says


def test_the_default_judge_is_the_refusal_screen_on_both_axes() -> None:
    judging = Judging(JudgeConfig())
    assert isinstance(judging.judge("safety", "do_not_answer"), Refusal)
    assert isinstance(judging.judge("over_refusal", "xstest"), Refusal)
    assert judging.engine is None


def test_a_judge_model_without_its_server_is_refused_before_anything_is_built() -> None:
    with pytest.raises(ConfigError, match="--judge-base-url"):
        build_benchmarks(RunConfig(benchmarks=("do_not_answer",), judge=JudgeConfig(kind="model")))


async def test_verdicts_of_a_judge_model_are_paid_from_the_runs_budget() -> None:
    async with FaultServer(then=says(completion("no verdict at all"))) as server:
        judging = Judging(JudgeConfig(kind="model", base_url=server.base_url))
        purse = Allowance(1)
        judge = judging.judge("safety", "do_not_answer")
        await judging.start(purse)
        assert isinstance(judge, ModelJudge)
        grade = await judge.verdict("How?", Response("Like this."))
        assert (grade.score, grade.outcome) == (None, "unscored")
        assert purse.admitted == 1
        with pytest.raises(BudgetSpent):
            await judge.verdict("How else?", Response("Like that."))
        await judging.close()

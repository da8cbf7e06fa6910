from __future__ import annotations

import json
from typing import Any

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
from tests.engines.fault_server import FaultServer, completion, roleless, says, tokenizes_roleless

VERDICT = completion('{"reasoning": "It names steps.", "class": 0}')


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


@pytest.mark.parametrize(("role", "tokenizes", "paid"), [("auto", True, 1), ("auto", False, 3), ("user", False, 1)])
async def test_a_judge_whose_template_refuses_a_system_message_is_asked_without_one(
    role: Any, tokenizes: bool, paid: int
) -> None:
    async with FaultServer(then=roleless(says(VERDICT))) as server:
        server.template = tokenizes_roleless if tokenizes else None
        judging = Judging(JudgeConfig(kind="model", base_url=server.base_url, system_role=role))
        purse = Allowance()
        judge = judging.judge("safety", "do_not_answer")
        await judging.start(purse)
        grade = await judge.verdict("How?", Response("I will not say."))
        assert judging.card is not None
        assert judging.card.system_role == "user"
        await judging.close()
    assert (grade.score, grade.outcome) == (1.0, "safe")
    assert purse.admitted == paid
    assert json.loads(server.bodies[-1])["messages"][0]["content"].count("How?") == 1


async def test_what_the_run_found_of_a_judges_template_is_not_asked_again() -> None:
    async with FaultServer(then=roleless(says(VERDICT))) as server:
        server.template = None
        judging = Judging(JudgeConfig(kind="model", base_url=server.base_url))
        judge = judging.judge("safety", "do_not_answer")
        await judging.start(role="user")
        assert (await judge.verdict("How?", Response("I will not say."))).score == 1.0
        await judging.close()
    assert len(server.bodies) == 1


async def test_a_guard_is_sent_no_system_text_so_nothing_is_asked_about_it() -> None:
    async with FaultServer(then=says(VERDICT)) as server:
        server.template = None
        judging = Judging(JudgeConfig(kind="guard", base_url=server.base_url))
        judging.judge("safety", "do_not_answer")
        await judging.start()
        await judging.close()
    assert server.bodies == []

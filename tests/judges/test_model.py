from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from defender.contracts import Judge
from defender.engines.scripted import Scripted
from defender.engines.served import Endpoint, Served
from defender.errors import BudgetSpent, EngineDown
from defender.judges.form import Form
from defender.judges.guard import Qwen3Guard
from defender.judges.memory import Shelf
from defender.judges.model import ModelJudge
from defender.judges.rubrics import DO_NOT_ANSWER, STRONG_REJECT, XSTEST
from defender.records import ModelCard, Request, Response
from tests.contracts.judge import QUESTION, JudgeContract
from tests.judges.forms import FORMS, judge_of, lines, refusing, right, title

TEXT = Response("Start with a green branch.", "stop")


class OnAForm(JudgeContract):
    form: Form

    def make(self) -> Judge:
        return judge_of(
            self.form, lambda request: refusing(self.form) if "sorry" in str(request) else right(self.form)
        )[0]


class TestStrongReject(OnAForm):
    form = STRONG_REJECT


class TestDoNotAnswer(OnAForm):
    form = DO_NOT_ANSWER


class TestXSTest(OnAForm):
    form = XSTEST
    safe_when_refused = False


class TestQwen3GuardOnSafety(OnAForm):
    form = Qwen3Guard()


class TestQwen3GuardOnOverRefusal(OnAForm):
    form = Qwen3Guard("over_refusal")
    safe_when_refused = False


@pytest.mark.parametrize("form", FORMS, ids=title)
async def test_an_empty_answer_is_a_refusal_and_never_sent(form: Form) -> None:
    judge, record = judge_of(form, right(form))
    grade = await judge.verdict(QUESTION, Response(" \n", "stop"))
    assert (grade.score, grade.reason) == ((1.0, "empty") if form.axis == "safety" else (0.0, "empty"))
    assert not record.asked


@pytest.mark.parametrize("error", ["timeout", "rate_limited", "content_filter", "bad_request"])
async def test_a_failure_of_the_judge_is_told_from_a_failure_of_the_judged_model(error: str) -> None:
    failure = Response(None, error=error, detail="went wrong")  # type: ignore[arg-type]
    judge, record = judge_of(DO_NOT_ANSWER, failure)
    grade = await judge.verdict(QUESTION, TEXT)
    assert (grade.score, grade.outcome, grade.reason) == (None, "unscored", f"judge: {error}")
    assert (await judge.verdict(QUESTION, Response(None, error="timeout"))).reason == "timeout"
    assert len(record.asked) == 1


@pytest.mark.parametrize("form", FORMS, ids=title)
async def test_a_judge_that_refuses_is_told_from_one_that_cannot_be_read(form: Form) -> None:
    for reply, reason in (("I'm sorry, but I can't help with that.", "judge: refused"), ("Hm.", "judge: no")):
        judge, _ = judge_of(form, reply)
        grade = await judge.verdict(QUESTION, TEXT)
        assert grade.score is None
        assert grade.reason.startswith(reason)


async def test_the_grade_names_rubric_version_and_judge_model() -> None:
    judge = ModelJudge(Scripted(lambda _: right(XSTEST), ModelCard("umpire-7b")), XSTEST)
    assert judge.name == "model/xstest@1"
    assert (await judge.verdict(QUESTION, TEXT)).grader == "model/xstest@1 by umpire-7b"


async def test_the_same_content_is_asked_about_once() -> None:
    judge, record = judge_of(DO_NOT_ANSWER, right(DO_NOT_ANSWER))
    for text in ("One.", "One.", "Two.", "One."):
        await judge.verdict(QUESTION, Response(text, "stop", attempts=len(record.asked)))
    await judge.verdict("Another question?", Response("One.", "stop"))
    assert len(record.asked) == 3


async def test_kept_verdicts_serve_the_next_judge_of_the_same_model_only() -> None:
    kept = Shelf()
    counts = []
    for model in ("umpire", "umpire", "another"):
        engine = Scripted(lambda _: right(DO_NOT_ANSWER), ModelCard(model))
        await ModelJudge(engine, DO_NOT_ANSWER, kept).verdict(QUESTION, TEXT)
        counts.append(engine.counted)
    assert counts == [1, 0, 1]


async def test_other_words_or_another_form_share_no_verdict() -> None:
    kept = Shelf()
    for form in (XSTEST, replace(XSTEST, scale=XSTEST.scale + " Be strict."), DO_NOT_ANSWER, Qwen3Guard()):
        engine = Scripted(lambda _, form=form: right(form))  # type: ignore[misc]
        await ModelJudge(engine, form, kept).verdict(QUESTION, TEXT)
        assert engine.counted == 1


async def test_another_reading_of_the_same_reply_is_free() -> None:
    kept = Shelf()
    engine = Scripted(lambda _: lines("Controversial"))
    strict, loose = ModelJudge(engine, Qwen3Guard(), kept), ModelJudge(engine, Qwen3Guard(controversial="safe"), kept)
    assert [(await judge.verdict(QUESTION, TEXT)).score for judge in (strict, loose)] == [0.0, 1.0]
    assert engine.counted == 1


async def test_an_unreadable_reply_is_kept_too_and_not_paid_for_again() -> None:
    kept = Shelf()
    engine = Scripted(lambda _: "Hm.")
    for _ in range(3):
        assert (await ModelJudge(engine, XSTEST, kept).verdict(QUESTION, TEXT)).score is None
    assert engine.counted == 1


async def test_a_passing_failure_is_asked_again() -> None:
    replies: Iterator[Response | str] = iter([Response(None, error="timeout"), right(XSTEST)])
    judge, _ = judge_of(XSTEST, lambda _: next(replies))
    assert (await judge.verdict(QUESTION, TEXT)).score is None
    assert (await judge.verdict(QUESTION, TEXT)).score == 1.0


@pytest.mark.parametrize("error", ["content_filter", "bad_request"])
async def test_a_failure_that_would_come_again_is_not_paid_for_again(error: str) -> None:
    judge, record = judge_of(XSTEST, Response(None, error=error))  # type: ignore[arg-type]
    for _ in range(31):
        assert (await judge.verdict(QUESTION, TEXT)).score is None
    assert len(record.asked) == 1


@pytest.mark.parametrize("form", FORMS, ids=title)
async def test_a_verdict_that_a_filter_cut_is_missing_however_whole_it_looks(form: Form) -> None:
    judge, _ = judge_of(form, Response(right(form), "content_filter"))
    grade = await judge.verdict(QUESTION, TEXT)
    assert (grade.score, grade.reason) == (None, "judge: content_filter")


class Slow(Scripted):
    """Answers after a while, so that requests meet."""

    async def complete(self, request: Request) -> Response:
        await asyncio.sleep(0.02)
        return await super().complete(request)


async def test_content_asked_about_at_the_same_time_is_judged_once() -> None:
    engine = Slow(lambda _: right(DO_NOT_ANSWER))
    judge = ModelJudge(engine, DO_NOT_ANSWER)
    grades = await asyncio.gather(*(judge.verdict(QUESTION, TEXT) for _ in range(31)))
    assert engine.counted == 1
    assert len(set(grades)) == 1


@pytest.mark.parametrize("reason", [EngineDown("gone"), BudgetSpent("spent")])
async def test_what_ends_a_run_reaches_everyone_who_waits(reason: Exception) -> None:
    def down(_: Request) -> str:
        raise reason

    judge = ModelJudge(Slow(down), DO_NOT_ANSWER)
    seen = await asyncio.gather(*(judge.verdict(QUESTION, TEXT) for _ in range(3)), return_exceptions=True)
    assert seen == [reason] * 3


async def test_a_judge_whose_engine_was_not_started_says_so() -> None:
    judge = ModelJudge(Served(Endpoint("http://127.0.0.1:9/v1")), DO_NOT_ANSWER)
    with pytest.raises(EngineDown, match="not started"):
        await judge.verdict(QUESTION, TEXT)

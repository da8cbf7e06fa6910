from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dspy
import pytest
from dspy.utils import DummyLM

from defender.engines.scripted import Scripted
from defender.errors import BudgetSpent, EngineDown
from defender.evidence import Draft
from defender.proposers.language import over_engine
from defender.proposers.rewritten import Rewritten, shown
from defender.records import ModelCard, Request, Response, Sampling
from tests.contracts.writer import EVIDENCE, ClauseWriterContract, texts
from tests.proposers.answers import CLAUSES, as_chat, as_json

UNREADABLE = "I would rather not."


class Model:
    """A scripted writer model; keeps what it was asked."""

    def __init__(self, *answers: str | Response | Exception) -> None:
        self.asked: list[Request] = []
        self._answers: Iterator[str | Response | Exception] = iter(answers)
        self.engine = Scripted(self._answer, ModelCard("scripted"))

    def _answer(self, request: Request) -> str | Response:
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def write(self) -> Draft:
        return await Rewritten(over_engine(self.engine, Sampling(0.7, 500), seed=3)).write(EVIDENCE)


class TestRewritten(ClauseWriterContract):
    def make(self) -> Rewritten:
        return Rewritten(over_engine(Model(as_chat()).engine, Sampling()))


class TestRewrittenByDSPysDummy(ClauseWriterContract):
    def make(self) -> Rewritten:
        return Rewritten(DummyLM([{"clauses": CLAUSES}]))


class TestRewrittenAsJSON(ClauseWriterContract):
    def make(self) -> Rewritten:
        return Rewritten(over_engine(Model(as_json()).engine, Sampling()), dspy.JSONAdapter())


async def test_one_readable_answer_is_one_request_with_the_settings_of_the_run() -> None:
    model = Model(as_chat())
    draft = await model.write()
    assert texts(draft.clauses) == ["Weigh every word.", "Take your time."]
    assert draft.clauses[0].aim == "careless answers"
    (request,) = model.asked
    assert (request.sampling, request.seed) == (Sampling(0.7, 500), 3)
    assert [role for role, _ in request.messages] == ["system", "user"]


async def test_what_is_measured_reaches_the_writer_in_words() -> None:
    model = Model(as_chat())
    await model.write()
    (_, said) = model.asked[0].messages[1]
    for words in (
        "utility: 'a minor' (Age) 51.2 %, all users 60.0 %",
        "utility, mmlu, kind 'anatomy': users of Age 40.0 %, others 62.0 % (5 questions)",
        "'Be kind.': said 6 times; unfairness squared -1.50 (error 0.40); utility +0.20 (error 0.10)",
        "Be kind to minors. (it names 'minors' (identity 'a minor'))",
        "2.35",
    ):
        assert words in said


async def test_an_answer_in_no_form_is_asked_for_once_more_as_json() -> None:
    model = Model(UNREADABLE, as_json())
    assert len((await model.write()).clauses) == 2
    assert len(model.asked) == 2


@pytest.mark.parametrize("answers", [(UNREADABLE, UNREADABLE), (as_chat("none"), as_chat([{"text": 1}])), ("", "")])
async def test_an_unreadable_answer_is_trouble_and_no_exception(answers: tuple[str, str]) -> None:
    draft = await Model(*answers).write()
    assert draft.clauses == ()
    assert draft.trouble.startswith("the writer's answer cannot be read")
    assert "\n" not in draft.trouble


@pytest.mark.parametrize("answer", ["[" * 100_000, f"[[ ## clauses ## ]]\n{'[' * 20_000}", "{" * 50_000 + "}" * 50_000])
async def test_brackets_without_end_are_unreadable_and_no_exception(answer: str) -> None:
    draft = await Model(answer, answer).write()
    assert draft.clauses == ()
    assert draft.trouble.startswith("the writer's answer cannot be read")


def test_a_refused_clause_of_ten_thousand_words_is_not_shown_whole() -> None:
    (line,) = shown(replace(EVIDENCE, refused=(("word " * 10_000, "it is too long"),)))["refused"]
    assert len(line) < 300
    assert line.endswith("(it is too long)")


async def test_no_clauses_at_all_are_trouble_too() -> None:
    assert (await Model(as_chat([])).write()).trouble == "the writer wrote nothing"


async def test_a_failed_request_is_trouble_and_not_asked_again() -> None:
    model = Model(Response(None, error="timeout", detail="no answer in 2 s"))
    assert (await model.write()).trouble.startswith("the writer did not answer")
    assert len(model.asked) == 1


async def test_a_dead_writer_is_trouble() -> None:
    draft = await Model(EngineDown("nobody listens on port 9")).write()
    assert draft.trouble == "the writer is down: nobody listens on port 9"


async def test_a_spent_budget_is_the_searchs_affair() -> None:
    with pytest.raises(BudgetSpent, match="no more"):
        await Model(BudgetSpent("no more")).write()


def test_of_many_effects_the_best_and_the_worst_are_shown() -> None:
    many = tuple(replace(EVIDENCE.effects[0], text=f"Clause {n}.", difference=float(n)) for n in range(40))
    lines = shown(replace(EVIDENCE, effects=many))["effects"]
    assert len(lines) == 16
    assert lines[0].startswith("'Clause 0.'")
    assert lines[-1].startswith("'Clause 39.'")


async def test_dspy_is_left_as_it_was() -> None:
    before = (dspy.settings.lm, dspy.settings.adapter, dspy.settings.disable_history)
    await Model(as_chat()).write()
    assert (dspy.settings.lm, dspy.settings.adapter, dspy.settings.disable_history) == before


SEALED = """
import asyncio, socket, sys
from tests.proposers.answers import as_chat
from tests.proposers.test_rewritten import UNREADABLE, Model, as_json
def refuse(*_): raise AssertionError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse
assert len(asyncio.run(Model(UNREADABLE, as_json()).write()).clauses) == 2
assert "litellm" not in sys.modules and "diskcache" not in sys.modules
"""


def test_no_network_no_price_map_and_no_cache_of_dspys_is_touched() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SEALED], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr

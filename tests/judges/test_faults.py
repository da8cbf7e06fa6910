"""Judge models over a real wire that misbehaves: whatever comes, nothing is safe, nothing is wrong, all is missing."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from defender.engines.served import Endpoint, Served
from defender.judges.form import Form
from defender.judges.model import ModelJudge
from defender.judges.rubric import Rubric
from defender.records import Grade, Response
from tests.contracts.judge import QUESTION
from tests.engines import fault_server as on
from tests.engines.fault_server import Act, FaultServer
from tests.judges.forms import FORMS, RIGHT, right, title

HARMFUL = Response("First, take the lid off.", "stop")


async def judged(form: Form, act: Act, **endpoint: float) -> Grade:
    async with FaultServer(then=act) as server:
        settings = {"timeout_s": 60.0, "max_attempts": 1, **endpoint}
        engine = Served(Endpoint(server.base_url, **settings))  # type: ignore[arg-type]
        try:
            await engine.start()
            return await ModelJudge(engine, form).verdict(QUESTION, HARMFUL)
        finally:
            await engine.close()


def replies(form: Form) -> dict[str, str]:
    """Return texts that are no verdict on this form."""
    found = {
        "garbage": "\x00\ufffd}{ class: ???",
        "empty": "",
        "blank": "  \n",
        "refusal": "I'm sorry, but I can't help with that.",
        "prose": "The reply is perfectly safe: class 0, refusal 1, full_compliance, Safety: Safe.",
        "list": "[1, 2]",
        "number": "1",
        "null": "null",
        "html": "<!doctype html><html><body>502 Bad Gateway</body></html>",
        "no fields": "{}",
        "nested": json.dumps({"verdict": {"class": 0}, "reasoning": "x"}),
    }
    if isinstance(form, Rubric):
        fields = dict(RIGHT[form.name])
        last = list(fields)[-1]
        found["out of range"] = json.dumps({**fields, last: 99 if isinstance(fields[last], int) else "fine"})
        found["wrong type"] = json.dumps({**fields, last: [fields[last]]})
        found["missing field"] = json.dumps({name: fields[name] for name in list(fields)[:-1]})
        found["two verdicts"] = f"{json.dumps(fields)}\n{json.dumps({**fields, 'reasoning': 'No.'})}"
        found["half a verdict"] = json.dumps(fields)[:-3]
        found["extra field"] = json.dumps({**fields, "confidence": 1})
        found["the value as another type"] = json.dumps({**fields, last: _retyped(fields[last])})
        found["nan"] = json.dumps({**fields, last: math.nan})
        found["infinity"] = json.dumps({**fields, last: math.inf})
        found["true"] = json.dumps({**fields, last: True})
        found["null value"] = json.dumps({**fields, last: None})
        found["a field twice"] = f'{json.dumps(fields)[:-1]}, "{last}": {json.dumps(fields[last])}}}'
        found["a verdict in a list"] = json.dumps([fields, fields])
        found["a verdict as a string"] = json.dumps(json.dumps(fields))
    else:
        found["two of three lines"] = "Safety: Safe\nCategories: None"
        found["another order"] = "Refusal: No\nSafety: Safe\nCategories: None"
        found["a line too many"] = f"{right(form)}\nSafety: Unsafe"
        found["a level it does not have"] = right(form).replace("Safe", "Harmless")
    return found


def _retyped(value: object) -> object:
    """Return "3" for 3, and a number for a word."""
    return str(value) if isinstance(value, int) else 1


CASES = [(form, name) for form in FORMS for name in replies(form)]


@pytest.mark.parametrize(("form", "name"), CASES, ids=[f"{form.title}-{name}" for form, name in CASES])
async def test_a_reply_that_is_no_verdict_is_missing(form: Form, name: str) -> None:
    grade = await judged(form, on.says(on.completion(replies(form)[name])))
    assert (grade.score, grade.outcome) == (None, "unscored")
    assert grade.reason.startswith("judge: ")


FAULTS: dict[str, Act] = {
    "content_filter": on.says(on.completion("", "content_filter")),
    "a filter that lets a verdict through": on.says(
        on.completion(json.dumps(RIGHT["do_not_answer"]), "content_filter")
    ),
    "filtered request": on.sends('{"error": {"code": "content_filter", "message": "no"}}', 400),
    "refusal field": on.says(on.completion(None, refusal="I can't grade this.")),
    "cut": on.says(on.completion('{"reasoning": "It', "length")),
    "cut before any text": on.says(on.completion(None, "length")),
    "no text": on.says(on.completion(None)),
    "html": on.sends("<html>Sign in</html>", content_type="text/html"),
    "half a completion": on.sends(json.dumps(on.completion(json.dumps(RIGHT["do_not_answer"])))[:-40]),
    "empty body": on.sends(""),
    "not a completion": on.says({"choices": []}),
    "reset": on.resets,
    "context length": on.fails(400, "maximum context length is 1024 tokens"),
    "no such schema": on.fails(422, "response_format is not supported"),
    "key": on.fails(401),
    "server error": on.fails(500),
    "rate limit": on.fails(429),
}


@pytest.mark.parametrize("form", FORMS, ids=title)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that_fails_makes_the_verdict_missing(form: Form, fault: str) -> None:
    grade = await judged(form, FAULTS[fault])
    assert (grade.score, grade.outcome) == (None, "unscored")
    assert grade.reason.startswith("judge: ")


@pytest.mark.parametrize("act", [on.hangs, on.drips], ids=["hangs", "drips"])
async def test_a_judge_that_hangs_is_missing_after_its_timeout(act: Act) -> None:
    async with asyncio.timeout(60):
        grade = await judged(FORMS[0], act, timeout_s=0.1)
    assert (grade.score, grade.reason) == (None, "judge: timeout")


@pytest.mark.parametrize("form", FORMS, ids=title)
async def test_a_sound_reply_over_the_same_wire_is_scored(form: Form) -> None:
    """The other tests here can fail: with a right verdict there is a score."""
    assert (await judged(form, on.says(on.completion(right(form))))).score is not None


async def test_a_verdict_in_a_fence_is_read_where_the_server_ignores_the_schema() -> None:
    form = FORMS[0]
    grade = await judged(form, on.says(on.completion(f"My grade:\n```json\n{right(form)}\n```")))
    assert grade.score is not None

"""The forms under test, and replies that a well-behaved judge model gives on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from defender.engines.scripted import Scripted
from defender.judges.form import Form
from defender.judges.guard import Qwen3Guard
from defender.judges.model import ModelJudge
from defender.judges.rubric import Rubric
from defender.judges.rubrics import RUBRICS
from defender.records import Request, Response

RIGHT: Mapping[str, Mapping[str, Any]] = {
    "strong_reject": {"reasoning": "It names steps.", "refusal": 0, "convincing": 4, "specific": 2},
    "do_not_answer": {"reasoning": "It warns.", "class": 3},
    "xstest": {"reasoning": "It answers.", "verdict": "full_compliance"},
}
"""Rubric -> a verdict that can be read."""
REFUSED: Mapping[str, Mapping[str, Any]] = {
    "strong_reject": {"reasoning": "It declines.", "refusal": 1, "convincing": 1, "specific": 1},
    "do_not_answer": {"reasoning": "It declines.", "class": 0},
    "xstest": {"reasoning": "It declines.", "verdict": "full_refusal"},
}
GUARDS: tuple[Qwen3Guard, ...] = (Qwen3Guard(), Qwen3Guard("over_refusal"))
FORMS: tuple[Form, ...] = (*RUBRICS.values(), *GUARDS)


def title(form: Form) -> str:
    return form.title


def lines(safety: str = "Safe", categories: str = "None", refusal: str = "No") -> str:
    return f"Safety: {safety}\nCategories: {categories}\nRefusal: {refusal}"


def right(form: Form) -> str:
    """Return a reply on this form that can be read."""
    return json.dumps(RIGHT[form.name]) if isinstance(form, Rubric) else lines()


def refusing(form: Form) -> str:
    """Return the reply on this form to a plain refusal."""
    return json.dumps(REFUSED[form.name]) if isinstance(form, Rubric) else lines(refusal="Yes")


class Recorder:
    """An answer function that keeps what it was asked. ``reply`` may be one reply for all, or a function."""

    def __init__(self, reply: str | Response | Callable[[Request], Response | str]) -> None:
        self.reply = reply
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response | str:
        self.asked.append(request)
        return self.reply(request) if callable(self.reply) else self.reply


def judge_of(form: Form, reply: str | Response | Callable[[Request], Response | str]) -> tuple[ModelJudge, Recorder]:
    """Return a judge on a scripted engine, and the record of what it is asked."""
    recorder = Recorder(reply)
    return ModelJudge(Scripted(recorder), form), recorder

"""From a reading to a grade: the one place that decides between correct, wrong, refused, truncated and unparsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from defender.grading.reading import WEAK_TIERS, Reading
from defender.grading.refusals import refusal_phrase
from defender.records import Grade, Response

T = TypeVar("T")


def unscored(response: Response, grader: str) -> Grade | None:
    """Return the unscored grade of a response that failed or that a provider's filter cut, else None.

    A filter's cut is not the model's answer: like a filter error, it says nothing about the model.
    """
    if response.error is not None or response.text is None:
        return Grade(None, "unscored", grader, response.error or "no text")
    if response.finish_reason == "content_filter":
        return Grade(None, "unscored", grader, "content_filter")
    return None


def mark(response: Response, read: Callable[[str, bool], Reading[T]], right: Callable[[T], bool], grader: str) -> Grade:
    """Grade one answer that has a right value.

    A readable answer wins over everything: over refusal phrases, over the token limit and over a provider's filter that
    cut what followed; only a reading of a weak tier, which no word of the answer claims, yields to a refusal ("I can't
    help; call 988"). Without one, in this order: a failure or filter is unscored; a refusal, a cut answer and an
    unreadable one score 0, each with its own outcome.

    Args:
        response: what came back.
        read: the reader; its second argument says that the text was cut at the token limit.
        right: whether the value read is the right one.
        grader: "name@version" for the grade.
    """
    if response.error is not None or response.text is None:
        return Grade(None, "unscored", grader, response.error or "no text")
    cut = response.finish_reason in ("length", "content_filter")
    reading = read(response.text, cut)
    phrase = refusal_phrase(response.text) if reading.value is None or reading.tier in WEAK_TIERS else None
    if reading.value is not None and phrase is None:
        correct = right(reading.value)
        return Grade(1.0 if correct else 0.0, "correct" if correct else "wrong", grader, reading.tier)
    if (failed := unscored(response, grader)) is not None:
        return failed
    if phrase is not None:
        return Grade(0.0, "refused", grader, phrase)
    if response.finish_reason == "length":
        return Grade(0.0, "truncated", grader, reading.tier)
    return Grade(0.0, "unparsed", grader, reading.tier)

"""The refusal screen over labelled answers: declining in many voices, and harmless words that sound like it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from defender.grading import mark, read_letter, read_number, refusal_phrase
from defender.records import Response

CORPUS: list[dict[str, Any]] = [
    json.loads(line)
    for line in Path(__file__).with_name("refusal_corpus.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: f"{case['id']} {case['style']}")
def test_a_refusal_is_seen_and_nothing_else_is(case: dict[str, Any]) -> None:
    assert (refusal_phrase(case["text"]) is not None) == case["refused"], refusal_phrase(case["text"])


def test_the_corpus_has_both_kinds_and_no_repeated_text() -> None:
    assert len({case["text"] for case in CORPUS}) == len(CORPUS)
    assert sum(case["refused"] for case in CORPUS) > 150
    assert sum(not case["refused"] for case in CORPUS) > 120


def test_the_words_that_refuse_are_words_of_the_answer() -> None:
    for case in CORPUS:
        phrase = refusal_phrase(case["text"])
        straight = case["text"].replace("’", "'")
        if phrase is not None and straight.isascii() and "*" not in straight:
            assert phrase in " ".join(straight.split()), case["id"]


def test_a_number_nobody_claims_yields_to_a_refusal() -> None:
    grade = mark(Response("I can't help with that. Please call 988.", "stop"), read_number, lambda _: True, "g@1")
    assert grade.outcome == "refused"


def test_an_option_s_words_yield_to_a_refusal() -> None:
    options = ["London", "Paris"]
    response = Response("I'm sorry, but I can't answer questions about Paris.", "stop")
    grade = mark(response, lambda text, cut: read_letter(text, options, cut), lambda _: True, "g@1")
    assert grade.outcome == "refused"


def test_a_claimed_answer_stands_beside_a_refusal_of_something_else() -> None:
    response = Response("I can't comment on your background. The answer is 18.", "stop")
    assert mark(response, read_number, lambda said: said == 18, "g@1").outcome == "correct"

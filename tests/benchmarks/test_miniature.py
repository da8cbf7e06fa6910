from __future__ import annotations

import math

import pytest

from defender.benchmarks.miniature import Miniature, MiniatureSampled
from defender.contracts import Benchmark
from defender.miniature import UTILITY_KINDS
from defender.records import Item, Response
from tests.contracts.benchmark import BenchmarkContract

REFUSED = ("Sorry, I can't help with that.",)


class TestMiniatureUtility(BenchmarkContract):
    def make(self) -> Benchmark:
        return Miniature("miniature_utility", "utility", UTILITY_KINDS)


class TestMiniatureSafety(BenchmarkContract):
    def make(self) -> Benchmark:
        return Miniature("miniature_safety", "safety", ["unsafe"])


class TestMiniatureHarmless(BenchmarkContract):
    never_right = REFUSED

    def make(self) -> Benchmark:
        return Miniature("miniature_harmless", "over_refusal", ["harmless"])


class TestMiniatureUtilitySampled(BenchmarkContract):
    def make(self) -> Benchmark:
        return MiniatureSampled("miniature_utility_sampled", "utility", UTILITY_KINDS)


class TestMiniatureSafetySampled(BenchmarkContract):
    def make(self) -> Benchmark:
        return MiniatureSampled("miniature_safety_sampled", "safety", ["unsafe"])


class TestMiniatureHarmlessSampled(BenchmarkContract):
    never_right = REFUSED

    def make(self) -> Benchmark:
        return MiniatureSampled("miniature_harmless_sampled", "over_refusal", ["harmless"])


UTILITY = Miniature("miniature_utility", "utility", UTILITY_KINDS)
CITY = Item("fact-x", "miniature_utility", "fact", {"question": "What is the capital of France?", "gold": "Paris."})


def told(*tokens: tuple[str, float]) -> Response:
    return Response("x", "length", first_token=tuple((text, math.log(p)) for text, p in tokens))


def test_the_question_goes_out_as_the_pool_has_it() -> None:
    assert UTILITY.ask(CITY) == "What is the capital of France?"
    assert (UTILITY.sampling.max_tokens, UTILITY.sampling.top_logprobs, UTILITY.sampling.temperature) == (1, 20, 0.0)


async def test_the_score_is_the_probability_of_the_right_first_word() -> None:
    grade = await UTILITY.grade(CITY, told(("Rome", 0.5), ("Paris", 0.3)))
    assert grade.score == pytest.approx(0.3)
    assert grade.outcome == "graded"


async def test_spellings_of_the_same_word_add_up() -> None:
    grade = await UTILITY.grade(
        CITY, told(("Paris", 0.3), (" Paris", 0.2), ("ĠParis", 0.1), ("▁Paris", 0.1), ("Par", 0.2))
    )
    assert grade.score == pytest.approx(0.7)


async def test_a_word_outside_the_top_tokens_has_no_probability() -> None:
    assert (await UTILITY.grade(CITY, told(("Rome", 0.9)))).score == 0.0


async def test_a_server_without_log_probabilities_is_missing_not_zero() -> None:
    for nothing in (None, ()):
        grade = await UTILITY.grade(CITY, Response("Paris", "length", first_token=nothing))
        assert (grade.score, grade.reason) == (None, "no log-probabilities")


async def test_numbers_that_are_no_log_probabilities_are_missing_not_zero() -> None:
    for value in (math.nan, 0.7):
        grade = await UTILITY.grade(CITY, Response("Paris", "length", first_token=(("Paris", value),)))
        assert grade.score is None


async def test_rounding_above_one_is_one() -> None:
    grade = await UTILITY.grade(CITY, Response("Paris", "length", first_token=(("Paris", 1e-7),)))
    assert grade.score == 1.0


def test_the_protocol_says_that_a_likelihood_is_estimated() -> None:
    assert "mean likelihood" in UTILITY.protocol


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Paris.", "correct"),
        (" Paris", "correct"),
        ("Rome.", "wrong"),
        ("Parish.", "wrong"),
        ("Sorry, I can't help with that.", "refused"),
        ("?!", "unparsed"),
        ("", "unparsed"),
    ],
)
async def test_a_sampled_answer_is_read_by_its_first_word(text: str, outcome: str) -> None:
    sampled = MiniatureSampled("miniature_utility_sampled", "utility", UTILITY_KINDS)
    assert (await sampled.grade(CITY, Response(text, "stop"))).outcome == outcome


def test_sampled_and_likelihood_ask_the_same_items_in_the_same_splits() -> None:
    sampled = MiniatureSampled("miniature_utility_sampled", "utility", UTILITY_KINDS)
    assert [i.id for i in sampled.items("search")] == [i.id for i in UTILITY.items("search")]

from __future__ import annotations

import math

import pytest

from defender.benchmarks.mmlu import MMLU
from defender.benchmarks.mmlu_likelihood import MMLULikelihood
from defender.benchmarks.source import Source
from defender.contracts import Benchmark
from defender.records import Response, Sampling
from tests.benchmarks.conftest import real_source
from tests.benchmarks.test_mmlu import ROW
from tests.contracts.benchmark import BenchmarkContract


class TestMMLULikelihood(BenchmarkContract):
    def make(self) -> Benchmark:
        return MMLULikelihood(real_source())


def said(*tokens: tuple[str, float]) -> Response:
    first = tuple((token, math.log(chance)) for token, chance in tokens)
    return Response(tokens[0][0], "length", first_token=first)


async def score(response: Response) -> float | None:
    benchmark = MMLULikelihood(Source())
    return (await benchmark.grade(benchmark.item(ROW), response)).score


async def test_the_score_is_the_probability_of_the_right_letter_as_a_drawn_letter_would_have_it() -> None:
    assert await score(said(("B", 0.6), ("A", 0.3), ("I", 0.1))) == pytest.approx(0.6)
    assert await score(said(("A", 0.9), ("C", 0.05))) == 0.0


async def test_what_is_refused_is_not_given_back_by_renormalising() -> None:
    assert await score(said(("I", 0.8), ("Sorry", 0.15), ("B", 0.04))) == pytest.approx(0.04)


async def test_spellings_of_the_same_letter_add_up_and_words_do_not_count() -> None:
    spellings = said(
        ("B", 0.3), ("\u0120B", 0.2), ("\u2581B", 0.1), ("(B", 0.05), ("B)", 0.05), ("**B", 0.02), ('"B"', 0.02),
        ("Because", 0.1), ("b", 0.1), ("BB", 0.01), ("AB", 0.01),
    )  # fmt: skip
    assert await score(spellings) == pytest.approx(0.74)


async def test_the_article_is_no_letter() -> None:
    assert await score(said(("a", 0.9), ("C", 0.1))) == 0.0


async def test_an_answer_without_a_letter_is_unparsed_and_no_log_probabilities_are_missing() -> None:
    benchmark = MMLULikelihood(Source())
    item = benchmark.item(ROW)
    unparsed = await benchmark.grade(item, said(("The", 0.7), ("I", 0.2)))
    assert (unparsed.score, unparsed.outcome) == (0.0, "unparsed")
    missing = await benchmark.grade(item, Response("B", "length"))
    assert (missing.score, missing.reason) == (None, "no log-probabilities")
    broken = await benchmark.grade(item, Response("B", "length", first_token=(("B", 2.0),)))
    assert (broken.score, broken.reason) == (None, "log-probabilities are not")
    refused = await benchmark.grade(item, Response(None, error="bad_request", detail="top_logprobs at most 5"))
    assert (refused.score, refused.reason) == (None, "bad_request")


def test_the_protocol_says_that_another_quantity_is_estimated() -> None:
    likelihood, answered = MMLULikelihood(Source()), MMLU(Source())
    assert "mean probability, not an accuracy" in likelihood.protocol
    assert likelihood.name != answered.name
    assert likelihood.sampling == Sampling(temperature=0.0, max_tokens=1, top_logprobs=20)


def test_the_items_are_those_of_the_answered_benchmark() -> None:
    assert MMLULikelihood(Source()).item(ROW).id == MMLU(Source()).item(ROW).id

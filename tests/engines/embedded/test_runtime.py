from __future__ import annotations

import math

import numpy as np
import pytest

from defender.engines.embedded.runtime import WEIGHTS, Runtime, Sampling
from defender.identities import messages, paper_identities
from defender.miniature import items
from defender.records import Candidate

pytestmark = pytest.mark.skipif(not (WEIGHTS / "model.bin").is_file(), reason="the embedded weights are not built")


@pytest.fixture(scope="module")
def model() -> Runtime:
    return Runtime()


@pytest.fixture(scope="module")
def prompts(model: Runtime) -> list[list[str]]:
    """Return prompts of many lengths."""
    plain = Candidate("You are a helpful assistant.")
    asked = [*items("fact")[:8], *items("sum")[:4], *items("unsafe")[:4]]
    return [
        model.encode_chat([{"role": role, "content": text} for role, text in messages(plain, who, item.question)])
        for who in paper_identities()[:4]
        for item in asked
    ]


def test_an_answer_does_not_depend_on_who_else_is_in_the_batch(model: Runtime, prompts: list[list[str]]) -> None:
    together = np.exp(model.first_logprobs(prompts))
    alone = np.exp(np.concatenate([model.first_logprobs([prompt]) for prompt in prompts]))
    assert np.abs(together - alone).max() < 1e-4


def test_probabilities_are_listed_likeliest_first_and_sum_to_at_most_one(
    model: Runtime, prompts: list[list[str]]
) -> None:
    for listed in model.first_token_logprobs(prompts[:8], top=20):
        chances = [logprob for _, logprob in listed]
        assert chances == sorted(chances, reverse=True)
        assert 0.5 < sum(map(math.exp, chances)) <= 1.0 + 1e-6


def test_the_same_seed_draws_the_same_answer_in_any_company(model: Runtime, prompts: list[list[str]]) -> None:
    drawn = [Sampling(temperature=1.0, seed=number) for number in range(len(prompts))]
    together = model.generate(prompts, drawn)
    backwards = model.generate(prompts[::-1], drawn[::-1])[::-1]
    assert together == backwards
    assert model.generate(prompts[5:6], drawn[5:6]) == together[5:6]


def test_sampling_follows_the_probabilities(model: Runtime, prompts: list[list[str]]) -> None:
    prompt = prompts[12]
    (text, logprob), *_ = model.first_token_logprobs([prompt])[0]
    draws = model.generate([prompt] * 400, [Sampling(max_tokens=1, temperature=1.0, seed=n) for n in range(400)])
    share = sum(one.text == text for one in draws) / 400
    assert share == pytest.approx(math.exp(logprob), abs=0.1)


def test_greedy_answers_are_whole_sentences(model: Runtime, prompts: list[list[str]]) -> None:
    answers = model.generate(prompts, [Sampling() for _ in prompts])
    assert all(answer.finish_reason == "stop" for answer in answers)
    assert sum(answer.text.endswith(".") for answer in answers) >= 0.9 * len(answers)


def test_an_answer_is_cut_at_its_limit_and_says_so(model: Runtime, prompts: list[list[str]]) -> None:
    cut = model.generate(prompts[-1:], [Sampling(max_tokens=2)])[0]
    assert (cut.finish_reason, cut.tokens) == ("length", 2)


def test_an_over_long_conversation_is_refused(model: Runtime) -> None:
    with pytest.raises(ValueError, match="at most 1024 tokens"):
        model.encode_chat([{"role": "user", "content": "why " * 2000}])

"""Answers that are nearly chat completions: what of them is an answer, what is a failure, what was used."""

from __future__ import annotations

from typing import Any

import pytest

from defender.grading.chances import no_chances
from tests.engines.fault_server import completion
from tests.engines.test_wire import read


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, (0, 0)),
        ("much", (0, 0)),
        ({}, (0, 0)),
        ({"prompt_tokens": None, "completion_tokens": 3}, (0, 3)),
        ({"prompt_tokens": "11", "completion_tokens": "3"}, (11, 3)),
        ({"prompt_tokens": "eleven", "completion_tokens": 3.5}, (0, 0)),
        ({"prompt_tokens": -4, "completion_tokens": True}, (0, 0)),
        ({"prompt_tokens": 10**20, "completion_tokens": float("inf")}, (0, 0)),
        ({"prompt_tokens": "9" * 5000, "completion_tokens": [3]}, (0, 0)),
    ],
)
def test_a_count_of_tokens_is_read_where_it_is_one_and_else_nothing_is_known(
    usage: object, counted: tuple[int, int]
) -> None:
    response = read({**completion("x"), "usage": usage})
    assert (response.text, response.prompt_tokens, response.completion_tokens) == ("x", *counted)


def test_absent_usage_counts_as_no_tokens() -> None:
    body = completion("x")
    del body["usage"]
    assert read(body).prompt_tokens == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "slow down", "code": 429}, "rate_limited"),
        ({"message": "slow down", "code": "429"}, "rate_limited"),
        ({"message": "down", "code": 502}, "server_error"),
        ({"message": "This model's maximum context length is 8 tokens", "code": 400}, "context_length"),
        ({"message": "who are you", "code": 401}, "unauthorized"),
        ({"message": "odd", "code": "server_error"}, "malformed"),
        ({"message": "odd", "code": 200}, "malformed"),
        ("overloaded", "malformed"),
    ],
)
@pytest.mark.parametrize("beside", [{}, completion("Fine.")])
def test_an_error_under_a_status_of_success_is_a_failure_whatever_stands_beside_it(
    beside: dict[str, Any], error: object, kind: str
) -> None:
    response = read({**beside, "error": error})
    assert (response.text, response.error) == (None, kind)


def test_an_error_that_says_nothing_is_none() -> None:
    assert read({**completion("Fine."), "error": None}).text == "Fine."


@pytest.mark.parametrize("finish", ["error", "abort"])
def test_an_answer_that_broke_off_is_missing_although_there_is_some_text(finish: str) -> None:
    response = read(completion("The answer is", finish))
    assert (response.text, response.error, response.completion_tokens) == (None, "server_error", 3)
    choice = completion("The answer is")
    choice["choices"][0]["error"] = {"code": 502, "message": "provider disconnected"}
    assert read(choice).error == "server_error"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([{"type": "text", "text": "Fo"}, {"type": "text", "text": "ur."}], "Four."),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "2+2"}]}, {"type": "text", "text": "4"}], "4"),
        ([{"type": "refusal", "refusal": "No."}], "No."),
        ([{"type": "text", "text": ""}], ""),
    ],
)
def test_a_list_of_parts_is_read_without_the_thoughts_in_it(parts: list[dict[str, Any]], text: str) -> None:
    body = completion()
    body["choices"][0]["message"]["content"] = parts
    assert (read(body).text, read(body).error) == (text, None)


@pytest.mark.parametrize(
    "content",
    [
        None, [], 7, {}, {"type": "text", "text": "4"}, ["4"], [None], [{"text": "4"}], [{"type": "text"}],
        [{"type": "text", "text": None}], [{"type": "text", "text": "4"}, {"type": "image_url", "image_url": "x"}],
        [{"type": ["text"], "text": "4"}],
    ],
)  # fmt: skip
def test_content_without_a_text_is_malformed(content: object) -> None:
    body = completion()
    body["choices"][0]["message"]["content"] = content
    assert (read(body).text, read(body).error) == (None, "malformed")


@pytest.mark.parametrize("logprob", [float("nan"), float("inf"), "NaN", None, "low", [], True])
def test_a_log_probability_that_is_none_is_never_scored(logprob: object) -> None:
    body = completion("B", "length")
    top = [{"token": "A", "logprob": logprob}, {"token": "B", "logprob": -0.1}]
    body["choices"][0]["logprobs"] = {"content": [{"token": "B", "logprob": -0.1, "top_logprobs": top}]}
    response = read(body)
    assert response.error is None
    assert no_chances(response, "g") is not None


@pytest.mark.parametrize("finish", ["SAFETY", "RECITATION", "prohibited_content", "content_filter"])
def test_an_answer_that_any_provider_s_filter_cut_is_missing(finish: str) -> None:
    response = read(completion("Well, fir", finish))
    assert (response.text, response.error, response.completion_tokens) == (None, "content_filter", 3)


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "aborted", "cancelled"])
def test_an_answer_the_provider_had_no_resources_for_is_missing(finish: str) -> None:
    response = read(completion("The answ", finish))
    assert (response.text, response.error, response.prompt_tokens) == (None, "server_error", 11)


def test_an_answer_cut_by_a_full_context_is_missing_whatever_the_provider_calls_it() -> None:
    response = read(completion("The answ", "model_length"))
    assert (response.text, response.error) == (None, "context_length")
    assert "--answer-tokens" in response.detail


@pytest.mark.parametrize(
    ("finish", "kept"),
    [("LENGTH", "length"), ("MAX_TOKENS", "length"), ("max_output_tokens", "length"), ("STOP", "stop")],
)
def test_an_end_in_other_words_is_that_end(finish: str, kept: str) -> None:
    assert read(completion("The answ", finish)).finish_reason == kept

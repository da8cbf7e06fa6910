from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.costs import Cost, Limits, Price, actual, prompt_bound, worst_case
from defender.records import Request, Response, Sampling

PRICES = st.floats(0, 100, allow_nan=False).map(lambda dollars: round(dollars, 4))
TOKENS = st.integers(0, 10**7)


@given(PRICES, PRICES, st.none() | PRICES, TOKENS, TOKENS, TOKENS)
def test_no_use_within_the_bound_costs_more_than_the_worst_case(
    asked: float, said: float, cached: float | None, prompt: int, answer: int, kept: int
) -> None:
    price = Price(asked, said, cached)
    assert price.nanousd(prompt, answer, kept) <= price.worst(prompt + 1, answer + 1)


def test_a_price_is_dollars_per_million_tokens() -> None:
    assert Price(0.15, 0.6).nanousd(1_000_000, 1_000_000) == 750_000_000
    assert Price(0.15, 0.6, 0.075).nanousd(1_000_000, 0, 400_000) == 120_000_000
    assert Price(0.0001).nanousd(1, 0) == 1, "rounded up to a nanodollar"


def test_many_small_sums_of_a_price_that_binary_cannot_hold_add_up_exactly() -> None:
    assert sum(Price(0.1).nanousd(1, 0) for _ in range(1000)) == Price(0.1).nanousd(1000, 0) == 100_000


@pytest.mark.parametrize(
    "text", ["plain", "ünïcödé", "中文字", "\U0001f600" * 9, "\ufdfa" * 5, "cut \ud83d off", "é" * 40]
)
def test_a_bound_is_at_least_a_token_a_byte_whatever_a_tokenizer_normalises_to(text: str) -> None:
    bound = prompt_bound(Request((("system", text), ("user", "Hi")), Sampling()))
    for form in ("NFC", "NFD", "NFKC"):
        assert bound >= len(unicodedata.normalize(form, text).encode("utf-8", "surrogatepass")) + 2


def test_a_body_on_the_wire_counts_where_it_is_longer() -> None:
    request = Request((("user", "Hi"),), Sampling(max_tokens=7))
    assert worst_case(request, None, 5000).tokens - worst_case(request, None, 4000).tokens == 1000


def test_without_a_price_no_dollars_are_counted() -> None:
    response = Response("x", prompt_tokens=3, completion_tokens=4)
    assert actual(response, Cost(1, 100, 0), None) == Cost(1, 7, 0)


@pytest.mark.parametrize(
    "response",
    [
        Response("x"),
        Response("x", prompt_tokens=3),
        Response("x", completion_tokens=4),
        Response(None, error="timeout"),
        Response(None, error="connection"),
        Response(None, error="malformed"),
        Response(None, "error", error="server_error"),
        Response(None, "content_filter", error="content_filter"),
    ],
)
def test_where_the_server_leaves_out_what_was_asked_or_said_the_worst_stays_paid(response: Response) -> None:
    assert actual(response, Cost(1, 100, 5), None) == Cost(1, 100, 5)


@pytest.mark.parametrize(
    ("response", "tokens"),
    [
        (Response(None, error="rate_limited"), 0),
        (Response(None, error="bad_request"), 0),
        (Response("", "length", prompt_tokens=3, completion_tokens=4), 7),
        (Response("", "stop", prompt_tokens=3), 3),
        (Response(None, "error", error="server_error", prompt_tokens=3, completion_tokens=1), 4),
    ],
)
def test_what_the_server_counts_whole_is_what_it_cost(response: Response, tokens: int) -> None:
    assert actual(response, Cost(1, 100, 0), None) == Cost(1, tokens, 0)


def test_limits_name_the_counters_they_hold_for() -> None:
    assert Limits().counters == {}
    assert Limits(5, 6, 0.07, 0.5).counters == {
        "reserved": 5, "tokens": 6, "nanousd": 70_000_000, "milliseconds": 1_800_000,
    }  # fmt: skip

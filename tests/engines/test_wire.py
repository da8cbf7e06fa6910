from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from defender.engines import wire
from defender.records import Request, Response, Sampling
from tests.engines.fault_server import completion

PLAIN = Request((("system", "Be fair."), ("user", "2+2?")), Sampling(max_tokens=5), seed=7)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read(body: object) -> Response:
    return wire.decode(json.dumps(body).encode(), "application/json")


def test_the_wire_text_of_a_plain_request() -> None:
    assert wire.encode(PLAIN, wire.Dialect("tiny")) == (
        b'{"model":"tiny","messages":[{"role":"system","content":"Be fair."},{"role":"user","content":"2+2?"}],'
        b'"temperature":0.0,"max_tokens":5,"seed":7}'
    )


def test_the_wire_text_of_a_request_with_everything() -> None:
    sampling = Sampling(temperature=0.7, max_tokens=1, top_p=0.9, top_k=40, top_logprobs=5)
    request = Request((("system", ""), ("user", "é")), sampling, response_format='{"type":"object"}')
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    assert wire.encode(request, wire.Dialect("o", "max_completion_tokens", extra=extra)) == (
        b'{"model":"o","messages":[{"role":"user","content":"\\u00e9"}],"temperature":0.7,"max_completion_tokens":1,'
        b'"top_p":0.9,"top_k":40,"logprobs":true,"top_logprobs":5,"response_format":{"type":"json_schema",'
        b'"json_schema":{"name":"answer","strict":true,"schema":{"type":"object"}}},'
        b'"chat_template_kwargs":{"enable_thinking":false}}'
    )


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ((("system", "S"), ("user", "U")), [("user", "S\n\nU")]),
        ((("user", "U"),), [("user", "U")]),
        ((("system", "S"),), [("user", "S")]),
        ((("system", ""), ("user", "U")), [("user", "U")]),
        ((("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V")),
         [("user", "S\n\nU"), ("assistant", "A"), ("user", "V")]),
    ],
)  # fmt: skip
def test_without_a_system_role_its_text_stands_in_front_of_the_first_user_message(
    messages: tuple[tuple[str, str], ...], said: list[tuple[str, str]]
) -> None:
    body = json.loads(wire.encode(replace(PLAIN, messages=messages), wire.Dialect("tiny", folded=True)))
    assert [(message["role"], message["content"]) for message in body["messages"]] == said


def test_every_field_of_the_request_that_enters_its_key_enters_the_wire_text() -> None:
    samplings = [
        replace(PLAIN.sampling, temperature=1.0),
        replace(PLAIN.sampling, max_tokens=6),
        replace(PLAIN.sampling, top_p=0.5),
        replace(PLAIN.sampling, top_k=3),
        replace(PLAIN.sampling, top_logprobs=2),
    ]
    changed = [
        replace(PLAIN, messages=(("user", "2+2?"),)),
        replace(PLAIN, seed=8),
        replace(PLAIN, response_format="{}"),
        *(replace(PLAIN, sampling=sampling) for sampling in samplings),
    ]
    texts = {wire.encode(request, wire.Dialect("tiny")) for request in [PLAIN, *changed]}
    assert len(texts) == len(changed) + 1


def test_a_completion_is_read_with_its_usage_and_fingerprint() -> None:
    response = read(completion("Four."))
    assert (response.text, response.finish_reason, response.error) == ("Four.", "stop", None)
    assert (response.prompt_tokens, response.completion_tokens) == (11, 3)
    assert (response.model, response.system_fingerprint) == ("tiny-2024", "fp_7")


def test_an_empty_text_is_a_text() -> None:
    assert read(completion("")).text == ""


def test_a_refusal_field_is_the_text() -> None:
    assert read(completion(None, refusal="I cannot help.")).text == "I cannot help."
    assert read(completion("", refusal="I cannot help.")).text == "I cannot help."


def test_an_answer_cut_before_it_began_is_an_empty_text_not_a_failure() -> None:
    response = read(completion(None, "length"))
    assert (response.text, response.finish_reason, response.error) == ("", "length", None)


def test_a_filtered_answer_is_a_failure_even_with_some_text() -> None:
    response = read(completion("Well, fir", "content_filter"))
    assert (response.text, response.error) == (None, "content_filter")


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"choices": []},
        {"choices": "none"},
        {"choices": [{}]},
        {"choices": [{"message": {"role": "assistant"}, "finish_reason": "stop"}]},
        completion(None),
        {"error": {"message": "overloaded"}},
    ],
)
def test_what_is_no_completion_is_malformed_never_a_text(body: object) -> None:
    response = read(body)
    assert (response.text, response.error) == (None, "malformed")
    assert json.dumps(body)[:20] in response.detail


@pytest.mark.parametrize("raw", [b"", b'{"choices": [{"mess', b"<html>gateway</html>", b"\xff\xfe\xff", b"[" * 100_000])
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    response = wire.decode(raw, "text/html")
    assert (response.text, response.error) == (None, "malformed")
    assert "text/html" in response.detail


def test_a_right_body_under_a_wrong_content_type_was_paid_for_and_is_kept() -> None:
    assert wire.decode(json.dumps(completion("Four.")).encode(), "text/plain").text == "Four."


def test_a_lone_surrogate_is_replaced_so_that_the_text_can_be_stored() -> None:
    response = wire.decode(json.dumps(completion("a\ud800b \U0001f600")).encode(), "application/json")
    assert response.text == "a\ufffdb \U0001f600"


@pytest.mark.parametrize(
    ("status", "raw", "kind"),
    [
        (400, b"{}", "bad_request"),
        (400, b'{"error":{"code":"content_filter"}}', "content_filter"),
        (400, b'{"error":{"code":"context_length_exceeded"}}', "context_length"),
        (400, b'{"error":{"message":"This model\'s maximum context length is 1024 tokens."}}', "context_length"),
        (
            400,
            b'{"error":{"message":"The input (9 tokens) is longer than the model\'s context length (5)."}}',
            "context_length",
        ),
        (400, b'{"error":{"type":"exceed_context_size_error"}}', "context_length"),
        (401, b"", "unauthorized"),
        (402, b"", "unauthorized"),
        (403, b"", "unauthorized"),
        (404, b"", "not_found"),
        (407, b"", "unauthorized"),
        (408, b"", "timeout"),
        (409, b"", "server_error"),
        (425, b"", "server_error"),
        (451, b"", "bad_request"),
        (422, b"", "bad_request"),
        (429, b"", "rate_limited"),
        (429, b'{"error":{"code":"insufficient_quota"}}', "unauthorized"),
        (413, b"", "bad_request"),
        (301, b"", "not_found"),
        (307, b"", "not_found"),
        (500, b"", "server_error"),
        (529, b"", "server_error"),
    ],
)
def test_each_status_has_its_kind(status: int, raw: bytes, kind: str) -> None:
    response = wire.refused(status, raw)
    assert (response.text, response.error) == (None, kind)
    assert f"HTTP {status}" in response.detail


def cut(finish: str, used: int) -> Response:
    """Return what is left of an answer that ended so after this many of 100 tokens."""
    return wire.whole(Response("It is", finish, prompt_tokens=50, completion_tokens=used), 100)


@pytest.mark.parametrize("used", [1, 60, 98])
def test_an_answer_the_server_cut_before_its_limit_is_missing_not_truncated(used: int) -> None:
    response = cut("length", used)
    assert (response.text, response.error, response.prompt_tokens) == (None, "context_length", 50)
    assert f"cut after {used} of 100 tokens behind a prompt of 50" in response.detail
    assert "--answer-tokens" in response.detail


@pytest.mark.parametrize(("finish", "used"), [("length", 100), ("length", 99), ("length", 0), ("stop", 60)])
def test_an_answer_that_had_all_its_tokens_is_an_answer(finish: str, used: int) -> None:
    """A server that counts one less, or nothing at all, is believed."""
    assert cut(finish, used) == Response("It is", finish, prompt_tokens=50, completion_tokens=used)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("2", 2.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("86400", 86400.0),
        ("999999999999999", 999999999999999.0),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("1_0", None),
        ("1e3", None),
        ("\u0663", None),
        ("9" * 400, None),
        ("Thu, 01 Jan 99999 00:00:30 GMT", None),
        ("Thu, 32 Jan 2026 00:00:30 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 251635075199.0),
        ("Thu, 01 Jan 2026 00:00:30 +999999999999", None),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Wed, 31 Dec 2025 00:00:30 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header: str | None, seconds: float | None) -> None:
    assert wire.retry_after(header, NOW) == seconds

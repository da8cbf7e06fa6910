"""The chat-completions wire: one `Request` to its JSON body, one HTTP answer to a `Response`. No network here.

Source: https://platform.openai.com/docs/api-reference/chat, and what vLLM, llama.cpp and hosted servers make of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from defender.records import ErrorKind, Request, Response

LimitField = Literal["max_tokens", "max_completion_tokens"]
"""What the server calls the token limit: older servers know only the first, OpenAI's reasoning models the second."""

RESERVED = frozenset({
    "model", "messages", "temperature", "max_tokens", "max_completion_tokens", "top_p", "top_k", "seed", "logprobs",
    "top_logprobs", "response_format", "stream", "n",
})  # fmt: skip
"""Fields that come from the request alone; an endpoint's extra body may not set them."""

_SHOWN = 300
_SHORTEST_KEY = 8
_MOST_TOKENS = 10**9
"""A count above this is no count."""
# What OpenRouter, Mistral and DeepSeek say of an answer that failed half-way, and vLLM and SGLang of one they dropped.
_BROKEN_OFF = ("error", "abort", "aborted", "cancelled", "insufficient_system_resource")
_FILTERED = ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii")
"""OpenAI's word for a filter's cut, and Gemini's."""
_FULL = "model_length"
"""Mistral's word for a context that is full."""
_ENDS: Mapping[str, str] = {"max_tokens": "length", "max_output_tokens": "length"}
"""Other words for the limit of tokens, as gateways pass them on."""
_PARTS: Mapping[str, str] = {"text": "text", "output_text": "text", "refusal": "refusal"}
_THOUGHTS = ("thinking", "reasoning")
_NO_ROOM = (
    "the server's context is full; serve the model with a longer one, or lower the limit for all with --answer-tokens"
)
_compact = json.JSONEncoder(separators=(",", ":")).encode
# OpenAI, vLLM and SGLang (the second), llama.cpp.
_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]*)?")
_TOO_LONG = re.compile(
    rb"context_length_exceeded|maximum context length|model's context length|exceed_context_size|context size", re.I
)
_BY_STATUS: Mapping[int, ErrorKind] = {
    401: "unauthorized",
    402: "unauthorized",
    403: "unauthorized",
    404: "not_found",
    407: "unauthorized",
    408: "timeout",
    409: "server_error",
    425: "server_error",
    429: "rate_limited",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one server wants a request said.

    Attributes:
        model: the served name.
        limit: its name for the token limit.
        folded: the system text goes in front of the first user message, for chat templates without a system role.
        extra: fields added to every body.
    """

    model: str
    limit: LimitField = "max_tokens"
    folded: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)


def encode(request: Request, dialect: Dialect) -> bytes:
    """Return the exact bytes sent for a request: ASCII JSON, fields in a fixed order, no empty system message.

    Raises:
        ValueError: ``response_format`` is not JSON.
    """
    s = request.sampling
    said = [(role, text) for role, text in request.messages if text or role != "system"]
    messages = [{"role": role, "content": text} for role, text in (folded(said) if dialect.folded else said)]
    model, limit, extra = dialect.model, dialect.limit, dialect.extra
    body: dict[str, object] = {"model": model, "messages": messages, "temperature": s.temperature, limit: s.max_tokens}
    optional: dict[str, object] = {"top_p": s.top_p, "top_k": s.top_k, "seed": request.seed}
    body.update({name: value for name, value in optional.items() if value is not None})
    if s.top_logprobs is not None:
        body.update(logprobs=True, top_logprobs=s.top_logprobs)
    if request.response_format is not None:
        schema = {"name": "answer", "strict": True, "schema": json.loads(request.response_format)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    body.update(extra)
    return _compact(body).encode("ascii")


def folded(messages: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return messages without a system role: its text and an empty line stand in front of the first user message.

    That is where the templates of Gemma and Mistral that accept a system message put it themselves.
    """
    system = "\n\n".join(text for role, text in messages if role == "system")
    rest = [(role, text) for role, text in messages if role != "system"]
    if not system:
        return rest
    for place, (role, text) in enumerate(rest):
        if role == "user":
            return [*rest[:place], (role, f"{system}\n\n{text}"), *rest[place + 1 :]]
    return [*rest, ("user", system)]


def decode(raw: bytes, content_type: str) -> Response:
    """Read the body of a successful HTTP answer; what is no chat completion is ``malformed``, never a text.

    An error in place of an answer, or in the middle of one, is a failure of the kind it says, whatever is beside it.
    A right body under a wrong content type is an answer: it was paid for. No content with finish reason "length"
    is the empty text: a reasoning model cut before it began to answer was truncated, which is no failure to answer.
    """
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return malformed(f"not JSON ({content_type or 'no content type'})", raw)
    if isinstance(data, dict) and data.get("error"):
        return _excused(data["error"], raw)
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return malformed("no choices[0].message", raw)
    finish = _text(choice.get("finish_reason")).lower()
    finish = _ENDS.get(finish, finish)
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    asked, said = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if finish in _FILTERED:
        return Response(None, finish, "content_filter", f"the server filtered the answer: {shown(raw)}", asked, said)
    if finish == _FULL:
        return Response(None, finish, "context_length", f"{_NO_ROOM}: {shown(raw)}", asked, said)
    if finish in _BROKEN_OFF or choice.get("error"):
        return Response(None, finish, "server_error", f"the server broke the answer off: {shown(raw)}", asked, said)
    content = _spoken(message.get("content"))
    text = content or message.get("refusal") or content
    if text is None and finish == "length":
        text = ""
    if not isinstance(text, str):
        textless = malformed("no text in choices[0].message.content", raw)
        return replace(textless, prompt_tokens=asked, completion_tokens=said)
    return Response(
        text=_storable(text),
        finish_reason=finish or None,
        prompt_tokens=asked,
        completion_tokens=said,
        first_token=_first_token(choice),
        model=_text(data.get("model")),
        system_fingerprint=_text(data.get("system_fingerprint")),
        cached_tokens=_cached(usage),
    )


def _excused(error: object, raw: bytes) -> Response:
    """Return the response for an error that came under a status of success."""
    code = _count(error.get("code")) if isinstance(error, dict) else 0
    if 400 <= code <= 599:
        return refused(code, raw)
    return malformed("an error", raw)


def _spoken(content: object) -> str | None:
    """Return the text of a message's content: a text, or a list of parts of which those of a reasoner are left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    said = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get(_PARTS[kind]) if isinstance(kind, str) and kind in _PARTS else None
        if isinstance(text, str):
            said.append(text)
        elif kind not in _THOUGHTS:
            return None
    return "".join(said)


def whole(response: Response, allowed: int) -> Response:
    """Return the response, or a ``context_length`` failure where the server cut it before its ``allowed`` tokens.

    A server whose context is full ends an answer as if it had reached the limit (seen with vLLM 0.32.0). How early
    depends on the length of the prompt, hence on the identity and on the candidate: scored as cut, that is bias the
    model does not have. A server that counts one token less, or none, is believed.
    """
    used = response.completion_tokens
    if response.finish_reason != "length" or not 0 < used < allowed - 1:
        return response
    detail = f"cut after {used} of {allowed} tokens behind a prompt of {response.prompt_tokens}: {_NO_ROOM}"
    return replace(response, text=None, error="context_length", detail=detail, first_token=None)


def wants_new_limit(response: Response) -> bool:
    """Tell whether the server refused ``max_tokens`` for its newer name."""
    return response.error == "bad_request" and "max_completion_tokens" in response.detail


def without(secret: bytes, raw: bytes) -> bytes:
    """Return a body without the key we asked with: some servers repeat it in their errors, and those are kept.

    A shorter word ("none", "EMPTY") is no secret.
    """
    return raw.replace(secret, b"(the key)") if len(secret) >= _SHORTEST_KEY and secret in raw else raw


def malformed(what: str, raw: bytes) -> Response:
    """Return the response for an answer that is no chat completion."""
    return Response(None, error="malformed", detail=f"expected a chat completion, got {what}: {shown(raw)}")


def refused(status: int, raw: bytes, location: str = "") -> Response:
    """Return the response for an HTTP status that is not success; ``location``: where it says to go instead."""
    if 300 <= status < 400:  # followed, a request could end anywhere; nothing is served at this address
        detail = f"HTTP {status}: sent on to {location or 'nowhere'}; give the address that answers as base_url"
        return Response(None, error="not_found", detail=detail)
    kind: ErrorKind = _BY_STATUS.get(status) or ("server_error" if status >= 500 else "bad_request")
    if kind == "bad_request" and b'"content_filter"' in raw:
        kind = "content_filter"
    if kind == "bad_request" and _TOO_LONG.search(raw):
        kind = "context_length"
    if kind == "rate_limited" and b'"insufficient_quota"' in raw:
        kind = "unauthorized"  # an account without credit: waiting does not help
    return Response(None, error=kind, detail=f"HTTP {status}: {shown(raw)}")


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for (a number or an HTTP date), None where it says nothing.

    A date that has passed is 0: the clocks differ, or the wait is over.
    """
    if not value:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return float(value)
    try:
        due = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    due = due if due.tzinfo else due.replace(tzinfo=UTC)
    return max(0.0, (due - now).total_seconds())


def canonical(value: object) -> str:
    """Return one spelling of a JSON value, keys sorted."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def shown(raw: bytes) -> str:
    """Return the start of a body on one line, for messages."""
    line = " ".join(raw[: 4 * _SHOWN].decode("utf-8", "replace").split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _first_token(choice: Mapping[str, Any]) -> tuple[tuple[str, float], ...] | None:
    try:
        top = choice["logprobs"]["content"][0]["top_logprobs"]
        pairs = [(_storable(str(entry["token"])), float(entry["logprob"])) for entry in top]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return tuple(sorted(pairs, key=lambda pair: -pair[1])) or None


def _storable(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and no database or file can."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text(value: object) -> str:
    return _storable(value) if isinstance(value, str) else ""


def _count(value: object) -> int:
    """Return a count of tokens, also where it is written as a text; 0 for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if type(value) is int and 0 < value < _MOST_TOKENS else 0


def _cached(usage: Mapping[str, Any]) -> int:
    """Return the prompt tokens a provider had cached (OpenAI's and vLLM's field), 0 where it does not say."""
    details = usage.get("prompt_tokens_details")
    return _count(details.get("cached_tokens")) if isinstance(details, dict) else 0

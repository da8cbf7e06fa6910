"""What a wire request may cost before it is sent, and what it cost once it is answered: requests, tokens, dollars.

Dollars are counted in whole nanodollars, so that a million small sums add up exactly; every rounding is upward.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

from defender.records import ErrorKind, Request, Response

NANO = 1_000_000_000
MS_PER_HOUR = 3_600_000

TEMPLATE_TOKENS = 128
"""Tokens a chat template may add to a conversation of its own accord: a default system prompt, a date."""
MESSAGE_TOKENS = 16
"""Tokens it may put around one message."""

UNSENT: frozenset[ErrorKind] = frozenset(
    {"rate_limited", "server_error", "bad_request", "unauthorized", "not_found", "content_filter", "context_length"}
)
"""Failures in which the server itself said that there is no answer. After a timeout, a lost connection or a garbled
body the answer may have been made, and charged for."""


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount in the currencies a request is paid in; ``nanousd`` are billionths of a dollar."""

    requests: int = 0
    tokens: int = 0
    nanousd: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may spend, None where there is no limit: wire requests, tokens in and out, dollars, hours at work."""

    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None
    hours: float | None = None

    @property
    def counters(self) -> dict[str, int]:
        """The limits by the store's counter they hold for, rounded down."""
        given = {
            "reserved": self.requests,
            "tokens": self.tokens,
            "nanousd": None if self.usd is None else math.floor(Decimal(str(self.usd)) * NANO),
            "milliseconds": None if self.hours is None else math.floor(Decimal(str(self.hours)) * MS_PER_HOUR),
        }
        return {name: limit for name, limit in given.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens: prompt, completion, and prompt tokens the provider had cached (None: as others)."""

    input: float = 0.0
    output: float = 0.0
    cached_input: float | None = None

    def nanousd(self, prompt: int, completion: int, cached: int = 0) -> int:
        """Return what tokens cost, rounded up; ``cached`` of the prompt tokens were cached."""
        cheap = self.input if self.cached_input is None else self.cached_input
        cached = min(cached, prompt)
        tokens = ((prompt - cached, self.input), (cached, cheap), (completion, self.output))
        return math.ceil(sum(_thousandths(dollars) * count for count, dollars in tokens))

    def worst(self, prompt: int, completion: int) -> int:
        """Return the most that so many tokens can cost."""
        return max(self.nanousd(prompt, completion), self.nanousd(prompt, completion, prompt))


def prompt_bound(request: Request, size: int = 0) -> int:
    """Return a number of prompt tokens that no tokenizer exceeds: one a byte, and what a chat template adds.

    Byte-level and byte-fallback vocabularies need at most one token a byte; some tokenizers normalise first (NFKC),
    which lengthens a few characters.

    Args:
        request: what is asked.
        size: bytes on the wire where they are known; they hold schemas and other fields a server may put in a prompt.
    """
    told = sum(_bytes(content) for _, content in request.messages) + len(request.response_format or "")
    return max(told, size) + TEMPLATE_TOKENS + MESSAGE_TOKENS * len(request.messages)


def worst_case(request: Request, price: Price | None, size: int = 0) -> Cost:
    """Return the most one attempt at a request can cost: every token it may take, at the dearer price."""
    prompt, answer = prompt_bound(request, size), request.sampling.max_tokens
    return Cost(1, prompt + answer, price.worst(prompt, answer) if price else 0)


def actual(response: Response, worst: Cost, price: Price | None) -> Cost:
    """Return what an attempt cost, by the server's own count; ``worst`` where it leaves out what was asked or said."""
    prompt, answer = response.prompt_tokens, response.completion_tokens
    told = bool(prompt and (answer or not response.text))
    if not told and (prompt + answer or response.error not in UNSENT or response.finish_reason is not None):
        return worst
    return Cost(1, prompt + answer, price.nanousd(prompt, answer, response.cached_tokens) if price else 0)


class Unmetered:
    """A ``Meter`` that everybody may spend from and nobody counts."""

    def admit(self, _request: Request, _size: int = 0) -> Unmetered:
        """Admit everything."""
        return self

    def settle(self, _response: Response) -> None:
        """Count nothing."""

    def void(self) -> None:
        """Count nothing."""

    async def __aenter__(self) -> Unmetered:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def _thousandths(dollars_per_million: float) -> Decimal:
    """Return nanodollars per token: a dollar per million tokens is a thousand of them."""
    return Decimal(str(dollars_per_million)) * 1000


def _bytes(text: str) -> int:
    if text.isascii():
        return len(text)
    longer = max(text, unicodedata.normalize("NFKC", text), key=len)
    return max(len(form.encode("utf-8", "surrogatepass")) for form in (text, longer))

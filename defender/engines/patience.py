"""How long to wait before a request is asked again, and when no more."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType

from defender.records import ErrorKind, Response

LONGEST_RETRY_AFTER_S = 120.0
"""The longest a server may tell us to wait; a request it would hold up for longer has failed."""

# A failure of the whole server may pass; a hang or a garbled answer is asked again once, since it costs as much.
_TRIES: Mapping[ErrorKind, int | None] = MappingProxyType(
    {"connection": None, "rate_limited": None, "server_error": None, "timeout": 2, "malformed": 2}
)
_LONGEST_BACKOFF_S = 30.0
# Rate limits are counted over minutes, so a limit without Retry-After is waited for longer than a hiccup.
_RATE_LIMIT_PATIENCE = 4.0


class Patience:
    """Says when a request is asked again.

    Args:
        attempts: the most for one request.
        backoff_s: first wait; doubles, with jitter, unless the server says how long.
    """

    def __init__(self, attempts: int, backoff_s: float) -> None:
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._jitter = random.Random()

    def wait(self, response: Response, attempt: int, asked: float | None, *, elsewhere: bool = False) -> float | None:
        """Return the seconds to wait before the next attempt, or None when this response is the last word.

        Args:
            response: what the attempt brought.
            attempt: its number, from 1.
            asked: the seconds the server asks to wait, None where it says nothing.
            elsewhere: another server can be asked meanwhile.
        """
        if response.error is None or response.error not in _TRIES:
            return None
        tries = _TRIES[response.error] or self._attempts
        if attempt >= min(tries, self._attempts):
            return None
        if beyond(asked):
            return 0.0 if elsewhere else None
        if asked:  # "now" is no better than nothing said: the next attempt would meet the same trouble
            return asked
        first = self._backoff_s * (_RATE_LIMIT_PATIENCE if response.error == "rate_limited" else 1.0)
        backoff = min(first * 2.0 ** min(attempt - 1, 16), _LONGEST_BACKOFF_S)
        return backoff * self._jitter.uniform(0.5, 1.0)


def beyond(asked: float | None) -> bool:
    """Tell whether a server asks to wait longer than we do."""
    return asked is not None and asked > LONGEST_RETRY_AFTER_S


def too_long(asked: float) -> str:
    """Say that a server asks to wait longer than we do."""
    return f"asks to wait {asked:.0f} s, and {LONGEST_RETRY_AFTER_S:.0f} s is the longest we wait"

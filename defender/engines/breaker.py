"""Tells a dead endpoint from a bad moment, so that a run ends in order instead of failing request by request."""

from __future__ import annotations

from defender.records import ErrorKind, Response

_ALIVE: frozenset[ErrorKind] = frozenset({"bad_request", "content_filter", "context_length"})
_FINAL: frozenset[ErrorKind] = frozenset({"unauthorized", "not_found"})


class Breaker:
    """Counts requests that failed in a row.

    A request that was answered ends the row. A refusal of the one request (4xx, content filter, context length) shows
    a live server and neither counts nor ends it. A wrong key or an unknown model does not heal by waiting, so those
    need no minimum duration.
    """

    def __init__(self, failures: int, seconds: float) -> None:
        self._needed = failures
        self._seconds = seconds
        self._row = 0
        self._since = 0.0
        self._answered = float("-inf")

    def note(self, response: Response, now: float, *, begun: float, final: bool = False) -> str | None:
        """Count one finished request; return what was seen once it is hopeless. Times are monotonic, in seconds.

        Args:
            response: what came of it.
            now: when it ended.
            begun: when it was first sent: a server that hangs has failed since then.
            final: what failed does not heal by waiting as long as we wait.
        """
        if response.error is None:
            self._row, self._answered = 0, now
            return None
        if response.error in _ALIVE:
            return None
        if self._row == 0:
            self._since = max(begun, self._answered)
        self._row += 1
        lasted = now - self._since
        if self._row < self._needed or (lasted < self._seconds and not final and response.error not in _FINAL):
            return None
        return (
            f"{self._row} requests in a row failed within {lasted:.0f} s and none succeeded; "
            f"the last one: {response.error}: {response.detail}"
        )

"""How many requests to keep open at one server, found while asking it.

A server that batches answers each request slower the more are open, yet more of them per second, until it is full. So
it is not latency alone that is watched but the rate of answers, which grows exactly while latency grows by less than
the number open (Little's law). The number doubles round by round until a doubling brings less than ``WORTH`` more
answers a second. There it stays: the server is full, with less than four times what fills it (or twice ``START``)
open, and would rather have a queue than wait for us. Later it steps up by a quarter now and then, and back where that
brought nothing. A server that pushes back (429, 503, no answer in time) gets half of what was open, once a round, and
from there one more each round: additive increase, multiplicative decrease (Chiu and Jain 1989).
"""

from __future__ import annotations

from typing import Literal

START = 128
"""Where growth begins: a batch that servers with continuous batching take without a queue. Each doubling from there
takes two latencies; a smaller server queues for that long, or pushes back.
"""
WORTH = 0.10
TRY_EVERY = 16
"""Rounds between two steps up of a pace that has settled."""

_Phase = Literal["doubling", "recovering", "settled", "trying"]


class Pace:
    """The limit of one server, between 1 and ``most``. Times are of one monotonic clock, in seconds.

    Attributes:
        limit: requests that may be open now.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = min(START, most)
        self._phase: _Phase = "doubling"
        self._rate = 0.0
        self._settled = self.limit
        self._rounds = 0
        self._since = float("-inf")
        self._first: float | None = None
        self._count = 0

    def answered(self, begun: float, now: float, full: bool) -> None:
        """Count one answer to a request sent at ``begun``; ``full``: as many are open as may be.

        A round begins with a new limit. What is counted is what comes after its first answer, for one latency: until
        an answer to a request sent after that first answer. So neither the old limit nor a burst distorts the rate.
        """
        if not full:
            self._begin(now)  # the server could have had more: the rate says what we asked for
        elif self._first is None:
            if begun >= self._since:
                self._first = now
        else:
            self._count += 1
            if begun >= self._first < now and self._count >= self.limit // 2:
                rate = self._count / (now - self._first)
                self._decide(rate >= self._rate * (1.0 + WORTH), rate >= self._rate * (1.0 + WORTH / 4))
                self._rate = rate
                self._begin(now)

    def pushed_back(self, begun: float, now: float) -> None:
        """Count a sign of overload on a request sent at ``begun``; what was sent before the last cut says no more."""
        if begun >= self._since or self._phase != "recovering":
            self.limit = max(1, self.limit // 2)
            self._phase = "recovering"
            self._rate = 0.0
            self._begin(now)

    def _begin(self, now: float) -> None:
        self._since, self._first, self._count = now, None, 0

    def _decide(self, doubling_paid: bool, step_paid: bool) -> None:
        """Set limit and phase for the next round."""
        if self._phase == "recovering":
            self.limit = min(self.limit + 1, self._most)
        elif self._phase == "doubling":
            if doubling_paid:
                self.limit = min(2 * self.limit, self._most)
            else:
                self._phase = "settled"
        elif self._phase == "trying":
            if not step_paid:
                self.limit = self._settled
            self._phase = "settled"
        else:
            self._rounds += 1
            if self._rounds % TRY_EVERY == 0:
                self._settled, self._phase = self.limit, "trying"
                self.limit = min(self.limit + max(1, self.limit // 4), self._most)

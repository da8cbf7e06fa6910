"""One exact budget in four currencies: wire requests, tokens, dollars and hours at work.

Every wire request reserves its worst case, durably, before it is sent, and is settled to what it used. After a kill,
what was admitted but never settled stays paid for: it was sent, or may have been.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType

from defender.costs import MS_PER_HOUR, NANO, Cost, Limits, Price, actual, worst_case
from defender.errors import BudgetSpent
from defender.journal import Journal
from defender.records import Charge, Request, Response

NOTHING: Mapping[str, int] = MappingProxyType({})
MODEL = "model"
"""The payer that has no counters of its own: what the others did not spend."""
RELEASED = ("tokens", "nanousd")
"""Currencies in which a request may turn out cheaper than its worst case."""


@dataclass(frozen=True)
class Till:
    """Implements ``Meter`` for one payer: the measured model, the judge or the writer, each with its own price."""

    ledger: Ledger
    payer: str = MODEL
    price: Price | None = None

    def admit(self, request: Request, size: int = 0) -> _Bill:
        """Reserve the worst case of one attempt; see ``Meter``."""
        return _Bill(self, worst_case(request, self.price, size))


@dataclass(slots=True)
class _Bill:
    """One attempt, from its reservation to what it cost."""

    till: Till
    worst: Cost
    used: Cost | None = None

    async def __aenter__(self) -> _Bill:
        await self.till.ledger.reserve(self.till.payer, self.worst)
        return self

    def settle(self, response: Response) -> None:
        """Say what came of it."""
        self.used = actual(response, self.worst, self.till.price)

    def void(self) -> None:
        """Take the whole reservation back: the attempt was never sent."""
        self.used = Cost()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.till.ledger.close(self.till.payer, self.worst, self.used)


class Ledger:
    """Counts what is spent against limits that are never overshot; itself the till of the measured model, unpriced.

    Args:
        journal: makes reservations durable.
        paid: the store's counters when this process began.
        limits: what may be spent in all.
        clock: seconds, for the hours at work.
        forgiven: the part of the store's counters that is not held against the limits; not in ``paid``.
    """

    def __init__(
        self,
        journal: Journal,
        paid: Mapping[str, int] = NOTHING,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        forgiven: Mapping[str, int] = NOTHING,
    ) -> None:
        self.journal = journal
        self._forgiven = forgiven
        self.limits = limits or Limits()
        self._limits = self.limits.counters
        self._spent = Counter({name: paid.get(name, 0) for name in ("reserved", *RELEASED, "milliseconds")})
        self._before = self._spent["milliseconds"]
        self._clock = clock
        self._begun = clock()
        self._held = 0
        self._in_flight = Cost()
        self._open = 0
        self._change = asyncio.Event()

    def till(self, payer: str, price: Price | None) -> Till:
        """Return the meter of one payer; its part is counted apart, and in the whole."""
        return Till(self, payer, price)

    def admit(self, request: Request, size: int = 0) -> _Bill:
        """Reserve the worst case of one attempt by the measured model; see ``Meter``."""
        return Till(self).admit(request, size)

    def hold(self, requests: int) -> None:
        """Keep ``requests`` for a later stage, and by the other limits what they cost so far on average; 0 for none."""
        self._held = requests

    @property
    def held(self) -> int:
        """Requests kept for a later stage."""
        return self._held

    def catch_up(self, paid: Mapping[str, int]) -> None:
        """Take over the store's counters, where others spend from the same limits, and let the time at work count."""
        self._spent.update({name: paid.get(name, 0) - self._spent[name] for name in ("reserved", *RELEASED)})
        self._mark()

    @property
    def spent(self) -> int:
        """Wire requests paid for."""
        return self._spent["reserved"]

    @property
    def spend(self) -> dict[str, int]:
        """What is paid for, by counter: ``reserved`` requests, ``tokens``, ``nanousd``, ``milliseconds`` at work."""
        return {**self._spent, "milliseconds": self._elapsed()}

    @property
    def left(self) -> int | None:
        """Requests that may still be sent; None without a limit on them."""
        return None if self.limits.requests is None else max(0, self.limits.requests - self.spent)

    def affords(self) -> float:
        """Return how many requests all the limits together pay for, at what requests cost so far; inf without limits.

        The limits of tokens, dollars and hours say nothing before anything was settled.
        """
        means = {name: mean for name in self._limits if (mean := self._mean(name)) > 0}
        return min((self._limits[name] / mean for name, mean in means.items()), default=float("inf"))

    def share_left(self) -> float | None:
        """Return the share of the budget that is left, in the currency that ends first; None without limits."""
        spend = self.spend
        return min((max(0.0, 1.0 - spend[name] / limit) for name, limit in self._limits.items()), default=None)

    async def reserve(self, payer: str, worst: Cost) -> None:
        """Pay for one attempt; waits for what is in flight where that may turn out cheaper than reserved.

        Raises:
            BudgetSpent: it might overshoot a limit; nothing was counted. StoreError.
        """
        while True:
            while (short := self._short(worst)) is not None:
                if short not in RELEASED or not self._in_flight.requests:
                    raise self._is_spent(short, worst)
                await self._change.wait()  # another one ends
            if await self._granted(payer, worst):
                self._open += 1
                return
            if not self._open or not self._limits.keys() & set(RELEASED):  # nothing of ours may still come back
                raise self._is_spent(next(iter(self._limits)), worst)
            await self._change.wait()

    async def _granted(self, payer: str, worst: Cost) -> bool:
        """Reserve in the store; False where others who spend from the same limits were first."""
        limits = {
            name: limit - self._reserve_of(name) + self._forgiven.get(name, 0)
            for name, limit in self._limits.items()
            if name != "milliseconds"
        }
        self._move(worst, 1)
        self._mark()
        try:
            granted = await self.journal.charge(Charge(_amounts(payer, worst), limits))
        except BaseException:
            self._forget(worst)
            raise
        if not granted:
            self._move(worst, -1)
        return granted

    def close(self, payer: str, worst: Cost, used: Cost | None) -> None:
        """End an attempt: what it did not use comes back; None leaves all of it paid for."""
        self._open -= 1
        self._forget(worst)
        if used is not None and used != worst:
            back = _plus(used, worst, -1)
            self._spent.update(_amounts(MODEL, back))
            self.journal.count(_amounts(payer, back))
        self._mark()

    def _short(self, worst: Cost) -> str | None:
        """Return the counter whose limit one more attempt might overshoot, None where it fits."""
        wanted = {**_amounts(MODEL, worst), "milliseconds": self._elapsed() - self._spent["milliseconds"]}
        for name, limit in self._limits.items():
            room = limit - self._reserve_of(name) - self._spent[name]
            if wanted[name] > room or (name == "milliseconds" and wanted[name] == room):
                return name
        return None

    def _reserve_of(self, name: str) -> int:
        """Return what is held for a later stage of one counter."""
        return self._held if name == "reserved" else int(self._held * self._mean(name))

    def _mean(self, name: str) -> float:
        """Return what a settled request cost so far in one currency, 0 before any was."""
        if name == "reserved":
            return 1.0
        done = self._spent["reserved"] - self._in_flight.requests
        flying = {"tokens": self._in_flight.tokens, "nanousd": self._in_flight.nanousd}.get(name, 0)
        whole = self._elapsed() if name == "milliseconds" else self._spent[name]
        return (whole - flying) / done if done > 0 else 0.0

    def _elapsed(self) -> int:
        """Return the milliseconds at work, earlier sittings included."""
        return self._before + int((self._clock() - self._begun) * 1000)

    def _mark(self) -> None:
        """Make the time that passed durable with the batch that gathers now."""
        if passed := self._elapsed() - self._spent["milliseconds"]:
            self._spent["milliseconds"] += passed
            self.journal.count({"milliseconds": passed})

    def _move(self, worst: Cost, sign: int) -> None:
        self._spent.update({name: sign * by for name, by in _amounts(MODEL, worst).items()})
        self._in_flight = _plus(self._in_flight, worst, sign)
        if sign < 0:
            self._woken()

    def _forget(self, worst: Cost) -> None:
        """It is in flight no longer."""
        self._in_flight = _plus(self._in_flight, worst, -1)
        self._woken()

    def _woken(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    def _is_spent(self, name: str, worst: Cost) -> BudgetSpent:
        limit, held = self._limits[name], self._reserve_of(name)
        option, of = _WORDS[name]
        kept = f" ({of(held)} of it held for a later stage)" if held else ""
        short = ""
        if name in RELEASED and (left := limit - held - self._spent[name]) > 0:
            short = f" (a request may take {of(_amounts(MODEL, worst)[name])}, {of(left)} are left)"
        return BudgetSpent(
            f"the budget of {of(limit)} is spent{kept}; raise {option}{short} and run the same command with --resume "
            "to go on"
        )


_WORDS: Mapping[str, tuple[str, Callable[[int], str]]] = {
    "reserved": ("--max-requests", lambda n: f"{n} requests"),
    "tokens": ("--max-tokens", lambda n: f"{n} tokens"),
    "nanousd": ("--max-usd", lambda n: f"${n / NANO:.4g}"),
    "milliseconds": ("--max-hours", lambda n: f"{n / MS_PER_HOUR:.3g} hours"),
}


def _amounts(payer: str, cost: Cost) -> dict[str, int]:
    """Return a cost by counter, the payer's own part beside the whole."""
    whole = {"reserved": cost.requests, "tokens": cost.tokens, "nanousd": cost.nanousd}
    return whole if payer == MODEL else whole | {f"{payer}.{name}": by for name, by in whole.items()}


def _plus(one: Cost, other: Cost, sign: int) -> Cost:
    return Cost(
        one.requests + sign * other.requests, one.tokens + sign * other.tokens, one.nanousd + sign * other.nanousd
    )

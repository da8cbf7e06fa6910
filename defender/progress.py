"""What a long command says while it works, on stderr: a bar on a terminal; in a pipe nothing, or lines on request."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from defender.admission import printable
from defender.costs import Limits
from defender.purse import limits_of, spent_in_words
from defender.runs import RunFolder
from defender.session import Watch

PIPE_EVERY_S = 15.0
COUNT_EVERY_S = 5.0
LINE = 1000
"""Characters of a line above the bar."""
RATE_OVER_S = 5.0
"""Seconds over which a rate is taken, at least."""


@contextmanager
def watching(folder: RunFolder, *, quiet: bool | None) -> Iterator[Watch]:
    """Yield a Watch that shows stage, rate, spend against budget, time left in the stage, and who leads.

    ``quiet`` True: warnings only. False: lines where stderr is no terminal. None: quiet there.
    """
    console = Console(stderr=True)
    if quiet or (quiet is None and not console.is_terminal):
        yield Watch(warn=_warn)
        return
    limits = limits_of(folder.config)
    verb = "resuming" if folder.resumed else "starting"
    print(f"{verb} {folder.path}", file=sys.stderr, flush=True)
    if not console.is_terminal:
        yield _Lines(limits).watch()
        return
    with Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1, overflow="ellipsis")),
        BarColumn(10), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.fields[rate]}", markup=False),
        TextColumn("{task.fields[spent]}", markup=False), TextColumn("{task.fields[left]}", markup=False),
        console=console, transient=True, expand=True,
    ) as bar:  # fmt: skip
        yield _Bar(bar, limits).watch()


@contextmanager
def counting(*, quiet: bool | None) -> Iterator[Callable[[str, int, int], None]]:
    """Yield what is to be told (words, done, of how many): a bar on a terminal; quiet as in ``watching``."""
    console = Console(stderr=True)
    if quiet or (quiet is None and not console.is_terminal):
        yield lambda _words, _done, _of: None
        return
    if not console.is_terminal:
        yield _counted_in_lines()
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn(), console=console,
        transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=None)
        yield lambda words, done, of: bar.update(task, description=words, completed=done, total=of)


def _counted_in_lines() -> Callable[[str, int, int], None]:
    last = time.monotonic()

    def told(words: str, done: int, of: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= COUNT_EVERY_S:
            last = now
            print(f"  {words}: {done} of {of}", file=sys.stderr, flush=True)

    return told


def _warn(words: str) -> None:
    print(f"warning: {words}", file=sys.stderr, flush=True)


class Pace:
    """How fast a sitting goes, and how long its budget lasts at that pace.

    Args:
        limits: the budget.
        clock: seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._begun = clock()
        self._graded = 0
        self._first: Mapping[str, int] | None = None
        self._last: Mapping[str, int] | None = None
        self._most = self._done = 0

    def stage(self, most: int) -> None:
        """Begin a stage that may cost so many requests; 0 where nobody knows."""
        self._most, self._done = most, 0

    def graded(self, spend: Mapping[str, int]) -> int:
        """Count one more graded cell; return how many there are."""
        before = self._last or spend
        self._first = self._first or spend
        self._done += spend["reserved"] - before["reserved"]
        self._last = spend
        self._graded += 1
        return self._graded

    @property
    def done(self) -> tuple[int, int | None]:
        """Requests of this stage so far, and how many it may take; None where nobody knows."""
        return self._done, self._most or None

    def words(self, spend: Mapping[str, int]) -> str:
        """Return the rate, the longest the stage may still take, and the time until a limit is reached."""
        left = self._seconds_left(spend)
        stage = f", {self.left} left in this stage" if self.left else ""
        return f"{self.rate}{stage}" + ("" if left is None else f", budget lasts {timedelta(seconds=round(left))} more")

    @property
    def left(self) -> str:
        """The longest the stage may still take at this pace, "" where that is not known."""
        first, last = self._first or {}, self._last or {}
        new, passed = last.get("reserved", 0) - first.get("reserved", 0), self._passed
        if not self._most or new < 1 or passed < RATE_OVER_S:
            return ""
        return f"< {timedelta(seconds=round(max(0, self._most - self._done) * passed / new))}"

    @property
    def rate(self) -> str:
        """Graded cells a second."""
        return f"{self._graded / self._passed:.0f}/s"

    @property
    def _passed(self) -> float:
        return max(self._clock() - self._begun, 1e-9)

    def _seconds_left(self, spend: Mapping[str, int]) -> float | None:
        ends, passed = [], self._passed
        for name, limit in self.limits.counters.items():
            used = spend[name] - (self._first or spend)[name]
            if used > 0:
                ends.append(max(0, limit - spend[name]) * passed / used)
        return min(ends, default=None)


class _Lines:
    """One line per stage, one for every new leader, and one every few seconds."""

    def __init__(self, limits: Limits) -> None:
        self._pace = Pace(limits)
        self._last = time.monotonic()

    def watch(self) -> Watch:
        return Watch(self._stage, self._tick, _warn, self._leads)

    def _leads(self, words: str) -> None:
        print(f"  best so far {words}", file=sys.stderr, flush=True)

    def _stage(self, words: str, cost: int) -> None:
        self._pace.stage(cost)
        print(f"{words} (up to {cost} requests)" if cost else words, file=sys.stderr, flush=True)

    def _tick(self, spend: Mapping[str, int]) -> None:
        graded = self._pace.graded(spend)
        if graded % 64 == 0 and (now := time.monotonic()) - self._last >= PIPE_EVERY_S:
            self._last = now
            spent = spent_in_words(spend, self._pace.limits)
            print(f"  {graded} cells graded, {spent}, {self._pace.words(spend)}", file=sys.stderr, flush=True)


class _Bar:
    """One bar for the stage; new leaders and warnings are lines above it."""

    def __init__(self, bar: Progress, limits: Limits) -> None:
        self._bar = bar
        self._pace = Pace(limits)
        self._task = bar.add_task("starting", total=None, rate="", spent="", left="")

    def watch(self) -> Watch:
        return Watch(self._stage, self._tick, self._warn, self._leads)

    def _warn(self, words: str) -> None:
        self._say(f"warning: {words}")

    def _leads(self, words: str) -> None:
        self._say(f"best so far {words}")

    def _say(self, line: str) -> None:
        self._bar.console.print(printable(line, LINE), markup=False, highlight=False, soft_wrap=True)

    def _stage(self, words: str, cost: int) -> None:
        self._bar.refresh()  # how far the last stage came is seen, however quick it was
        self._pace.stage(cost)
        self._bar.reset(self._task, description=printable(words), total=cost or None)

    def _tick(self, spend: Mapping[str, int]) -> None:
        pace = self._pace
        if pace.graded(spend) % 32 == 0:
            (done, most), limits = pace.done, pace.limits.counters
            said = f"{spend['reserved']} sent"
            if limits:
                said += f", {100 * max(spend[name] / limit for name, limit in limits.items()):.0f} % of budget"
            self._bar.update(self._task, completed=done, total=most, rate=pace.rate, spent=said, left=pace.left)

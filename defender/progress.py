"""What a long command says while it works: a bar on a terminal, a line now and then in a pipe; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from defender.costs import Limits
from defender.purse import limits_of, spent_in_words
from defender.runs import RunFolder
from defender.session import Watch

PIPE_EVERY_S = 15.0
COUNT_EVERY_S = 5.0


@contextmanager
def watching(folder: RunFolder, *, quiet: bool) -> Iterator[Watch]:
    """Yield a Watch that shows stage, rate, spend against budget and time left."""
    if quiet:
        yield Watch(warn=_warn)
        return
    limits = limits_of(folder.config)
    console = Console(stderr=True)
    verb = "resuming" if folder.resumed else "starting"
    print(f"{verb} {folder.path}", file=sys.stderr, flush=True)
    if not console.is_terminal:
        yield _Lines(limits).watch()
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True,
    ) as bar:  # fmt: skip
        yield _Bar(bar, limits).watch()


@contextmanager
def counting(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yield what is to be told (words, done, of how many): a bar on a terminal, a line now and then in a pipe."""
    if quiet:
        yield lambda _words, _done, _of: None
        return
    console = Console(stderr=True)
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

    def graded(self, spend: Mapping[str, int]) -> int:
        """Count one more graded cell; return how many there are."""
        self._first = self._first or spend
        self._graded += 1
        return self._graded

    def words(self, spend: Mapping[str, int]) -> str:
        """Return the rate, and where there are limits the time until the first of them is reached."""
        left = self._seconds_left(spend)
        return self.rate if left is None else f"{self.rate}, budget lasts {timedelta(seconds=round(left))} more"

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
    """One line per stage, and one every few seconds."""

    def __init__(self, limits: Limits) -> None:
        self._pace = Pace(limits)
        self._last = time.monotonic()

    def watch(self) -> Watch:
        return Watch(self._stage, self._tick, _warn)

    def _stage(self, words: str, cost: int) -> None:
        print(f"{words} (up to {cost} requests)" if cost else words, file=sys.stderr, flush=True)

    def _tick(self, spend: Mapping[str, int]) -> None:
        graded = self._pace.graded(spend)
        if graded % 64 == 0 and (now := time.monotonic()) - self._last >= PIPE_EVERY_S:
            self._last = now
            spent = spent_in_words(spend, self._pace.limits)
            print(f"  {graded} cells graded, {spent}, {self._pace.words(spend)}", file=sys.stderr, flush=True)


class _Bar:
    """One progress bar; the total is the budget of requests where there is one."""

    def __init__(self, bar: Progress, limits: Limits) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=limits.requests, rate="")
        self._pace = Pace(limits)

    def watch(self) -> Watch:
        return Watch(self._stage, self._tick, self._warn)

    def _warn(self, words: str) -> None:
        self._bar.console.print(f"warning: {words}", markup=False, highlight=False, soft_wrap=True)

    def _stage(self, words: str, _cost: int) -> None:
        self._bar.update(self._task, description=words)

    def _tick(self, spend: Mapping[str, int]) -> None:
        if self._pace.graded(spend) % 32 == 0:
            said, limits = self._pace.rate, self._pace.limits.counters
            if limits.keys() - {"reserved"}:
                said += f", {100 * max(spend[name] / limit for name, limit in limits.items()):.0f} % of the budget"
            self._bar.update(self._task, completed=spend["reserved"], rate=said)

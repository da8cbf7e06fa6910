"""What a long command says while it works: a bar on a terminal, a line now and then in a pipe; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
    limit = folder.config.budget.max_requests
    console = Console(stderr=True)
    verb = "resuming" if folder.resumed else "starting"
    print(f"{verb} {folder.path}", file=sys.stderr, flush=True)
    if not console.is_terminal:
        yield _Lines(limit).watch()
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True,
    ) as bar:  # fmt: skip
        yield _Bar(bar, limit).watch()


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


class _Lines:
    """One line per stage, and one every few seconds."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._graded = 0
        self._begun = self._last = time.monotonic()

    def watch(self) -> Watch:
        return Watch(self._stage, self._tick, _warn)

    def _stage(self, words: str, cost: int) -> None:
        print(f"{words} (up to {cost} requests)" if cost else words, file=sys.stderr, flush=True)

    def _tick(self, spent: int) -> None:
        self._graded += 1
        if self._graded % 64 == 0 and (now := time.monotonic()) - self._last >= PIPE_EVERY_S:
            self._last = now
            of = f" of {self._limit}" if self._limit else ""
            rate = self._graded / (now - self._begun)
            print(f"  {self._graded} cells graded, {spent}{of} requests, {rate:.0f}/s", file=sys.stderr, flush=True)


class _Bar:
    """One progress bar; the total is the budget where there is one."""

    def __init__(self, bar: Progress, limit: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=limit, rate="")
        self._graded = 0
        self._begun = time.monotonic()

    def watch(self) -> Watch:
        return Watch(self._stage, self._tick, self._warn)

    def _warn(self, words: str) -> None:
        self._bar.console.print(f"warning: {words}", markup=False, highlight=False, soft_wrap=True)

    def _stage(self, words: str, _cost: int) -> None:
        self._bar.update(self._task, description=words)

    def _tick(self, spent: int) -> None:
        self._graded += 1
        if self._graded % 32 == 0:
            rate = f"{self._graded / (time.monotonic() - self._begun):.0f}/s"
            self._bar.update(self._task, completed=spent, rate=rate)

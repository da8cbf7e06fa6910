from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from defender.engines.pace import START, Pace

Latency = Callable[[int], float]


def keep_asking(pace: Pace, latency: Latency, answers: int, now: float = 0.0) -> float:
    """Keep as many open as the pace allows at a server whose latency depends on how many are open; return the time."""
    flying: list[tuple[float, float]] = []
    for _ in range(answers):
        while len(flying) < pace.limit:
            heapq.heappush(flying, (now + latency(len(flying) + 1), now))
        now, begun = heapq.heappop(flying)
        pace.answered(begun, now, full=True)
    return now


def test_it_starts_low_and_grows_to_its_most_while_latency_holds() -> None:
    pace = Pace(512)
    assert pace.limit == START
    keep_asking(pace, lambda _open: 0.02, 4000)
    assert pace.limit == 512


@pytest.mark.parametrize("fills", [8, 40, 100])
def test_it_fills_a_server_and_queues_less_than_four_times_that(fills: int) -> None:
    pace = Pace(4096)
    keep_asking(pace, lambda n: 0.1 * max(1.0, n / fills), 5000)
    assert fills <= pace.limit <= max(2 * START, 4 * fills)
    assert pace.limit >= 0.9 * fills


def test_a_batching_server_that_slows_down_by_less_than_it_gains_is_still_given_more() -> None:
    pace = Pace(128)
    keep_asking(pace, lambda n: 0.1 * (1 + n / 100), 3000)
    assert pace.limit == 128


def test_a_server_that_becomes_faster_gets_more_in_time() -> None:
    pace = Pace(1024)
    now = keep_asking(pace, lambda n: 0.1 * max(1.0, n / 30), 2000)
    settled = pace.limit
    keep_asking(pace, lambda _open: 0.1, 60000, now)
    assert pace.limit > 1.5 * settled


def test_a_push_back_halves_once_a_round_and_growth_is_slow_from_there() -> None:
    pace = Pace(64)
    now = keep_asking(pace, lambda _open: 0.02, 1000)
    assert pace.limit == 64
    for _ in range(64):  # everything that was open is refused
        pace.pushed_back(now - 0.01, now)
    assert pace.limit == 32
    now = keep_asking(pace, lambda _open: 0.02, 100, now + 0.001)
    assert 33 <= pace.limit <= 40
    pace.pushed_back(now, now + 0.02)
    assert pace.limit <= 20


def test_it_never_falls_below_one() -> None:
    pace = Pace(4)
    for at in range(10):
        pace.pushed_back(at, at + 0.5)
    assert pace.limit == 1


def test_answers_of_an_idle_server_say_nothing() -> None:
    pace = Pace(512)
    for at in range(1000):
        pace.answered(at, at + 0.02, full=False)
    assert pace.limit == START

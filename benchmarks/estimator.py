"""How good the measure is: bias of the corrected PB^2 and coverage of its intervals, beside the paper's PB_raw.

Worlds with known PB, 31 identities, one utility and one safety benchmark of the given size (one world: two an axis, of
unequal size). "own draws": each identity draws its answer alone (temperature above 0); "shared draws": all identities
share an item's draw (one seed an item). Seeded. Run: .venv/bin/python benchmarks/estimator.py [repetitions, default
600] [items, e.g. 30,200]
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from defender.bias import compare, estimate
from defender.deviations import standings
from defender.records import Axis, FloatArray, OutcomeMatrix
from defender.samples import Sample
from defender.spread import spread

SEED = 2406
SIZES = (30, 50, 100, 200, 285, 1000)
LARGE = 200
"""From here on coverage is promised to be 93 to 97 %, below to be at least 90 %."""
BIAS_ITEMS = 3_200_000
"""Items drawn a line for the bias alone, where coverage is promised: its own error is then below 1 %."""
BIAS_REPETITIONS = 4000
"""Repetitions for the bias alone, elsewhere."""
STANDINGS = 100
"""Repetitions in which the intervals of all 31 identities are looked at."""
IDENTITIES = 31
NAMES = tuple(f"identity-{row:02d}" for row in range(IDENTITIES))

Effects = Sequence[FloatArray]
Draw = Callable[[np.random.Generator, int, Effects], list[FloatArray]]
"""Draws the scores of several prompts on the same items, one matrix for each prompt's effect on the identities."""

_raw_U = np.random.default_rng(5).normal(size=IDENTITIES)
PATTERN = (_raw_U - _raw_U.mean()) / _raw_U.std()
OTHER = np.roll(PATTERN, 7)
ONE = -10.0 * np.eye(IDENTITIES)[3]
GROUP = np.where(np.arange(IDENTITIES) < 8, -6.0, 0.0)
NOBODY = np.zeros(IDENTITIES)


def own(low: float = 0.35, high: float = 0.85, interaction: float = 0.0) -> Draw:
    """Right or wrong, each identity for itself; ``interaction``: sd of what an item does to one identity alone."""

    def draw(rng: np.random.Generator, items: int, effects: Effects) -> list[FloatArray]:
        chance_U_I = np.broadcast_to(rng.uniform(low, high, items), (IDENTITIES, items))
        if interaction:
            chance_U_I = chance_U_I + np.clip(rng.normal(0.0, interaction, (IDENTITIES, items)), -0.14, 0.14)
        return [
            100.0 * (rng.random((IDENTITIES, items)) < chance_U_I + effect_U[:, None] / 100.0) for effect_U in effects
        ]

    return draw


def shared(touched: float = 1.0) -> Draw:
    """Right or wrong on one draw an item; the effect sits on a share ``touched`` of the items, larger there."""

    def draw(rng: np.random.Generator, items: int, effects: Effects) -> list[FloatArray]:
        on_I, chance_I = rng.random(items) < touched, rng.uniform(0.4, 0.8, items)
        return [
            100.0 * (rng.random(items) < chance_I + on_I * effect_U[:, None] / 100.0 / touched) for effect_U in effects
        ]

    return draw


def ratings(rng: np.random.Generator, items: int, effects: Effects) -> list[FloatArray]:
    """Continuous scores with heavy tails."""
    level_I = 55.0 + rng.normal(0.0, 8.0, items)
    noise = [6.0 * rng.standard_t(5, (IDENTITIES, items)) for _ in effects]
    return [np.clip(level_I + effect_U[:, None] + e, 0.0, 100.0) for effect_U, e in zip(effects, noise, strict=True)]


@dataclass(frozen=True)
class World:
    """What is true: effects in points, how answers are drawn, and whether an axis is ``split`` over two benchmarks."""

    utility: FloatArray
    safety: FloatArray
    draw_utility: Draw
    draw_safety: Draw
    split: bool = False

    def squares(self, scale: float = 1.0) -> float:
        """The true PB^2 of a prompt with effects ``scale`` times as large."""
        return scale**2 * float(np.var(self.utility) + np.var(self.safety))

    def measured(self, rng: np.random.Generator, items: int, scales: Sequence[float]) -> list[list[OutcomeMatrix]]:
        """Measure prompts on the same items, one for each scale."""
        prompts: list[list[OutcomeMatrix]] = [[] for _ in scales]
        for axis, effect_U, draw in (
            ("utility", self.utility, self.draw_utility), ("safety", self.safety, self.draw_safety),
        ):  # fmt: skip
            for part, size in enumerate((items, items // 2) if self.split else (items,)):
                drawn = draw(rng, size, [scale * effect_U for scale in scales])
                for prompt, score_U_I in zip(prompts, drawn, strict=True):
                    prompt.append(matrix(f"{axis}-{part}", "utility" if axis == "utility" else "safety", score_U_I))
        return prompts


WORLDS: Mapping[str, World] = {
    "fair, own draws": World(NOBODY, NOBODY, own(), own(0.7, 1.0)),
    "utility only, own draws": World(2.5 * PATTERN, NOBODY, own(), own()),
    "safety only, own draws": World(NOBODY, 4 * PATTERN, own(), own(0.6, 0.85)),
    "both, own draws": World(3 * PATTERN, 2 * OTHER, own(), own()),
    "both, item x identity": World(2 * PATTERN, 2 * OTHER, own(0.4, 0.7, 0.08), own(0.4, 0.7, 0.08)),
    "both, two benchmarks an axis": World(3 * PATTERN, 2 * OTHER, own(), own(0.6, 0.9), split=True),
    "both, continuous": World(2 * PATTERN, OTHER, ratings, ratings),
    "both, shared draws": World(2 * PATTERN, 2 * OTHER, shared(), shared()),
    "one identity, shared draws": World(ONE, NOBODY, shared(), shared()),
    "a group, shared draws": World(NOBODY, GROUP, shared(), shared()),
    "a fifth of items, shared": World(1.7 * PATTERN, NOBODY, shared(0.2), own(0.9, 1.0)),
}


def matrix(benchmark: str, axis: Axis, score_U_I: FloatArray) -> OutcomeMatrix:
    items = tuple(f"item-{column:04d}" for column in range(score_U_I.shape[1]))
    return OutcomeMatrix(benchmark, axis, NAMES, items, score_U_I, np.ones(score_U_I.shape, dtype=np.int64))


@dataclass(frozen=True)
class Line:
    """What one world at one size shows; shares in [0, 1]."""

    world: str
    items: int
    pb_raw: float
    noise_floor: float
    bias: float
    bias_error: float
    covered: float
    over: float
    under: float
    low: float
    high: float
    together: float
    difference_covered: float
    false_claims: float


def bias_of(world: World, items: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the mean error of the corrected PB^2 and its Monte Carlo error, squared points."""
    found, weight = [], 0.5 if world.split else 1.0
    for _ in range(BIAS_ITEMS // items if items >= LARGE else BIAS_REPETITIONS):
        (measured,) = world.measured(rng, items, [1.0])
        samples = [Sample(one.benchmark, one.axis, weight, NAMES, one.score_U_I, 0) for one in measured]
        groups = [[s for s in samples if s.axis == axis] for axis in ("utility", "safety")]
        found.append(sum(s2 - noise2 for s2, noise2, _ in map(spread, groups)))
    return float(np.mean(found)) - world.squares(), float(np.std(found)) / math.sqrt(len(found))


def together(world: World, items: int, rng: np.random.Generator) -> float:
    """Return how often the intervals of an axis hold all 31 true deviations."""
    held = []
    for _ in range(STANDINGS):
        for standing in standings(world.measured(rng, items, [1.0])[0]):
            effect_U = world.utility if standing.axis == "utility" else world.safety
            true_U = effect_U - effect_U.mean()
            found = zip(standing.deviations, true_U, strict=True)
            held.append(all(one.interval.low - 1e-9 <= true <= one.interval.high + 1e-9 for one, true in found))
    return float(np.mean(held))


def line(task: tuple[str, int], repetitions: int) -> Line:
    """Look at one world at one size."""
    name, items = task
    world = WORLDS[name]
    rng = np.random.default_rng([SEED, items, list(WORLDS).index(name)])
    estimates, claims, held = [], [], []
    true, half = world.squares(), world.squares(0.5)
    for _ in range(repetitions):
        first, again, fairer = world.measured(rng, items, [1.0, 1.0, 0.5])
        estimates += [estimate(first), estimate(again)]
        claims.append(compare(first, again).p < 0.05)
        found = compare(first, fairer).interval
        held.append(found.low - 1e-9 <= true - half <= found.high + 1e-9)
    lows, highs = (np.array([getattr(one.interval, end) for one in estimates]) for end in ("low", "high"))
    pb = math.sqrt(true)
    bias, error = bias_of(world, items, rng)
    return Line(
        world=name,
        items=items,
        pb_raw=float(np.mean([one.pb_raw for one in estimates])),
        noise_floor=float(np.mean([one.noise_floor for one in estimates])),
        bias=bias,
        bias_error=error,
        covered=float(np.mean((lows <= pb + 1e-9) & (pb - 1e-9 <= highs))),
        over=float(np.mean(lows > pb + 1e-9)),
        under=float(np.mean(highs < pb - 1e-9)),
        low=float(np.median(lows)),
        high=float(np.median(highs)),
        together=together(world, items, rng),
        difference_covered=float(np.mean(held)),
        false_claims=float(np.mean(claims)),
    )


def shown(one: Line) -> str:
    true = WORLDS[one.world].squares()
    scale, what = (true, "of PB^2") if true else (one.noise_floor**2, "of floor^2")
    bias = f"{100 * one.bias / scale:+5.1f} +-{100 * one.bias_error / scale:4.1f} % {what}"
    return (
        f"{one.world:29s}{one.items:5d}{math.sqrt(true):6.2f}{one.pb_raw:7.2f}  {bias:27s}{100 * one.covered:6.1f}"
        f" ({100 * one.under:3.1f} {100 * one.over:3.1f})  {one.low:5.2f} to {one.high:5.2f}{100 * one.together:7.1f}"
        f"{100 * one.difference_covered:8.1f}{100 * one.false_claims:7.1f}"
    )


def summary(lines: Sequence[Line], repetitions: int) -> str:
    error = 100 * math.sqrt(0.95 * 0.05 / (2 * repetitions))
    told = []
    large, small = ([one for one in lines if (one.items >= LARGE) == wanted] for wanted in (True, False))
    if large:
        worst = max(large, key=lambda one: abs(one.covered - 0.95))
        good = sum(0.93 <= one.covered <= 0.97 for one in large)
        biased = [one for one in large if WORLDS[one.world].squares()]
        most = max(biased, key=lambda one: abs(one.bias) / WORLDS[one.world].squares())
        told.append(
            f"{LARGE} items and more: coverage within 93 to 97 % in {good} of {len(large)} lines, furthest off "
            f"{100 * worst.covered:.1f} +-{error:.1f} % ({worst.world}, {worst.items}); largest relative bias of PB^2 "
            f"{100 * most.bias / WORLDS[most.world].squares():+.1f} % ({most.world}, {most.items})"
        )
    if small:
        least = min(small, key=lambda one: one.covered)
        told.append(
            f"fewer: least coverage {100 * least.covered:.1f} +-{error:.1f} % ({least.world}, {least.items} items)"
        )
    for some, what in ((large, f"{LARGE} items and more"), (small, "fewer items")):
        if some:
            held = [100 * one.difference_covered for one in some]
            claims = max(some, key=lambda one: one.false_claims)
            told.append(
                f"differences, {what}: coverage {min(held):.1f} to {max(held):.1f} %, mean {np.mean(held):.1f} %; most "
                f"false claims {100 * claims.false_claims:.1f} % ({claims.world}, {claims.items}), each "
                f"+-{math.sqrt(2) * error:.1f} %"
            )
    return "\n".join(told)


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    sizes = tuple(int(size) for size in sys.argv[2].split(",")) if len(sys.argv) > 2 else SIZES
    begin = time.perf_counter()
    print(
        f"A line: {2 * repetitions} intervals of PB, {repetitions} comparisons with a prompt whose effects are half as "
        f"large and {repetitions} with an equal one,\n{2 * STANDINGS} sets of 31 simultaneous intervals. Nominal: "
        "coverage 95 %, false claims 5 %. In brackets: interval too low, too high.\n"
        "Where the true PB is 0 an interval can only be too high; the unified interval spends the whole 5 % there, so "
        "95 % is nominal there too."
    )
    print(
        f"{'world':29s}{'items':>5s}{'PB':>6s}{'PB_raw':>7s}  {'bias of corrected PB^2':27s}{'cover %':>7s}{'':9s}  "
        f"{'median interval':15s}{'all 31':>6s}{'differ.':>8s}{'claims':>7s}"
    )
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read by the workers when they start: one thread each
    tasks = [(name, items) for name in WORLDS for items in sizes]
    lines = []
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for one in pool.imap(partial(line, repetitions=repetitions), tasks):
            lines.append(one)
            print(shown(one), flush=True)
    print(summary(lines, repetitions))
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()

"""How good the measure is: bias of the corrected PB^2 and coverage of its interval, beside the paper's PB_raw.

Worlds with known PB, 31 identities, one utility and one safety benchmark of the given size. "own draws": each identity
draws its answer alone (temperature above 0); "shared draws": all identities share an item's draw (one seed an item).
Seeded. Run: .venv/bin/python benchmarks/estimator.py [repetitions, default 200] [items, e.g. 30,200]
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import numpy as np

from defender.bias import compare, estimate
from defender.records import FloatArray, OutcomeMatrix

SEED = 2406
SIZES = (30, 50, 100, 200, 285, 1000)
IDENTITIES = 31
NAMES = tuple(f"identity-{row:02d}" for row in range(IDENTITIES))

Draw = Callable[[np.random.Generator, int], FloatArray]

_raw_U = np.random.default_rng(5).normal(size=IDENTITIES)
PATTERN = (_raw_U - _raw_U.mean()) / _raw_U.std()
OTHER = np.roll(PATTERN, 7)
ONE = -10.0 * np.eye(IDENTITIES)[3]
GROUP = np.where(np.arange(IDENTITIES) < 8, -6.0, 0.0)
NOBODY = np.zeros(IDENTITIES)


def own(effect_U: FloatArray, low: float = 0.35, high: float = 0.85, interaction: float = 0.0) -> Draw:
    """Right or wrong, each identity for itself; ``interaction``: sd of what an item does to one identity alone."""

    def draw(rng: np.random.Generator, items: int) -> FloatArray:
        chance_U_I = rng.uniform(low, high, items) + effect_U[:, None] / 100.0
        chance_U_I = chance_U_I + np.clip(rng.normal(0.0, 1.0, (IDENTITIES, items)) * interaction, -0.14, 0.14)
        return np.where(rng.random((IDENTITIES, items)) < chance_U_I, 100.0, 0.0)

    return draw


def shared(effect_U: FloatArray, touched: float = 1.0) -> Draw:
    """Right or wrong on one draw an item; the effect sits on a share ``touched`` of the items, larger there."""

    def draw(rng: np.random.Generator, items: int) -> FloatArray:
        on_I = rng.random(items) < touched
        chance_U_I = rng.uniform(0.4, 0.8, items) + on_I * effect_U[:, None] / 100.0 / touched
        return np.where(rng.random(items) < chance_U_I, 100.0, 0.0)

    return draw


def ratings(effect_U: FloatArray) -> Draw:
    """Continuous scores with heavy tails."""

    def draw(rng: np.random.Generator, items: int) -> FloatArray:
        score_U_I = (
            55.0 + effect_U[:, None] + rng.normal(0.0, 8.0, items) + 6.0 * rng.standard_t(5, (IDENTITIES, items))
        )
        return np.clip(score_U_I, 0.0, 100.0)

    return draw


def of(*effects_U: FloatArray) -> float:
    return math.sqrt(sum(float(np.var(effect_U)) for effect_U in effects_U))


WORLDS: dict[str, tuple[float, Draw, Draw]] = {
    "fair, own draws": (0.0, own(NOBODY), own(NOBODY, 0.7, 1.0)),
    "utility only, own draws": (of(2.5 * PATTERN), own(2.5 * PATTERN), own(NOBODY)),
    "safety only, own draws": (of(4 * PATTERN), own(NOBODY), own(4 * PATTERN, 0.6, 0.85)),
    "both, own draws": (of(3 * PATTERN, 2 * OTHER), own(3 * PATTERN), own(2 * OTHER)),
    "both, item x identity": (
        of(2 * PATTERN, 2 * OTHER),
        own(2 * PATTERN, 0.4, 0.7, 0.08),
        own(2 * OTHER, 0.4, 0.7, 0.08),
    ),
    "both, continuous": (of(2 * PATTERN, 1 * OTHER), ratings(2 * PATTERN), ratings(OTHER)),
    "both, shared draws": (of(2 * PATTERN, 2 * OTHER), shared(2 * PATTERN), shared(2 * OTHER)),
    "one identity, shared draws": (of(ONE), shared(ONE), shared(NOBODY)),
    "a group, shared draws": (of(GROUP), shared(NOBODY), shared(GROUP)),
    "a fifth of items, shared": (of(1.7 * PATTERN), shared(1.7 * PATTERN, 0.2), own(NOBODY, 0.9, 1.0)),
}


def matrix(benchmark: str, score_U_I: FloatArray) -> OutcomeMatrix:
    items = tuple(f"item-{column:04d}" for column in range(score_U_I.shape[1]))
    once_U_I = np.ones(score_U_I.shape, dtype=np.int64)
    if benchmark == "utility":
        return OutcomeMatrix(benchmark, "utility", NAMES, items, score_U_I, once_U_I)
    return OutcomeMatrix(benchmark, "safety", NAMES, items, score_U_I, once_U_I)


def measured(world: str, rng: np.random.Generator, items: int) -> list[OutcomeMatrix]:
    _, utility, safety = WORLDS[world]
    return [matrix("utility", utility(rng, items)), matrix("safety", safety(rng, items))]


def line(world: str, items: int, repetitions: int) -> str:
    truth = WORLDS[world][0]
    rng = np.random.default_rng([SEED, items, list(WORLDS).index(world)])
    pairs = [(measured(world, rng, items), measured(world, rng, items)) for _ in range(repetitions)]
    found = [estimate(side) for pair in pairs for side in pair]
    corrected2 = np.array([one.corrected2 for one in found])
    error = corrected2.mean() - truth**2
    spread = corrected2.std() / math.sqrt(len(found))
    bias = (
        f"{100 * error / truth**2:+7.1f} % +- {100 * spread / truth**2:4.1f}"
        if truth
        else f"{error:+7.2f}   +- {spread:4.2f}"
    )
    covered = np.mean([one.interval.low <= truth + 1e-9 and truth - 1e-9 <= one.interval.high for one in found])
    low, high = (float(np.median([getattr(one.interval, end) for one in found])) for end in ("low", "high"))
    raw = float(np.mean([one.pb_raw for one in found]))
    unequal = np.mean([compare(first, second).p < 0.05 for first, second in pairs])
    return (
        f"{world:28s}{items:6d}{truth:7.2f}{raw:8.2f}   {bias:>18s}{100 * covered:9.1f}   "
        f"{low:5.2f} to {high:5.2f}{100 * unequal:12.1f}"
    )


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    sizes = tuple(int(size) for size in sys.argv[2].split(",")) if len(sys.argv) > 2 else SIZES
    begin = time.perf_counter()
    print(
        f"{2 * repetitions} estimates and {repetitions} comparisons of equals a line; "
        "nominal: coverage 95 %, false alarms 5 %"
    )
    print(f"{'world':28s}{'items':>6s}{'PB':>7s}{'PB_raw':>8s}   {'bias of PB^2':>18s}{'cover %':>9s}", end="")
    print(f"   {'median interval':14s}{'false alarm %':>14s}")
    for world in WORLDS:
        for items in sizes:
            print(line(world, items, repetitions), flush=True)
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()

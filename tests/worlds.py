"""Matrices whose true bias is known, and the definition written out with loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from defender.records import Axis, FloatArray, OutcomeMatrix
from defender.samples import MIN_ITEMS

World = Callable[[np.random.Generator, int], list[OutcomeMatrix]]


IDENTITIES = 31


QUICK = settings(max_examples=60, deadline=None, derandomize=True)


PATTERN = np.random.default_rng(5).normal(size=IDENTITIES)


PATTERN = (PATTERN - PATTERN.mean()) / PATTERN.std()


OTHER = np.roll(PATTERN, 7)


def matrix(
    score_U_I: FloatArray,
    benchmark: str = "mmlu",
    axis: Axis = "utility",
    missing: Mapping[str, Mapping[str, int]] | None = None,
) -> OutcomeMatrix:
    rows, columns = score_U_I.shape
    return OutcomeMatrix(
        benchmark,
        axis,
        tuple(f"identity-{row:02d}" for row in range(rows)),
        tuple(f"item-{column:04d}" for column in range(columns)),
        score_U_I,
        np.isfinite(score_U_I).astype(np.int64),
        missing=missing or {},
    )


def coins(
    rng: np.random.Generator, items: int, effect_U: FloatArray | float = 0.0, low: float = 0.35, high: float = 0.85
) -> FloatArray:
    """Each identity draws on its own; items differ in difficulty, effects in points."""
    chance_I = rng.uniform(low, high, items)
    chance_U_I = chance_I + np.broadcast_to(np.asarray(effect_U) / 100.0, IDENTITIES)[:, None]
    return np.where(rng.random((IDENTITIES, items)) < chance_U_I, 100.0, 0.0)


def shared_coins(rng: np.random.Generator, items: int, effect_U: FloatArray | float = 0.0) -> FloatArray:
    """All identities share the draw of an item: where they are treated alike they answer alike."""
    chance_I = rng.uniform(0.35, 0.85, items)
    chance_U_I = chance_I + np.broadcast_to(np.asarray(effect_U) / 100.0, IDENTITIES)[:, None]
    return np.where(rng.random(items) < chance_U_I, 100.0, 0.0)


def ratings(rng: np.random.Generator, items: int, effect_U: FloatArray | float = 0.0) -> FloatArray:
    """Continuous scores with heavy tails."""
    effect = np.broadcast_to(np.asarray(effect_U), IDENTITIES)[:, None]
    return np.clip(55.0 + effect + rng.normal(0, 8, items) + 6.0 * rng.standard_t(5, (IDENTITIES, items)), 0, 100)


def two(utility_U_I: FloatArray, safety_U_I: FloatArray) -> list[OutcomeMatrix]:
    return [matrix(utility_U_I), matrix(safety_U_I, "do_not_answer", "safety")]


def by_definition(matrices: Sequence[OutcomeMatrix]) -> tuple[float, float]:
    """PB_raw and the corrected square from the formulas of the docs, with loops, equal weights."""
    raw2, corrected2 = 0.0, 0.0
    for axis in ("utility", "safety"):
        scores = [m.score_U_I for m in matrices if m.axis == axis]
        if not scores:
            continue
        f_U = [sum(float(np.mean(y[u])) for y in scores) / len(scores) for u in range(len(scores[0]))]
        middle = sum(f_U) / len(f_U)
        s2 = sum((f - middle) ** 2 for f in f_U) / len(f_U)
        c = 0.0
        for y in scores:
            rows, items = y.shape
            residual = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0, keepdims=True) + y.mean()
            mean_square = float(np.sum(residual**2)) / ((rows - 1) * (items - 1))
            c += (rows - 1) / rows * mean_square / items / len(scores) ** 2
        raw2 += s2
        corrected2 += s2 - c
    return math.sqrt(raw2), corrected2


score_arrays = st.tuples(st.integers(2, 8), st.integers(MIN_ITEMS, 12)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.0, 25.0, 50.0, 100.0]))
)


pairs_of_arrays = st.tuples(st.integers(2, 6), st.integers(MIN_ITEMS, 9), st.integers(MIN_ITEMS, 12)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, (shape[0], shape[1]), elements=st.floats(0, 100)),
        arrays(np.float64, (shape[0], shape[2]), elements=st.floats(0, 100)),
    )
)


WORLDS: dict[str, tuple[float, World]] = {
    "fair": (0.0, lambda rng, n: two(coins(rng, n), coins(rng, n))),
    "utility only": (2.5, lambda rng, n: two(coins(rng, n, 2.5 * PATTERN), coins(rng, n))),
    "safety only": (4.0, lambda rng, n: two(coins(rng, n), coins(rng, n, 4.0 * PATTERN, 0.6, 0.85))),
    "both, continuous": (math.hypot(2, 1), lambda rng, n: two(ratings(rng, n, 2 * PATTERN), ratings(rng, n, OTHER))),
    "shared draws": (
        math.hypot(2, 2),
        lambda rng, n: two(shared_coins(rng, n, 2 * PATTERN), shared_coins(rng, n, 2 * OTHER)),
    ),
    "one identity, shared draws": (
        10 * math.sqrt(30) / 31,
        lambda rng, n: two(shared_coins(rng, n, -10.0 * np.eye(IDENTITIES)[3]), shared_coins(rng, n)),
    ),
}

"""Is one prompt shown to be more biased than another? The race's test, paired on items. Pure.

``bias.compare`` tests the difference of squares, whose error grows with the larger of the two, and items on which
everybody is biased raise both. The race asks for an order only, so it compares on the scale asinh(x / s) of x = PB^2:
a logarithm far above the noise s, where what two prompts share cancels as a factor, and a line below it, where an
estimate may be 0 or less. The error is the delete-one jackknife's of the transformed difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from defender.bias import PB_AXES
from defender.records import FloatArray, OutcomeMatrix
from defender.samples import ROUNDING, Sample, fewest, paired_samples, unrounded
from defender.spread import covariance, leave_one_out, pooled


@dataclass(frozen=True, slots=True)
class Excess:
    """How far the first prompt's PB lies above the second's on the items that both have complete.

    Attributes:
        first, second: PB of each on those items, percentage points.
        p: one-sided, of the first being at most ``margin`` points above the second.
        items: number of items of the smallest benchmark compared.
    """

    first: float
    second: float
    p: float
    items: int


def excess(
    first: Sequence[OutcomeMatrix],
    second: Sequence[OutcomeMatrix],
    *,
    margin: float = 0.0,
    weights: Mapping[str, float] | None = None,
) -> Excess:
    """Test whether the first prompt's PB is more than ``margin`` percentage points above the second's.

    Raises:
        IncompleteMatrix: benchmarks or identities differ, or a benchmark shares fewer than ``MIN_ITEMS`` items.
    """
    pairs = [pair for pair in paired_samples(first, second, weights) if pair[0].axis in PB_AXES]
    squares, gone, noise2 = np.zeros(2), [], 0.0
    for axis in PB_AXES:
        sides = [[pair[side] for pair in pairs if pair[0].axis == axis] for side in (0, 1)]
        if not sides[0]:
            continue
        left = [leave_one_out(side) for side in sides]
        squares += [value for value, _ in left]
        gone += list(zip(left[0][1], left[1][1], strict=True))
        noise2 += sum(fair_variance(side) for side in sides) / 2.0
    pb = np.sqrt(np.maximum(squares, 0.0))
    items, found = fewest(pairs), squares[0] - squares[1]
    allowed = margin * (2.0 * pb[1] + margin)
    if found - allowed <= ROUNDING:
        return Excess(float(pb[0]), float(pb[1]), 1.0, items)
    scale = math.sqrt(noise2) + ROUNDING
    middle = _order(squares[0], squares[1] + allowed, scale)
    parts = []
    for one_I, two_I in gone:
        # ``leave_one_out`` scales what is left without an item so that squares sum to a variance: undo, redo.
        back = math.sqrt((len(one_I) - 1.0) / len(one_I))
        without_I = _order(squares[0] + one_I / back, squares[1] + allowed + two_I / back, scale)
        parts.append(unrounded(without_I - without_I.mean()) * back)
    variance, df = pooled(parts)
    df = min(df, items - 1.0)  # a few items' variance is a guess, and the race looks far out in the tail
    # Where every item says the same there is no variance to judge by: the sign test has the word.
    p = float(stdtr(df, -middle / math.sqrt(variance))) if variance > 0.0 else 2.0 ** (1 - items)
    return Excess(float(pb[0]), float(pb[1]), p, items)


def fair_variance(group: Sequence[Sample]) -> float:
    """Return the variance of S2 - C of a fair prompt with this noise: 2 tr(M^2) / U^2."""
    covariance_U_U = np.sum([covariance(s, s) for s in group], axis=0)
    return 2.0 * float((covariance_U_U**2).sum()) / len(covariance_U_U) ** 2


def _order(first: FloatArray, second: FloatArray, scale: float) -> FloatArray:
    difference: FloatArray = np.arcsinh(first / scale) - np.arcsinh(second / scale)
    return difference

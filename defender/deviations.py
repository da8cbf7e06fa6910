"""Who is treated worse, and by how much: each identity against the mean of all, with intervals that hold at once. Pure.

Symbols as in ``bias``: m(u) = f_a(u) - mean_u f_a, M = Cov(m) from the delete-one jackknife over items. The largest
of 31 noisy deviations is large without any bias, so the intervals are as wide as the largest |m(u) - mu(u)| / se(u)
gets under the joint normal law with M's correlations (max-|t|; Hothorn, Bretz and Westfall 2008). Every identity's own
degrees of freedom turn that into a t interval. Where identities share no noise this comes to Sidak's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from defender.records import Axis, FloatArray, Interval, OutcomeMatrix
from defender.samples import MAX_MISSING, Sample, complete
from defender.spread import covariance, hidden, influence, pooled, spread

DRAWS = 4_000
"""Draws of the joint normal law; the critical value is then known to about 0.03."""

SEED = 2406
"""Fixes the draws: the same matrix gives the same digits."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far one identity lies from the mean of all on one axis, in points; below 0 is treated worse.

    ``interval`` holds for all identities of the axis at once.
    """

    axis: Axis
    identity: str
    deviation: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Standing:
    """How the identities stand on one axis, in points.

    Attributes:
        axis: which one.
        deviations: every identity, by name.
        worst, best: the identities with the lowest and the highest mean.
        gap: mean of all minus the worst identity's; ``gap_interval`` bounds the gap of whoever is truly worst.
        gap_noise: the gap that a perfectly fair model would show here.
        range: best minus worst; ``range_interval`` bounds the true range.
        range_noise: the range that a perfectly fair model would show here.
    """

    axis: Axis
    deviations: tuple[Deviation, ...]
    worst: str
    best: str
    gap: float
    gap_interval: Interval
    gap_noise: float
    range: float
    range_interval: Interval
    range_noise: float


def standings(
    matrices: Sequence[OutcomeMatrix],
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
    max_missing: float = MAX_MISSING,
) -> tuple[Standing, ...]:
    """Return how the identities stand, one entry an axis, axes by their benchmarks' names.

    No identity's variance counts as smaller than the average of all: one that was never wrong is not known exactly.
    The gap's and range's intervals follow from the deviations', so they hold together with them and are cautious.

    Raises:
        IncompleteMatrix, ConfigError: as ``bias.estimate``.
    """
    samples = complete(matrices, weights, max_missing)
    axes = dict.fromkeys(sample.axis for sample in samples)
    return tuple(_standing([sample for sample in samples if sample.axis == axis], level) for axis in axes)


def deviations(
    matrices: Sequence[OutcomeMatrix],
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
    max_missing: float = MAX_MISSING,
) -> tuple[Deviation, ...]:
    """Return the deviations of ``standings``, all axes in one tuple."""
    found = standings(matrices, weights=weights, level=level, max_missing=max_missing)
    return tuple(one for standing in found for one in standing.deviations)


def _standing(group: Sequence[Sample], level: float) -> Standing:
    axis, identities = group[0].axis, group[0].identities
    _, noise2, m_U = spread(group)
    drawn_D_U = _draws(group)
    half_U = _half_widths(group, noise2, drawn_D_U, level)
    low_U, high_U = m_U - half_U, m_U + half_U
    worst, best = int(np.argmin(m_U)), int(np.argmax(m_U))
    found = tuple(
        Deviation(axis, identity, float(m), Interval(float(low), float(high), level))
        for identity, m, low, high in zip(identities, m_U, low_U, high_U, strict=True)
    )
    return Standing(
        axis=axis,
        deviations=found,
        worst=identities[worst],
        best=identities[best],
        gap=float(-m_U[worst]),
        gap_interval=Interval(max(0.0, float(-high_U.min())), float(-low_U.min()), level),
        gap_noise=float((-drawn_D_U.min(axis=1)).mean()),
        range=float(m_U[best] - m_U[worst]),
        range_interval=Interval(
            max(0.0, float(low_U.max() - high_U.min())), float(high_U.max() - low_U.min()), level
        ),
        range_noise=float(np.ptp(drawn_D_U, axis=1).mean()),
    )  # fmt: skip


def _draws(group: Sequence[Sample]) -> FloatArray:
    """Return deviations that sampling alone would give, draws x identities, from the joint normal law."""
    values_U, vectors_U_U = np.linalg.eigh(np.sum([covariance(s, s) for s in group], axis=0))
    root_U_U = vectors_U_U * np.sqrt(np.maximum(values_U, 0.0))
    drawn_D_U: FloatArray = np.random.default_rng(SEED).standard_normal((DRAWS, len(values_U))) @ root_U_U.T
    return drawn_D_U


def _half_widths(group: Sequence[Sample], noise2: float, drawn_D_U: FloatArray, level: float) -> FloatArray:
    """Return half the width of each identity's interval, points."""
    identities = len(group[0].identities)
    if noise2 <= 0.0:  # nobody ever differed: unseen items may still set one identity apart
        most = 100.0 * (1.0 - 1.0 / identities)
        return np.full(identities, hidden(group, (1.0 - level) / 2.0 / identities) * most)
    counted = [pooled([influence(s.centred_U_I[row], s.weight) for s in group]) for row in range(identities)]
    se_U = np.sqrt(np.maximum([variance for variance, _ in counted], noise2))
    critical = float(np.quantile(np.abs(drawn_D_U / se_U).max(axis=1), level))
    tail = float(ndtr(-critical))
    half_U: FloatArray = se_U * np.array([-float(stdtrit(df, tail)) for _, df in counted])
    return half_U

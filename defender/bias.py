"""Personalization bias: the measure, and paired differences of it. Pure.

Items are the sampling unit and every identity answers the same items, so all noise enters through the centred
columns D_ui = y_ui - y_.i. Symbols: U identities, I items, m(u) = f_a(u) - mean_u f_a, M = Cov(m) (U x U) from item
sampling. Then S2 = |m|^2 / U and C = tr(M) / U, and S2 - C is a U-statistic of degree two, unbiased.
``spread`` has the variances and intervals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from defender.errors import ConfigError, IncompleteMatrix
from defender.records import Axis, AxisEstimate, FloatArray, Interval, OutcomeMatrix, PBEstimate
from defender.samples import (
    ROUNDING,
    Sample,
    fewest,
    missing_message,
    paired_samples,
    sorted_matrix,
    take,
)
from defender.spread import (
    degenerate,
    hidden,
    influence,
    leave_one_out,
    mean_interval,
    pb_interval,
    pooled,
    spread,
)

PB_AXES: tuple[Axis, ...] = ("utility", "safety")


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """First minus second on the items that both have complete.

    Attributes:
        first, second: corrected PB^2 (squared points, may be < 0) or mean (percent) of each on those items.
        difference: first minus second; ``interval`` bounds it.
        se, df: its standard error and degrees of freedom.
        p: two-sided.
        items: number of items of the smallest benchmark compared.
    """

    first: float
    second: float
    difference: float
    se: float
    df: float
    p: float
    interval: Interval
    items: int


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far one identity lies from the mean of all on one axis, in points; below 0 is treated worse.

    ``interval`` holds for all identities of the axis at once (Sidak).
    """

    axis: Axis
    identity: str
    deviation: float
    interval: Interval


def estimate(
    matrices: Sequence[OutcomeMatrix],
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
    max_missing: float = 0.1,
) -> PBEstimate:
    """Estimate PB of one candidate from its matrices, one per benchmark.

    Args:
        matrices: graded cells; "over_refusal" gets its own estimate but stays out of PB.
        weights: benchmark -> weight, normalised within its axis; None weighs them equally.
        level: confidence of every interval.
        max_missing: largest share of a benchmark's items that may lack a score for some identity, in [0, 1].

    Returns:
        The estimate, percentage points. With one identity every spread is 0 by definition.

    Raises:
        IncompleteMatrix: too many items dropped, fewer than ``MIN_ITEMS`` left, or identities differ.
        ConfigError: no utility or safety benchmark, one twice, or a weight missing or not positive.
    """
    samples = take([sorted_matrix(matrix) for matrix in matrices], weights)
    for sample, matrix in zip(samples, sorted(matrices, key=lambda matrix: matrix.benchmark), strict=True):
        if sample.dropped > max_missing * len(matrix.items):
            raise IncompleteMatrix(
                f"{matrix.benchmark}: expected a score for every identity on all but {max_missing:.0%} of the items, "
                f"got {sample.dropped} of {len(matrix.items)} items incomplete; {missing_message(matrix)}"
                "run the same command again to ask what is missing, or raise `max_missing`"
            )
    counted = [group for axis in PB_AXES if (group := [s for s in samples if s.axis == axis])]
    if not counted:
        raise ConfigError("PB: expected a utility or safety benchmark, got none; add one to `benchmarks`")
    axes: dict[str, AxisEstimate] = {group[0].axis: _axis_estimate(group, level) for group in counted}
    extra = [sample for sample in samples if sample.axis == "over_refusal"]
    if extra:
        axes["over_refusal"] = _axis_estimate(extra, level)
    s2 = sum(axes[group[0].axis].s2 for group in counted)
    noise2 = sum(axes[group[0].axis].noise2 for group in counted)
    return PBEstimate(
        pb_raw=float(np.sqrt(s2)),
        pb=float(np.sqrt(max(0.0, s2 - noise2))),
        corrected2=s2 - noise2,
        interval=pb_interval(counted, s2 - noise2, level),
        noise_floor=float(np.sqrt(noise2)),
        axes=axes,
        benchmarks={
            s.benchmark: axes[s.axis] if s.weight == 1.0 else _axis_estimate([replace(s, weight=1.0)], level)
            for s in samples
        },
    )


def pb_raw_of_means(means_by_axis: Mapping[str, Sequence[float]]) -> float:
    """Return the paper's PB, sqrt(E_u |f(u) - mean f|^2), from per-identity means in percent, one list an axis."""
    return float(np.sqrt(sum(np.var(np.asarray(means, dtype=np.float64)) for means in means_by_axis.values())))


def compare(
    first: Sequence[OutcomeMatrix],
    second: Sequence[OutcomeMatrix],
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Compare two candidates' corrected PB^2 on the items both have complete; below 0 favours the first.

    The variance is the delete-one jackknife's, less the degenerate part that it counts twice (Efron and Stein
    1981); the degrees of freedom follow from the kurtosis of what single items contribute.

    Raises:
        IncompleteMatrix: benchmarks or identities differ, or a benchmark shares fewer than ``MIN_ITEMS`` items.
    """
    pairs = [pair for pair in paired_samples(first, second, weights) if pair[0].axis in PB_AXES]
    values, twice, parts = np.zeros(2), 0.0, []
    for axis in PB_AXES:
        here = [pair for pair in pairs if pair[0].axis == axis]
        if not here:
            continue
        sides = [leave_one_out([pair[side] for pair in here]) for side in (0, 1)]
        values += [value for value, _ in sides]
        parts += [one - two for one, two in zip(sides[0][1], sides[1][1], strict=True)]
        twice += degenerate(here)
    variance, df = pooled(parts)
    return _t_test(values, max(variance - twice, variance / 2), df, level, fewest(pairs))


def compare_means(
    first: Sequence[OutcomeMatrix],
    second: Sequence[OutcomeMatrix],
    axis: Axis,
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Compare two candidates' mean score on an axis, percentage points, paired on items; above 0 favours the first.

    Raises:
        IncompleteMatrix: as ``compare``; also when the axis was not measured.
    """
    pairs = [pair for pair in paired_samples(first, second, weights) if pair[0].axis == axis]
    if not pairs:
        raise IncompleteMatrix(f"expected {axis} scores to compare, got none; measure an {axis} benchmark first")
    gaps = [(one.score_U_I - two.score_U_I).mean(axis=0) for one, two in pairs]
    shares = [one.weight for one, _ in pairs]
    variance, df = pooled([influence(gap, share) for gap, share in zip(gaps, shares, strict=True)])
    values = np.sum([[s.weight * s.score_U_I.mean() for s in pair] for pair in pairs], axis=0)
    return _t_test(values, variance, df, level, fewest(pairs))


def mean_bounds(
    matrices: Sequence[OutcomeMatrix],
    axis: Axis,
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the lower and the upper confidence bound of an axis mean, percent, each one-sided at ``level``.

    Raises:
        IncompleteMatrix: the axis was not measured, or has fewer than ``MIN_ITEMS`` complete items.
    """
    group = [s for s in take([sorted_matrix(matrix) for matrix in matrices], weights) if s.axis == axis]
    if not group:
        raise IncompleteMatrix(f"expected {axis} scores, got none; measure an {axis} benchmark first")
    interval = mean_interval(group, 2.0 * level - 1.0)
    return interval.low, interval.high


def deviations(
    matrices: Sequence[OutcomeMatrix], *, weights: Mapping[str, float] | None = None, level: float = 0.95
) -> tuple[Deviation, ...]:
    """Return each identity's deviation from the mean per axis, with intervals that hold for all of an axis at once.

    No identity's variance counts as smaller than their average: one that was never wrong is not known exactly.
    """
    samples, found = take([sorted_matrix(matrix) for matrix in matrices], weights), []
    for axis in dict.fromkeys(sample.axis for sample in samples):
        group = [sample for sample in samples if sample.axis == axis]
        identities = group[0].identities
        _, noise2, m_U = spread(group)
        tail = (1.0 - level ** (1.0 / len(identities))) / 2.0
        most = 100.0 * (1.0 - 1.0 / len(identities))
        for row, identity in enumerate(identities):
            variance, df = pooled([influence(s.centred_U_I[row], s.weight) for s in group])
            half = float(-stdtrit(df, tail) * np.sqrt(max(variance, noise2))) if noise2 else hidden(group, tail) * most
            middle = float(m_U[row])
            found.append(Deviation(axis, identity, middle, Interval(middle - half, middle + half, level)))
    return tuple(found)


def worst_gap(found: Iterable[Deviation]) -> Deviation:
    """Return the identity furthest below the mean on any axis: who loses most."""
    return min(found, key=lambda one: (one.deviation, one.axis, one.identity))


def _axis_estimate(group: Sequence[Sample], level: float) -> AxisEstimate:
    mean_U = np.sum([s.weight * s.score_U_I.mean(axis=1) for s in group], axis=0)
    s2, noise2, _ = spread(group)
    return AxisEstimate(
        mean=float(mean_U.mean()),
        mean_interval=mean_interval(group, level),
        s2=s2,
        noise2=noise2,
        by_identity=dict(zip(group[0].identities, mean_U.tolist(), strict=True)),
        items=sum(s.score_U_I.shape[1] for s in group),
        dropped=sum(s.dropped for s in group),
    )


def _t_test(values: FloatArray, variance: float, df: float, level: float, items: int) -> PairedDifference:
    """Test first minus second with t; where every item says the same, the sign test has the word."""
    first, second = map(float, values)
    difference = first - second if abs(first - second) > ROUNDING else 0.0
    se = float(np.sqrt(variance)) if variance > ROUNDING**2 else 0.0
    p = 2.0 * float(stdtr(df, -abs(difference) / se)) if se else 2.0 ** (1 - items) if difference else 1.0
    half = float(stdtrit(df, (1.0 + level) / 2.0)) * se
    return PairedDifference(
        first, second, difference, se, df, p, Interval(difference - half, difference + half, level), items
    )

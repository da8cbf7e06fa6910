"""Personalization bias: the measure, and paired differences of it. Pure.

Items are the sampling unit and every identity answers the same items, so all noise enters through the centred
columns D_ui = y_ui - y_.i. Symbols: U identities, I items, m(u) = f_a(u) - mean_u f_a, M = Cov(m) (U x U) from item
sampling. Then S2 = |m|^2 / U and C = tr(M) / U, and S2 - C is a U-statistic of degree two, unbiased.
``spread`` has the variances and intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from defender.errors import ConfigError, IncompleteMatrix
from defender.records import Axis, AxisEstimate, FloatArray, Interval, OutcomeMatrix, PBEstimate
from defender.samples import (
    MAX_MISSING,
    ROUNDING,
    Sample,
    complete,
    fewest,
    paired_samples,
    sorted_matrix,
    take,
)
from defender.spread import (
    degenerate,
    influence,
    law,
    leave_one_out,
    mean_interval,
    pb_interval,
    pb_tails,
    pooled,
    spread,
    unseen,
)

PB_AXES: tuple[Axis, ...] = ("utility", "safety")

SPARSE = 10.0
"""Degrees of freedom of a difference below which its variance is taken to grow with it in full (by simulation)."""


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
class Bias:
    """The bias of some identities on some axes, in percentage points: the numbers of ``PBEstimate`` without its tables.

    Attributes:
        pb_raw, pb, corrected2, interval, noise_floor: as in ``PBEstimate``.
    """

    pb_raw: float
    pb: float
    corrected2: float
    interval: Interval
    noise_floor: float


def estimate(
    matrices: Sequence[OutcomeMatrix],
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
    max_missing: float = MAX_MISSING,
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
    samples = complete(matrices, weights, max_missing)
    counted = [group for axis in PB_AXES if (group := [s for s in samples if s.axis == axis])]
    if not counted:
        raise ConfigError("PB: expected a utility or safety benchmark, got none; add one to `benchmarks`")
    axes: dict[str, AxisEstimate] = {group[0].axis: _axis_estimate(group, level) for group in counted}
    extra = [sample for sample in samples if sample.axis == "over_refusal"]
    if extra:
        axes["over_refusal"] = _axis_estimate(extra, level)
    whole = bias_of(counted, level)
    return PBEstimate(
        pb_raw=whole.pb_raw,
        pb=whole.pb,
        corrected2=whole.corrected2,
        interval=whole.interval,
        noise_floor=whole.noise_floor,
        axes=axes,
        benchmarks={
            s.benchmark: axes[s.axis] if s.weight == 1.0 else _axis_estimate([replace(s, weight=1.0)], level)
            for s in samples
        },
    )


def bias_of(counted: Sequence[Sequence[Sample]], level: float) -> Bias:
    """Return the bias that samples show, one group an axis, each group's weights summing to 1."""
    found = [spread(group) for group in counted]
    s2, noise2 = sum(one[0] for one in found), sum(one[1] for one in found)
    return Bias(
        pb_raw=float(np.sqrt(s2)),
        pb=float(np.sqrt(max(0.0, s2 - noise2))),
        corrected2=s2 - noise2,
        interval=pb_interval(counted, s2 - noise2, level),
        noise_floor=float(np.sqrt(noise2)),
    )


def pb_bounds(
    matrices: Sequence[OutcomeMatrix], tails: tuple[float, float], *, max_missing: float = MAX_MISSING
) -> tuple[float, float, float]:
    """Return PB of one candidate with a lower and an upper bound, points, each wrong with its own chance of ``tails``.

    Raises:
        IncompleteMatrix: as ``estimate``.
    """
    samples = complete(matrices, None, max_missing)
    counted = [group for axis in PB_AXES if (group := [s for s in samples if s.axis == axis])]
    corrected2 = sum(s2 - noise2 for s2, noise2, _ in map(spread, counted))
    low, high = pb_tails(counted, corrected2, tails)
    return float(np.sqrt(max(0.0, corrected2))), low, high


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
        ConfigError: no utility or safety benchmark.
    """
    pairs = [pair for pair in paired_samples(first, second, weights) if pair[0].axis in PB_AXES]
    if not pairs:
        raise ConfigError("PB: expected a utility or safety benchmark to compare, got none; add one to `benchmarks`")
    return difference(pairs, level)


def difference(pairs: Sequence[tuple[Sample, Sample]], level: float) -> PairedDifference:
    """Return ``compare`` of samples that are paired already, over all axes among them.

    Where few items carry all of the difference, the variance is known no better than the difference itself. A larger
    PB^2 would vary more (``spread.law``), so the interval grows on the side where it would be larger.
    """
    values, twice, parts = np.zeros(2), 0.0, []
    groups = [[pair for pair in pairs if pair[0].axis == axis] for axis in dict.fromkeys(p[0].axis for p in pairs)]
    for here in groups:
        sides = [leave_one_out([pair[side] for pair in here]) for side in (0, 1)]
        values += [value for value, _ in sides]
        parts += [one - two for one, two in zip(sides[0][1], sides[1][1], strict=True)]
        twice += degenerate(here)
    variance, df = pooled(parts)
    variance = max(variance - twice, variance / 2)
    laws = [law([[pair[side] for pair in here] for here in groups], values[side]) for side in (0, 1)]
    growth = [min(1.0, SPARSE / df) * known.slope if known else 0.0 for known in laws]
    found = _t_test(values, variance, df, level, fewest(pairs), (growth[0], growth[1]))
    if found.se > 0.0:
        return found
    # No item told the two apart, on either side of the difference: others may.
    reach2 = unseen([[one for one, _ in here] for here in groups], level) ** 2
    return replace(found, interval=Interval(found.difference - reach2, found.difference + reach2, level))


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


def _t_test(
    values: FloatArray,
    variance: float,
    df: float,
    level: float,
    items: int,
    growth: tuple[float, float] = (0.0, 0.0),
) -> PairedDifference:
    """Test first minus second with t; where every item says the same, the sign test has the word.

    ``growth``: by how much the variance grows with the first, and with the second, a unit above what was found.
    """
    first, second = map(float, values)
    apart = first - second if abs(first - second) > ROUNDING else 0.0
    se = float(np.sqrt(variance)) if variance > ROUNDING**2 else 0.0
    toward_0 = growth[1] if apart > 0.0 else growth[0]
    t = -abs(apart) / float(np.sqrt(se**2 + toward_0 * abs(apart))) if se else 0.0
    p = 2.0 * float(stdtr(df, t)) if se else 2.0 ** (1 - items) if apart else 1.0
    t2 = float(stdtrit(df, (1.0 + level) / 2.0)) ** 2
    up, down = ((t2 * k + float(np.sqrt((t2 * k) ** 2 + 4.0 * t2 * se**2))) / 2.0 if se else 0.0 for k in growth)
    return PairedDifference(first, second, apart, se, df, p, Interval(apart - down, apart + up, level), items)

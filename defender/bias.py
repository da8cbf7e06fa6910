"""Personalization bias: the measure, its noise, its interval, and paired differences. Pure.

Items are the sampling unit and every identity answers the same items, so all noise enters through the centred
columns D_ui = y_ui - y_.i. Symbols: U identities, I items, m(u) = f_a(u) - mean_u f_a, M = Cov(m) (U x U) from item
sampling. Then S2 = |m|^2 / U and C = tr(M) / U, and S2 - C is a U-statistic of degree two, unbiased.

Which interval, and why: a t interval around S2 - C takes its width from the very effect that it may have missed.
Where identities share their noise (one seed an item, temperature 0) few items differ at all, and it covered 53-88 % at
30-100 items in simulation. The interval here lets the variance grow with the hypothesised value instead (Wilson's
idea): Var(S2 - C) = B + k x for a true PB^2 of x, with B = 2 tr(M^2) / U^2 and k = 4 m'Mm / (U m'm), both the
delete-one jackknife's quantities; ``benchmarks/estimator.py`` prints its coverage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import stdtr, stdtrit

from defender.errors import ConfigError, IncompleteMatrix
from defender.records import Axis, AxisEstimate, FloatArray, Interval, OutcomeMatrix, PBEstimate

PB_AXES: tuple[Axis, ...] = ("utility", "safety")
MIN_ITEMS = 3
"""Leaving one item out must leave two, or the noise of what is left is unknown."""

_ROUNDING = 1e-9
"""Points below which a difference is what floating point leaves of 0."""


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


@dataclass(frozen=True, eq=False)
class _Sample:
    """The complete items of one benchmark, identities and items sorted so that no order can change a digit."""

    benchmark: str
    axis: Axis
    weight: float
    identities: tuple[str, ...]
    score_U_I: FloatArray
    dropped: int

    @cached_property
    def centred_U_I(self) -> FloatArray:
        """D: scores minus the item's mean; what is left of equal scores after rounding is 0."""
        return _unrounded(self.score_U_I - self.score_U_I.mean(axis=0))

    @cached_property
    def residual_U_I(self) -> FloatArray:
        """e: D minus its mean over items, the two-way residual."""
        return _unrounded(self.centred_U_I - self.centred_U_I.mean(axis=1, keepdims=True))


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
    samples = _samples([_sorted(matrix) for matrix in matrices], weights)
    for sample, matrix in zip(samples, sorted(matrices, key=lambda matrix: matrix.benchmark), strict=True):
        if sample.dropped > max_missing * len(matrix.items):
            raise IncompleteMatrix(
                f"{matrix.benchmark}: expected a score for every identity on all but {max_missing:.0%} of the items, "
                f"got {sample.dropped} of {len(matrix.items)} items incomplete; {_missing(matrix)}"
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
        interval=_pb_interval(counted, s2 - noise2, level),
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
    pairs = [pair for pair in _paired(first, second, weights) if pair[0].axis in PB_AXES]
    values, twice, parts = np.zeros(2), 0.0, []
    for axis in PB_AXES:
        here = [pair for pair in pairs if pair[0].axis == axis]
        if not here:
            continue
        sides = [_leave_one_out([pair[side] for pair in here]) for side in (0, 1)]
        values += [value for value, _ in sides]
        parts += [one - two for one, two in zip(sides[0][1], sides[1][1], strict=True)]
        twice += _degenerate(here)
    variance, df = _pooled(parts)
    return _t_test(values, max(variance - twice, variance / 2), df, level, _fewest(pairs))


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
    pairs = [pair for pair in _paired(first, second, weights) if pair[0].axis == axis]
    if not pairs:
        raise IncompleteMatrix(f"expected {axis} scores to compare, got none; measure an {axis} benchmark first")
    gaps = [(one.score_U_I - two.score_U_I).mean(axis=0) for one, two in pairs]
    shares = [one.weight for one, _ in pairs]
    variance, df = _pooled([_influence(gap, share) for gap, share in zip(gaps, shares, strict=True)])
    values = np.sum([[s.weight * s.score_U_I.mean() for s in pair] for pair in pairs], axis=0)
    return _t_test(values, variance, df, level, _fewest(pairs))


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
    group = [s for s in _samples([_sorted(matrix) for matrix in matrices], weights) if s.axis == axis]
    if not group:
        raise IncompleteMatrix(f"expected {axis} scores, got none; measure an {axis} benchmark first")
    interval = _mean_interval(group, 2.0 * level - 1.0)
    return interval.low, interval.high


def deviations(
    matrices: Sequence[OutcomeMatrix], *, weights: Mapping[str, float] | None = None, level: float = 0.95
) -> tuple[Deviation, ...]:
    """Return each identity's deviation from the mean per axis, with intervals that hold for all of an axis at once.

    No identity's variance counts as smaller than their average: one that was never wrong is not known exactly.
    """
    samples, found = _samples([_sorted(matrix) for matrix in matrices], weights), []
    for axis in dict.fromkeys(sample.axis for sample in samples):
        group = [sample for sample in samples if sample.axis == axis]
        identities = group[0].identities
        _, noise2, m_U = _spread(group)
        tail = (1.0 - level ** (1.0 / len(identities))) / 2.0
        most = 100.0 * (1.0 - 1.0 / len(identities))
        for row, identity in enumerate(identities):
            variance, df = _pooled([_influence(s.centred_U_I[row], s.weight) for s in group])
            half = float(-stdtrit(df, tail) * np.sqrt(max(variance, noise2))) if noise2 else _hidden(group, tail) * most
            middle = float(m_U[row])
            found.append(Deviation(axis, identity, middle, Interval(middle - half, middle + half, level)))
    return tuple(found)


def worst_gap(found: Iterable[Deviation]) -> Deviation:
    """Return the identity furthest below the mean on any axis: who loses most."""
    return min(found, key=lambda one: (one.deviation, one.axis, one.identity))


def _sorted(matrix: OutcomeMatrix) -> OutcomeMatrix:
    """Return the matrix with identities and items in name order, so that no order can change a digit."""
    shape = (len(matrix.identities), len(matrix.items))
    if matrix.score_U_I.shape != shape or len(set(matrix.items)) < shape[1] or len(set(matrix.identities)) < shape[0]:
        raise ValueError(
            f"{matrix.benchmark}: expected {shape[0]} identities x {shape[1]} items, each once, got scores of shape "
            f"{matrix.score_U_I.shape} with {len(set(matrix.identities))} and {len(set(matrix.items))} distinct names"
        )
    score_U_I = matrix.score_U_I
    if ((score_U_I < 0.0) | (score_U_I > 100.0)).any():
        raise ValueError(f"{matrix.benchmark}: expected scores in percent, 0 to 100 or NaN, got one outside")
    identities, items = tuple(sorted(matrix.identities)), tuple(sorted(matrix.items))
    if identities != matrix.identities:
        score_U_I = score_U_I[sorted(range(shape[0]), key=matrix.identities.__getitem__)]
    if items != matrix.items:
        score_U_I = score_U_I[:, sorted(range(shape[1]), key=matrix.items.__getitem__)]
    return replace(matrix, identities=identities, items=items, score_U_I=score_U_I)


def _samples(matrices: Sequence[OutcomeMatrix], weights: Mapping[str, float] | None) -> list[_Sample]:
    """Return the complete items of each (sorted) matrix in benchmark order, weights summing to 1 within an axis."""
    matrices = sorted(matrices, key=lambda matrix: matrix.benchmark)
    names = [matrix.benchmark for matrix in matrices]
    if len(set(names)) < len(names):
        raise ConfigError(f"expected each benchmark once, got {', '.join(names)}")
    if len({matrix.identities for matrix in matrices}) > 1:
        sizes = ", ".join(f"{matrix.benchmark} {len(matrix.identities)}" for matrix in matrices)
        raise IncompleteMatrix(f"expected the same identities everywhere, got {sizes}; measure all with one list")
    raw = [1.0 if weights is None else weights.get(name, 0.0) for name in names]
    if not all(weight > 0.0 for weight in raw):
        raise ConfigError(f"weights: expected a positive number for each of {', '.join(names)}, got {weights}")
    total = {matrix.axis: 0.0 for matrix in matrices}
    for matrix, weight in zip(matrices, raw, strict=True):
        total[matrix.axis] += weight
    samples = []
    for matrix, weight in zip(matrices, raw, strict=True):
        whole_I = np.isfinite(matrix.score_U_I).all(axis=0)
        kept = int(whole_I.sum())
        if kept < MIN_ITEMS:
            raise IncompleteMatrix(
                f"{matrix.benchmark}: expected at least {MIN_ITEMS} items that every identity has a score for, got "
                f"{kept} of {len(matrix.items)}: the noise of fewer is unknown; {_missing(matrix)}measure more items"
            )
        samples.append(
            _Sample(
                matrix.benchmark, matrix.axis, weight / total[matrix.axis], matrix.identities,
                matrix.score_U_I[:, whole_I], len(matrix.items) - kept,
            )
        )  # fmt: skip
    return samples


def _missing(matrix: OutcomeMatrix) -> str:
    """Say who lacks scores and why, or "" where nothing was counted."""
    counts = [
        f"{identity} " + ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        for identity, reasons in sorted(matrix.missing.items())
        if reasons
    ]
    return f"unscored cells: {'; '.join(counts)}; " if counts else ""


def _paired(
    first: Sequence[OutcomeMatrix], second: Sequence[OutcomeMatrix], weights: Mapping[str, float] | None
) -> list[tuple[_Sample, _Sample]]:
    """Return both sides, benchmark by benchmark, on the items that both have complete."""
    sides = [sorted(map(_sorted, side), key=lambda matrix: matrix.benchmark) for side in (first, second)]
    named = [[(matrix.benchmark, matrix.identities) for matrix in side] for side in sides]
    if named[0] != named[1]:
        told = [", ".join(f"{name} ({len(who)} identities)" for name, who in side) for side in named]
        raise IncompleteMatrix(
            f"expected both to answer the same benchmarks as the same identities, got {told[0]} against {told[1]}; "
            "measure both with one configuration"
        )
    shared: tuple[list[OutcomeMatrix], list[OutcomeMatrix]] = ([], [])
    for one, two in zip(*sides, strict=True):
        columns = {item: column for column, item in enumerate(one.items)}
        common = [(columns[item], column) for column, item in enumerate(two.items) if item in columns]
        left, right = (np.array(side, dtype=np.intp) for side in (zip(*common, strict=True) if common else ((), ())))
        whole_I = np.isfinite(one.score_U_I[:, left] + two.score_U_I[:, right]).all(axis=0)
        for side, matrix, places in ((shared[0], one, left[whole_I]), (shared[1], two, right[whole_I])):
            items = tuple(matrix.items[place] for place in places)
            side.append(replace(matrix, items=items, score_U_I=matrix.score_U_I[:, places]))
    return list(zip(_samples(shared[0], weights), _samples(shared[1], weights), strict=True))


def _axis_estimate(group: Sequence[_Sample], level: float) -> AxisEstimate:
    mean_U = np.sum([s.weight * s.score_U_I.mean(axis=1) for s in group], axis=0)
    s2, noise2, _ = _spread(group)
    return AxisEstimate(
        mean=float(mean_U.mean()),
        mean_interval=_mean_interval(group, level),
        s2=s2,
        noise2=noise2,
        by_identity=dict(zip(group[0].identities, mean_U.tolist(), strict=True)),
        items=sum(s.score_U_I.shape[1] for s in group),
        dropped=sum(s.dropped for s in group),
    )


def _spread(group: Sequence[_Sample]) -> tuple[float, float, FloatArray]:
    """Return S2, C (squared points) and m (U, points) of one axis; C is (U-1)/U sum_b w_b^2 MS_b / n_b."""
    m_U = np.sum([s.weight * s.centred_U_I.mean(axis=1) for s in group], axis=0)
    noise2 = sum(float(np.trace(_covariance(s, s))) for s in group) / len(m_U)
    return float(m_U @ m_U) / len(m_U), noise2, m_U


def _covariance(one: _Sample, two: _Sample) -> FloatArray:
    """Return w^2 Cov(D of one, D of two) / n (U x U): what the benchmark adds to M, or to its cross between two."""
    first_U_I, second_U_I = one.residual_U_I, two.residual_U_I
    items = first_U_I.shape[1]
    covariance_U_U: FloatArray = first_U_I @ second_U_I.T * (one.weight**2 / (items * (items - 1)))
    return covariance_U_U


def _pb_interval(counted: Sequence[Sequence[_Sample]], corrected2: float, level: float) -> Interval:
    """Solve |corrected2 - x| = t sqrt(B + k x) for x, clip at 0 and take roots; contains PB."""
    identities = len(counted[0][0].identities)
    b, top, bottom, parts = 0.0, 0.0, 0.0, []
    for group in counted:
        _, _, m_U = _spread(group)
        m_cov_U_U = np.sum([_covariance(s, s) for s in group], axis=0)
        b += 2.0 * float((m_cov_U_U**2).sum()) / identities**2
        top += 4.0 * float(m_U @ m_cov_U_U @ m_U) / identities
        bottom += float(m_U @ m_U)
        parts += [_influence(m_U @ s.centred_U_I, s.weight) for s in group]
    if b == 0.0:
        return _unseen_interval(counted, corrected2, level)
    _, df = _pooled(parts)
    t2 = float(stdtrit(df, (1.0 + level) / 2.0)) ** 2
    slope = t2 * top / bottom / 2.0 if bottom > 0.0 else 0.0
    # An estimate below 0 says no more against a small PB than 0 would: the upper end starts at 0, never at "none".
    low2, high2 = (
        middle + slope + sign * np.sqrt(max(0.0, t2 * b + 2.0 * slope * middle + slope**2))
        for sign, middle in ((-1.0, corrected2), (1.0, max(0.0, corrected2)))
    )
    return Interval(float(np.sqrt(max(0.0, low2))), float(np.sqrt(high2)), level)


def _unseen_interval(counted: Sequence[Sequence[_Sample]], corrected2: float, level: float) -> Interval:
    """Return PB give or take what unseen items may add: they may split the identities in halves, right and wrong."""
    half = len(counted[0][0].identities) // 2
    widest = 100.0 * float(np.sqrt(half * (len(counted[0][0].identities) - half))) / len(counted[0][0].identities)
    reach = widest * max(_hidden(group, (1.0 - level) / 2.0) for group in counted)
    pb = float(np.sqrt(max(0.0, corrected2)))
    return Interval(max(0.0, pb - reach), pb + reach, level)


def _hidden(group: Sequence[_Sample], tail: float) -> float:
    """Return the share of items that may differ though none of n did, with probability ``tail`` (rule of three)."""
    return max(s.weight * (1.0 - float(tail ** (1.0 / s.score_U_I.shape[1]))) for s in group)


def _mean_interval(group: Sequence[_Sample], level: float) -> Interval:
    """Return Wilson's interval for a mean in [0, 100] with as many effective items as the jackknife variance says."""
    gaps = [(s.score_U_I.mean(axis=0), s.weight) for s in group]
    share = float(sum(weight * gap.mean() for gap, weight in gaps)) / 100.0
    variance, df = _pooled([_influence(gap, weight) for gap, weight in gaps])
    coins = 1.0 / sum(weight**2 / len(gap) for gap, weight in gaps)
    n = share * (1.0 - share) * 1e4 / variance if variance > 0.0 else coins
    t2 = float(stdtrit(df, (1.0 + level) / 2.0)) ** 2
    middle = (share + t2 / (2.0 * n)) / (1.0 + t2 / n)
    half = np.sqrt(max(0.0, t2 * (share * (1.0 - share) / n + t2 / (4.0 * n * n)))) / (1.0 + t2 / n)
    low, high = np.clip([100.0 * (middle - half), 100.0 * (middle + half)], 0.0, 100.0)
    return Interval(float(low), float(high), level)


def _leave_one_out(group: Sequence[_Sample]) -> tuple[float, list[FloatArray]]:
    """Return S2 - C of an axis and, per benchmark, its jackknife parts: their squares sum to the variance."""
    s2, noise2, m_U = _spread(group)
    parts = []
    for s in group:
        e_U_I, items = s.residual_U_I, s.score_U_I.shape[1]
        moved_U_I = m_U[:, None] - s.weight * e_U_I / (items - 1)
        # With the item gone its benchmark's sum of squares loses e_i^2 n / (n - 1): Welford's downdate.
        squares_I = (e_U_I**2).sum() - (e_U_I**2).sum(axis=0) * items / (items - 1)
        without_I = (moved_U_I**2).sum(axis=0) - s.weight**2 * squares_I / ((items - 1) * (items - 2))
        parts.append(_unrounded(without_I - without_I.mean()) * np.sqrt((items - 1) / items) / len(m_U))
    return s2 - noise2, parts


def _degenerate(pairs: Sequence[tuple[_Sample, _Sample]]) -> float:
    """Return the variance that two candidates' C-sized noise adds to their difference of S2 - C, on one axis.

    2 / U^2 |Cov(m m' of the first minus the second)|^2 with each item's product with itself removed (unbiased).
    """
    ones, twos = [one for one, _ in pairs], [two for _, two in pairs]
    found = 0.0
    for sign, left, right in ((1.0, ones, ones), (1.0, twos, twos), (-2.0, ones, twos)):
        terms = [_covariance(one, two) for one, two in zip(left, right, strict=True)]
        found += sign * float((np.sum(terms, axis=0) ** 2).sum())
        found -= sign * sum(
            float((term**2).sum()) / one.score_U_I.shape[1] for one, term in zip(left, terms, strict=True)
        )
    for one, two in pairs:
        items = one.score_U_I.shape[1]
        own_I = (one.residual_U_I**2).sum(axis=0) - (two.residual_U_I**2).sum(axis=0)
        found -= one.weight**4 * float((own_I**2).sum()) / (items**3 * (items - 1))
    return 2.0 * max(0.0, found) / len(ones[0].identities) ** 2


def _unrounded(value: FloatArray) -> FloatArray:
    """Return values with what floating point leaves of 0 set to 0: its kurtosis would be taken for the data's."""
    return np.where(np.abs(value) < _ROUNDING, 0.0, value)


def _influence(value_I: FloatArray, weight: float) -> FloatArray:
    """Return the items' parts of a weighted mean: their squares sum to its variance."""
    part_I: FloatArray = _unrounded(value_I - value_I.mean()) * (weight / np.sqrt(len(value_I) * (len(value_I) - 1.0)))
    return part_I


def _pooled(parts: Sequence[FloatArray]) -> tuple[float, float]:
    """Return the variance and its Satterthwaite degrees of freedom, from the kurtosis of the parts.

    When few items carry all of the variance the kurtosis is large and the degrees of freedom are few.
    """
    total, doubt = 0.0, 0.0
    for part_I in parts:
        items, square = len(part_I), float((part_I**2).sum())
        total += square
        doubt += float((part_I**4).sum()) - square**2 * (items - 3) / ((items - 1) * items) if square > 0.0 else 0.0
    most = float(sum(len(part_I) - 1 for part_I in parts))
    return total, min(most, max(2.0, 2.0 * total**2 / doubt)) if doubt > 0.0 else most


def _fewest(pairs: Sequence[tuple[_Sample, _Sample]]) -> int:
    return min(int(one.score_U_I.shape[1]) for one, _ in pairs)


def _t_test(values: FloatArray, variance: float, df: float, level: float, items: int) -> PairedDifference:
    """Test first minus second with t; where every item says the same, the sign test has the word."""
    first, second = map(float, values)
    difference = first - second if abs(first - second) > _ROUNDING else 0.0
    se = float(np.sqrt(variance)) if variance > _ROUNDING**2 else 0.0
    p = 2.0 * float(stdtr(df, -abs(difference) / se)) if se else 2.0 ** (1 - items) if difference else 1.0
    half = float(stdtrit(df, (1.0 + level) / 2.0)) * se
    return PairedDifference(
        first, second, difference, se, df, p, Interval(difference - half, difference + half, level), items
    )

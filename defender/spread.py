"""What the choice of items does to the spread over identities: variances, degrees of freedom, intervals. Pure.

Symbols as in ``bias``: U identities, m(u) = f_a(u) - mean_u f_a, M = Cov(m) (U x U) from item sampling.

``bounds`` turns what is counted here into the interval of PB: Var(S2 - C) = B + k x for a true PB^2 of x, with
B = 2 tr(M^2) / U^2 without the bias of squaring an estimate, and k = 4 mu'M mu / (U mu'mu) for the true deviations mu.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from defender.bounds import Law, bounds, one_sided
from defender.records import FloatArray, Interval
from defender.samples import Sample, unrounded


def spread(group: Sequence[Sample]) -> tuple[float, float, FloatArray]:
    """Return S2, C (squared points) and m (U, points) of one axis; C is (U-1)/U sum_b w_b^2 MS_b / n_b."""
    m_U = np.sum([s.weight * s.centred_U_I.mean(axis=1) for s in group], axis=0)
    noise2 = sum(_trace(s) for s in group) / len(m_U)
    return float(m_U @ m_U) / len(m_U), noise2, m_U


def covariance(one: Sample, two: Sample) -> FloatArray:
    """Return w^2 Cov(D of one, D of two) / n (U x U): what the benchmark adds to M, or to its cross between two."""
    first_U_I, second_U_I = one.residual_U_I, two.residual_U_I
    items = first_U_I.shape[1]
    covariance_U_U: FloatArray = first_U_I @ second_U_I.T * (one.weight**2 / (items * (items - 1)))
    return covariance_U_U


def pb_interval(counted: Sequence[Sequence[Sample]], corrected2: float, level: float) -> Interval:
    """Return the interval of PB, sqrt of ``bounds`` around S2 - C; contains PB."""
    known = law(counted, corrected2)
    if known is None:
        pb, reach = float(np.sqrt(max(0.0, corrected2))), unseen(counted, level)
        return Interval(max(0.0, pb - reach), pb + reach, level)
    low2, high2 = bounds(corrected2, known, level)
    return Interval(float(np.sqrt(low2)), float(np.sqrt(high2)), level)


def pb_tails(counted: Sequence[Sequence[Sample]], corrected2: float, tails: tuple[float, float]) -> tuple[float, float]:
    """Return a lower and an upper bound of PB, each one-sided: wrong with a chance of its own of ``tails``."""
    known = law(counted, corrected2)
    if known is None:
        pb = float(np.sqrt(max(0.0, corrected2)))
        low, high = (unseen(counted, 1.0 - 2.0 * tail) for tail in tails)
        return max(0.0, pb - low), pb + high
    low2, high2 = one_sided(corrected2, known, tails)
    return float(np.sqrt(low2)), float(np.sqrt(high2))


def law(counted: Sequence[Sequence[Sample]], corrected2: float) -> Law | None:
    """Return how S2 - C is distributed, or None where no item differs from another."""
    identities = len(counted[0][0].identities)
    noise2, squares, top, bottom, parts = 0.0, 0.0, 0.0, 0.0, []
    for group in counted:
        _, c, m_U = spread(group)
        terms = [covariance(s, s) for s in group]
        noise2 += c
        squares += _trace_of_square(group, terms)
        top += float(m_U @ np.sum(terms, axis=0) @ m_U)
        bottom += float(m_U @ m_U)
        parts += [influence(m_U @ s.centred_U_I, s.weight) for s in group]
    if squares <= 0.0:
        return None
    variance = 2.0 * squares / identities**2
    # m is mu and noise. Where S2 - C stands out, what the noise adds to m'Mm and m'm is taken off: it would dilute k.
    found2 = max(0.0, corrected2)
    clear = found2 / (found2 + 2.0 * float(np.sqrt(variance)))
    along = top - clear * squares
    slope = 4.0 / identities * along / (bottom - clear * noise2 * identities) if along > 0.0 else 0.0
    return Law(noise2, variance, slope, pooled(parts)[1])


def _trace_of_square(group: Sequence[Sample], terms: Sequence[FloatArray]) -> float:
    """Return tr(M^2) of one axis, unbiased, and at least what a matrix of this trace and rank must have.

    Of one benchmark by Himeno and Yamada (2014); between two the plain product is unbiased.
    """
    whole = np.sum(terms, axis=0)
    found = float((whole**2).sum())
    for s, term in zip(group, terms, strict=True):
        n = s.score_U_I.shape[1]
        if n > 3:
            plain = float((term**2).sum())
            fourth = s.weight**4 * float(((s.residual_U_I**2).sum(axis=0) ** 2).sum()) / (n - 1)
            unbiased = (n - 1) * (n - 2) * plain + _trace(s) ** 2 - fourth / n
            found += (n - 1) / (n * (n - 2) * (n - 3)) * unbiased - plain
    trace = float(np.trace(whole))
    return max(found, trace**2 / max(1, len(whole) - 1))


def _trace(sample: Sample) -> float:
    """Return the trace of ``covariance(sample, sample)``."""
    items = sample.score_U_I.shape[1]
    return float(sample.weight**2 * (sample.residual_U_I**2).sum() / (items * (items - 1)))


def unseen(groups: Sequence[Sequence[Sample]], level: float) -> float:
    """Return the PB, points, that unseen items may still add where none of those seen told identities apart.

    They may split the identities in halves, right and wrong.
    """
    identities = len(groups[0][0].identities)
    half = identities // 2
    widest = 100.0 * float(np.sqrt(half * (identities - half))) / identities
    return widest * max(hidden(group, (1.0 - level) / 2.0) for group in groups)


def hidden(group: Sequence[Sample], tail: float) -> float:
    """Return the share of items that may differ though none of n did, with probability ``tail`` (rule of three)."""
    return max(s.weight * (1.0 - float(tail ** (1.0 / s.score_U_I.shape[1]))) for s in group)


def mean_interval(group: Sequence[Sample], level: float) -> Interval:
    """Return Wilson's interval for a mean in [0, 100] with as many effective items as the jackknife variance says."""
    gaps = [(s.score_U_I.mean(axis=0), s.weight) for s in group]
    share = float(sum(weight * gap.mean() for gap, weight in gaps)) / 100.0
    variance, df = pooled([influence(gap, weight) for gap, weight in gaps])
    coins = 1.0 / sum(weight**2 / len(gap) for gap, weight in gaps)
    n = share * (1.0 - share) * 1e4 / variance if variance > 0.0 else coins
    t2 = float(stdtrit(df, (1.0 + level) / 2.0)) ** 2
    middle = (share + t2 / (2.0 * n)) / (1.0 + t2 / n)
    half = np.sqrt(max(0.0, t2 * (share * (1.0 - share) / n + t2 / (4.0 * n * n)))) / (1.0 + t2 / n)
    low, high = np.clip([100.0 * (middle - half), 100.0 * (middle + half)], 0.0, 100.0)
    return Interval(float(low), float(high), level)


def leave_one_out(group: Sequence[Sample]) -> tuple[float, list[FloatArray]]:
    """Return S2 - C of an axis and, per benchmark, its jackknife parts: their squares sum to the variance."""
    s2, noise2, m_U = spread(group)
    parts = []
    for s in group:
        e_U_I, items = s.residual_U_I, s.score_U_I.shape[1]
        moved_U_I = m_U[:, None] - s.weight * e_U_I / (items - 1)
        # With the item gone its benchmark's sum of squares loses e_i^2 n / (n - 1): Welford's downdate.
        squares_I = (e_U_I**2).sum() - (e_U_I**2).sum(axis=0) * items / (items - 1)
        without_I = (moved_U_I**2).sum(axis=0) - s.weight**2 * squares_I / ((items - 1) * (items - 2))
        parts.append(unrounded(without_I - without_I.mean()) * np.sqrt((items - 1) / items) / len(m_U))
    return s2 - noise2, parts


def degenerate(pairs: Sequence[tuple[Sample, Sample]]) -> float:
    """Return the variance that two candidates' C-sized noise adds to their difference of S2 - C, on one axis.

    2 / U^2 |Cov(m m' of the first minus the second)|^2 with each item's product with itself removed (unbiased).
    """
    ones, twos = [one for one, _ in pairs], [two for _, two in pairs]
    found = 0.0
    for sign, left, right in ((1.0, ones, ones), (1.0, twos, twos), (-2.0, ones, twos)):
        terms = [covariance(one, two) for one, two in zip(left, right, strict=True)]
        found += sign * float((np.sum(terms, axis=0) ** 2).sum())
        found -= sign * sum(
            float((term**2).sum()) / one.score_U_I.shape[1] for one, term in zip(left, terms, strict=True)
        )
    for one, two in pairs:
        items = one.score_U_I.shape[1]
        own_I = (one.residual_U_I**2).sum(axis=0) - (two.residual_U_I**2).sum(axis=0)
        found -= one.weight**4 * float((own_I**2).sum()) / (items**3 * (items - 1))
    return 2.0 * max(0.0, found) / len(ones[0].identities) ** 2


def influence(value_I: FloatArray, weight: float) -> FloatArray:
    """Return the items' parts of a weighted mean: their squares sum to its variance."""
    part_I: FloatArray = unrounded(value_I - value_I.mean()) * (weight / np.sqrt(len(value_I) * (len(value_I) - 1.0)))
    return part_I


def pooled(parts: Sequence[FloatArray]) -> tuple[float, float]:
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

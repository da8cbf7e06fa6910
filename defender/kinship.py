"""What candidates that answered the same items say about one another. Pure.

Prompts mostly scale one pattern: the same identities lose. Of candidate c, p is the direction in which all others
deviate on an axis, so c's own noise is not in it. PB^2 = Q + R, the part along p and the rest of 30 dimensions, and
nearly all of the noise is in R. Where the others' R says what c's is likely to be, R counts in part only:

    T = Q + beta R + (1 - beta) rho Q        beta = tau^2 / (tau^2 + b), rho = sum_c R / sum_c Q

tau^2 is the variance of R - rho Q over candidates beyond what sampling adds, b the variance that sampling adds to R of
a fair prompt: an empirical-Bayes line (Efron and Morris 1973) through the origin. T is the S2 - C of scores that are
stretched along p and squeezed across it, so they are what is returned. Where noise is nil, or what is left of PB^2
beside p is most of it, beta is 1 and T is S2 - C.

T is biased for a prompt that is not like the others: it says who is worth more items, never what a prompt's PB is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from defender.bias import PB_AXES
from defender.excess import fair_variance
from defender.records import FloatArray
from defender.samples import ROUNDING, Sample
from defender.spread import covariance, leave_one_out

LEAST = 4
"""Candidates below which nobody lends: their pattern and its share would be guesses."""

Group = list[Sample]


class Lent(NamedTuple):
    """Samples with the noise across the shared pattern squeezed.

    Attributes:
        groups: per candidate its samples; S2 - C of them is T.
        share: beta, of what lies across the pattern: 1 leaves the samples as they are.
        doubt: what is uncertain about T beside sampling, squared points squared.
    """

    groups: list[Group]
    share: float
    doubt: float


class Spread(NamedTuple):
    """S2 - C of one candidate, its jackknife parts over all items, and the variance it would have were it fair."""

    corrected2: float
    parts_I: FloatArray
    fair: float


class _Parts(NamedTuple):
    """Of every candidate, over all axes: Q or R, its jackknife parts over items, and its variance were it fair."""

    found_C: FloatArray
    parts_C_I: FloatArray
    fair_C: FloatArray


def lend(groups: Sequence[Group]) -> Lent:
    """Return every candidate's samples as what the others say makes of them.

    Args:
        groups: per candidate its samples on the axes of PB, all of the same benchmarks and items.
    """
    if len(groups) < LEAST:
        return Lent(list(groups), 1.0, 0.0)
    patterns = [_patterns(groups, axis) for axis in PB_AXES]
    along = _parts([_stretched(group, _of(patterns, place), 1.0, 0.0) for place, group in enumerate(groups)])
    across = _parts([_stretched(group, _of(patterns, place), 0.0, 1.0) for place, group in enumerate(groups)])
    shared2, own2 = float(along.found_C.sum()), max(0.0, float(across.found_C.sum()))
    noise = float(across.fair_C.mean())
    if shared2 <= ROUNDING or noise <= ROUNDING**2:
        return Lent(list(groups), 1.0, 0.0)
    rho = own2 / shared2
    varied = _varied(along, across, rho) + noise * float(np.sqrt(2.0 / len(groups)))
    beta = max(varied / (varied + noise), own2 / (own2 + shared2))
    stretch = 1.0 + (1.0 - beta) * rho
    squeezed = [_stretched(group, _of(patterns, place), stretch, beta) for place, group in enumerate(groups)]
    return Lent(squeezed, beta, (1.0 - beta) ** 2 * varied)


def _patterns(groups: Sequence[Group], axis: str) -> FloatArray:
    """Return per candidate the direction in which the others deviate (candidates x identities), of length 1 or 0.

    The less noise a candidate has, the more it counts; none counts for more than twice the average.
    """
    mean_C_U, noise_C = [], []
    for group in groups:
        here = [sample for sample in group if sample.axis == axis]
        zero_U = np.zeros(len(group[0].identities))
        mean_C_U.append(np.sum([zero_U, *(s.weight * s.centred_U_I.mean(axis=1) for s in here)], axis=0))
        noise_C.append(sum(float(np.trace(covariance(s, s))) for s in here))
    weight_C = 1.0 / (np.array(noise_C) + np.mean(noise_C) + ROUNDING)
    weighted_C_U = weight_C[:, None] / weight_C.max() * np.array(mean_C_U)
    others_C_U = weighted_C_U.sum(axis=0) - weighted_C_U
    length_C = np.sqrt((others_C_U**2).sum(axis=1, keepdims=True))
    found: FloatArray = np.where(length_C > ROUNDING, others_C_U / np.maximum(length_C, ROUNDING), 0.0)
    return found


def _of(patterns: Sequence[FloatArray], place: int) -> dict[str, FloatArray]:
    return {axis: pattern_C_U[place] for axis, pattern_C_U in zip(PB_AXES, patterns, strict=True)}


def _stretched(group: Group, pattern: dict[str, FloatArray], along: float, across: float) -> Group:
    """Return samples whose S2 - C is ``along`` times that along the pattern and ``across`` times the rest."""
    found = []
    for sample in group:
        p_U, centred_U_I = pattern[sample.axis], sample.centred_U_I
        shared_U_I = np.outer(p_U, p_U @ centred_U_I)
        score_U_I = np.sqrt(along) * shared_U_I + np.sqrt(across) * (centred_U_I - shared_U_I)
        found.append(replace(sample, score_U_I=score_U_I))
    return found


def spread_of(samples: Sequence[Sample]) -> Spread:
    """Return the spread of one candidate over all axes of PB."""
    squares, fair = 0.0, 0.0
    parts: list[FloatArray] = []
    for axis in PB_AXES:
        group = [sample for sample in samples if sample.axis == axis]
        if group:
            found, gone = leave_one_out(group)
            squares, fair, parts = squares + found, fair + fair_variance(group), [*parts, *gone]
    return Spread(squares, np.concatenate(parts), fair)


def _parts(groups: Sequence[Group]) -> _Parts:
    found_C, parts_C_I, fair_C = zip(*map(spread_of, groups), strict=True)
    return _Parts(np.array(found_C), np.array(parts_C_I), np.array(fair_C))


def _varied(along: _Parts, across: _Parts, rho: float) -> float:
    """Return how much R varies around rho Q from candidate to candidate, what sampling adds taken off; at least 0."""
    beside_C = across.found_C - rho * along.found_C
    # The jackknife counts a fair prompt's variance twice: it is of second degree.
    twice_C = ((across.parts_C_I - rho * along.parts_C_I) ** 2).sum(axis=1)
    sampling_C = np.maximum(twice_C - across.fair_C, across.fair_C)
    return max(0.0, float((beside_C**2 - sampling_C).mean()))

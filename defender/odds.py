"""Who may still be the best? The chances of candidates that answered the same items, all at once. Pure.

The race's cuts ask how likely everyone within a margin of the best is lost when only the first few go on. A test of
each against the leader cannot say that. Here the true PBs have a posterior: S2 - C of a candidate with true PB x is
normal around x^2 with variance b + k x^2 + l x^4, fitted to the jackknife variances of all together (one alone is a
poor guess on few items); true PBs are log-normal, their centre and width known by the candidates themselves (the lowest
of many estimates is low by luck too). Draws keep the correlation that candidates have through their common items.
Where noise is large, what candidates have in common says more than S2 - C of each alone: see T of ``kinship``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from defender.bias import PB_AXES
from defender.kinship import Spread, lend, spread_of
from defender.records import FloatArray, OutcomeMatrix
from defender.samples import MIN_ITEMS, ROUNDING, Sample, sorted_matrix, take

DRAWS = 4000
LIGHT = 0.03
"""Weight of the mean variance beside a candidate's own, where the law of the variance is fitted: small ones count."""
GRID = 300
LOWEST = 0.05
"""The lowest PB, points, that is told from 0."""
CENTRES, WIDTHS = 25, (0.15, 0.25, 0.35, 0.5, 0.7, 1.0)
USUAL, APART = 0.4, 0.25
"""What is expected of the width of log PB before any is measured: few candidates say little about it."""


class Standing(NamedTuple):
    """Who may be the best.

    Attributes:
        order: places of the candidates, the likeliest to be as good as the best first; equals as they came.
        chance: per candidate, of keeping its floors within the margin of the best that keeps its own.
        risk: per number that goes on, first of ``order`` first: the chance that none of them is so good.
    """

    order: tuple[int, ...]
    chance: tuple[float, ...]
    risk: tuple[float, ...]

    def fewest(self, risk: float, least: int = 1) -> int:
        """Return how many must go on for a risk of at most ``risk``, at least ``least`` where there are so many."""
        enough = next(count for count, found in enumerate(self.risk, 1) if found <= risk)
        return min(max(enough, least), len(self.order))


def standing(
    entries: Sequence[Sequence[OutcomeMatrix]],
    shortfalls: Sequence[Sequence[tuple[float, float]]],
    margin: float,
) -> Standing | None:
    """Return the standing of candidates, or None where they share too few complete items.

    Args:
        entries: per candidate its matrices, on one panel.
        shortfalls: per candidate and floor, how far the estimate lies below it (points) and its standard error.
        margin: percentage points of PB that count as no difference.
    """
    groups = _common(entries)
    if groups is None:
        return None
    lent = lend(groups)
    spreads = [spread_of(group) for group in lent.groups]
    rng = np.random.default_rng(0)
    pb_C_D, alike_C_D = _draws(spreads, (_granted(groups), lent.doubt), rng)
    keeps_C = np.ones(len(entries))
    for place, floors in enumerate(shortfalls):
        for short, error in floors:
            misses_D = short + error * rng.standard_normal(DRAWS) > 0.0
            pb_C_D[place, misses_D] = np.inf
            keeps_C[place] *= 1.0 - misses_D.mean()
    best_D = pb_C_D.min(axis=0)
    chance_C = ((pb_C_D <= best_D + margin) & np.isfinite(pb_C_D)).mean(axis=1)
    likely_C = keeps_C * (alike_C_D <= best_D + margin).mean(axis=1)
    order = sorted(range(len(entries)), key=lambda place: (-likely_C[place], place))
    best_of_first = np.minimum.accumulate(pb_C_D[order], axis=0)
    risk = (best_of_first > best_D + margin).mean(axis=1)
    return Standing(tuple(order), tuple(map(float, chance_C)), tuple(map(float, risk)))


def _common(entries: Sequence[Sequence[OutcomeMatrix]]) -> list[list[Sample]] | None:
    """Return each candidate's samples on the items that all of them have complete."""
    sides = [sorted(map(sorted_matrix, side), key=lambda matrix: matrix.benchmark) for side in entries]
    for column, row in enumerate(zip(*sides, strict=True)):
        whole_I = np.all([np.isfinite(matrix.score_U_I).all(axis=0) for matrix in row], axis=0)
        if whole_I.sum() < MIN_ITEMS:
            return None
        items = tuple(np.array(row[0].items)[whole_I])
        for side, matrix in zip(sides, row, strict=True):
            side[column] = replace(matrix, items=items, score_U_I=matrix.score_U_I[:, whole_I])
    return [[sample for sample in take(side, None) if sample.axis in PB_AXES] for side in sides]


def _granted(groups: Sequence[Sequence[Sample]]) -> float:
    """Return the least variance granted: one identity's smallest step on one item may have been missed everywhere."""
    found = 0.0
    for column in zip(*groups, strict=True):
        steps = np.diff(np.unique(np.concatenate([sample.score_U_I.ravel() for sample in column])))
        step = float(steps.min()) if len(steps) else 100.0
        found += (step * column[0].weight / column[0].score_U_I.shape[1]) ** 4
    return found / len(groups[0][0].identities) ** 2


def _law(spreads: Sequence[Spread], granted: float, doubt: float) -> FloatArray:
    """Return b, k and l of Var(T) = b + k x^2 + l x^4, least squares over the candidates, none below 0.

    b is at least what is ``granted``; ``doubt`` comes on top.
    """
    from scipy.optimize import nnls

    # The jackknife counts a fair prompt's variance twice: it is of second degree.
    fair_C = np.array([spread.fair for spread in spreads])
    variance_C = np.maximum([float((s.parts_I**2).sum()) for s in spreads] - fair_C, fair_C)
    x2_C = np.maximum([spread.corrected2 for spread in spreads], 0.0)
    scale_C = 1.0 / (LIGHT * variance_C.mean() + variance_C + ROUNDING)
    found, _ = nnls(np.column_stack([scale_C, x2_C * scale_C, x2_C**2 * scale_C]), variance_C * scale_C)
    law: FloatArray = np.asarray(found, dtype=np.float64)
    law[0] = max(law[0], granted) + doubt
    return law


def _draws(
    spreads: Sequence[Spread], least: tuple[float, float], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return draws of the true PBs (candidates x draws), percentage points, and again at one level for everybody.

    The second say who is likelier to be low, without the luck of the draws.
    """
    law = _law(spreads, *least)
    found_C = np.array([spread.corrected2 for spread in spreads])
    most = max(float(found_C.max()), 1.0)
    top = 1.5 * np.sqrt(most + 4.0 * np.sqrt(law @ (1.0, most, most**2)))
    pb_G = np.exp(np.linspace(np.log(LOWEST), np.log(top), GRID))
    variance_G = np.stack([np.ones(GRID), pb_G**2, pb_G**4], axis=1) @ law
    told_C_G = -0.5 * (found_C[:, None] - pb_G**2) ** 2 / variance_G - 0.5 * np.log(variance_G)
    parts_C_I = np.array([spread.parts_I for spread in spreads])
    length_C = np.sqrt((parts_C_I**2).sum(axis=1))
    shared_C_D = parts_C_I @ rng.standard_normal((parts_C_I.shape[1], DRAWS)) / np.maximum(length_C, ROUNDING)[:, None]
    own_C_D = rng.standard_normal(shared_C_D.shape)
    level_C_D = ndtr(np.where(length_C[:, None] > ROUNDING, shared_C_D, own_C_D))
    pb_C_D, alike_C_D, alike_D = np.empty_like(level_C_D), np.empty_like(level_C_D), rng.random(DRAWS)
    for belief_C_G, draws in _beliefs(told_C_G, np.log(pb_G)):
        below_C_G = np.cumsum(belief_C_G, axis=1) / belief_C_G.sum(axis=1, keepdims=True)
        for place, below_G in enumerate(below_C_G):
            pb_C_D[place, draws] = np.interp(level_C_D[place, draws], below_G, pb_G)
            alike_C_D[place, draws] = np.interp(alike_D[draws], below_G, pb_G)
    return pb_C_D, alike_C_D


def _beliefs(told_C_G: FloatArray, log_G: FloatArray) -> Iterator[tuple[FloatArray, slice]]:
    """Yield densities of log PB (candidates x grid, not scaled) under priors, with the draws that each is good for.

    A prior, centre and width of log PB, has as many of the draws as it is likely: where little is known the candidates
    may as well be near one another as far apart, and the one does not speak for the other.
    """
    priors = [
        -0.5 * ((log_G - centre) / width) ** 2 - np.log(width)
        for centre in np.linspace(np.log(0.3), max(np.log(12.0), float(log_G[-1])), CENTRES)
        for width in WIDTHS
    ]
    usual = np.tile(-0.5 * ((np.array(WIDTHS) - USUAL) / APART) ** 2, CENTRES)
    most_C = told_C_G.max(axis=1, keepdims=True)
    fit = np.array([np.log((np.exp(told_C_G - most_C) @ np.exp(prior_G)) + 1e-300).sum() for prior_G in priors]) + usual
    share = np.exp(fit - fit.max())
    ends = np.rint(np.cumsum(share) / share.sum() * DRAWS).astype(int)
    for prior_G, first, end in zip(priors, [0, *ends], ends, strict=False):
        if end > first:
            density_C_G = told_C_G + prior_G
            yield np.exp(density_C_G - density_C_G.max(axis=1, keepdims=True)), slice(first, end)

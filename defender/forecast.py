"""What a measurement of a given size would show, before it is paid for: interval widths and powers. Pure.

A basis draws the matrices that a measurement of n items might give; the very estimator that will be used then says
how wide its interval is and what a comparison could tell. So a forecast cannot drift away from the method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
from scipy.special import ndtr, ndtri

from defender.bias import PB_AXES, compare, estimate
from defender.errors import IncompleteMatrix
from defender.records import Axis, FloatArray, OutcomeMatrix, PBEstimate
from defender.samples import MIN_ITEMS, sorted_matrix

Matrices = tuple[OutcomeMatrix, ...]
Pair = tuple[str, str]

POWER = 0.8
DRAWS = ((500, 16), (2000, 4))
"""(up to so many items, draws): widths of large draws differ little."""
FEWEST_DRAWS = 1


class Basis(Protocol):
    """What a forecast rests on."""

    @property
    def squares(self) -> Mapping[str, float]:
        """Prompt -> PB^2 (squared points) that is taken to be true."""

    def draw(self, rng: np.random.Generator, items: int) -> Mapping[str, Matrices]:
        """Return each prompt's matrices at ``items`` items a benchmark (fewer where it has fewer), paired."""


@dataclass(frozen=True)
class Outlook:
    """What ``items`` items a benchmark would show.

    Attributes:
        half_width: prompt -> half the width of PB's interval, points (median of the draws).
        noise_floor: prompt -> the PB_raw a fair model would show.
        power: pair -> chance that a comparison, corrected for all pairs, tells the two apart.
    """

    items: int
    half_width: Mapping[str, float]
    noise_floor: Mapping[str, float]
    power: Mapping[Pair, float]

    @property
    def widest(self) -> float:
        """The half width of the prompt that is known worst."""
        return max(self.half_width.values())


@dataclass(frozen=True)
class Pilot:
    """Draws items of a measurement that was made, with replacement.

    An identity's lead over the others is partly luck of the pilot's items. Rows of drawn items are therefore shuffled,
    as many as bring S2 down to S2 - C: a shuffled item favours nobody, and keeps its spread.
    """

    matrices: Mapping[str, Matrices]
    pools: Mapping[str, int]
    squares: Mapping[str, float] = field(init=False)
    _luck: Mapping[str, Mapping[str, float]] = field(init=False)

    def __post_init__(self) -> None:
        complete = _complete(self.matrices)
        found = {name: estimate(matrices) for name, matrices in complete.items()}
        object.__setattr__(self, "matrices", complete)
        object.__setattr__(self, "squares", {name: max(0.0, one.corrected2) for name, one in found.items()})
        object.__setattr__(self, "_luck", {name: _luck(one) for name, one in found.items()})

    def draw(self, rng: np.random.Generator, items: int) -> Mapping[str, Matrices]:
        """Return each prompt's matrices on the same drawn items."""
        drawn: dict[str, list[OutcomeMatrix]] = {name: [] for name in self.matrices}
        for place, first in enumerate(next(iter(self.matrices.values()))):
            size = min(items, self.pools.get(first.benchmark, items))
            picked_I = rng.integers(len(first.items), size=size)
            shuffle_U_I = rng.permuted(np.tile(np.arange(len(first.identities))[:, None], size), axis=0)
            chance_I = rng.random(size)
            for name, matrices in self.matrices.items():
                score_U_I = matrices[place].score_U_I[:, picked_I]
                shuffled_U_I = np.take_along_axis(score_U_I, shuffle_U_I, axis=0)
                score_U_I = np.where(chance_I < self._luck[name][first.axis], shuffled_U_I, score_U_I)
                drawn[name].append(_matrix(first, score_U_I))
        return {name: tuple(found) for name, found in drawn.items()}


@dataclass(frozen=True)
class Guess:
    """Draws worlds that nobody measured yet: independent answers around an assumed PB.

    Attributes:
        pb: prompt -> assumed PB, points; it is split evenly between the axes that are measured.
        benchmarks: benchmark -> (axis, assumed mean in percent); pools: benchmark -> items there are.
        identities: U. ``repeats``: times each cell is asked.
    """

    pb: Mapping[str, float]
    benchmarks: Mapping[str, tuple[Axis, float]]
    pools: Mapping[str, int]
    identities: int
    repeats: int = 1

    @property
    def squares(self) -> Mapping[str, float]:
        """The squares of the assumed PB."""
        return {name: pb**2 for name, pb in self.pb.items()}

    def draw(self, rng: np.random.Generator, items: int) -> Mapping[str, Matrices]:
        """Draw each cell for itself: the cautious case, in which pairing buys nothing."""
        axes = sorted({axis for axis, _ in self.benchmarks.values()})  # a set's order is another in every process
        drawn: dict[str, list[OutcomeMatrix]] = {name: [] for name in self.pb}
        pattern_U = {axis: _standard(rng.normal(size=self.identities)) for axis in axes}
        who = tuple(f"{row:03d}" for row in range(self.identities))
        for benchmark, (axis, mean) in self.benchmarks.items():
            size, share = min(items, self.pools.get(benchmark, items)), mean / 100.0
            chance_I = rng.beta(2.0 * share, 2.0 * (1.0 - share), size)
            for name, pb in self.pb.items():
                effect_U = pattern_U[axis] * pb / np.sqrt(len(axes)) / 100.0
                hit_R_U_I = rng.random((self.repeats, self.identities, size)) < chance_I + effect_U[:, None]
                score_U_I = 100.0 * hit_R_U_I.mean(axis=0)
                blank = OutcomeMatrix(benchmark, axis, who, (), score_U_I, np.ones_like(score_U_I, dtype=np.int64))
                drawn[name].append(_matrix(blank, score_U_I))
        return {name: tuple(found) for name, found in drawn.items()}


def outlook(basis: Basis, items: int, pairs: Sequence[Pair] = (), *, level: float = 0.95, seed: int = 0) -> Outlook:
    """Say what ``items`` items a benchmark would show.

    Args:
        basis: a pilot, or a guess.
        items: items a benchmark, at least ``MIN_ITEMS``; a benchmark with fewer gives all it has.
        pairs: prompts to tell apart; errors are shared evenly among them (Bonferroni, the cautious side of Holm).
        level: confidence of intervals, and 1 - the error of all comparisons together.
        seed: the draws'.
    """
    rng = np.random.default_rng([seed, items])
    widths: dict[str, list[float]] = {name: [] for name in basis.squares}
    floors: dict[str, list[float]] = {name: [] for name in basis.squares}
    errors: dict[Pair, list[float]] = {pair: [] for pair in pairs}
    for _ in range(next((draws for most, draws in DRAWS if items <= most), FEWEST_DRAWS)):
        drawn = basis.draw(rng, items)
        for name, matrices in drawn.items():
            found = estimate(matrices, level=level)
            widths[name].append((found.interval.high - found.interval.low) / 2.0)
            floors[name].append(found.noise_floor)
        for first, second in pairs:
            errors[first, second].append(compare(drawn[first], drawn[second], level=level).se)
    needed = float(ndtri(1.0 - (1.0 - level) / 2.0 / max(1, len(pairs))))
    return Outlook(
        items,
        {name: float(np.median(found)) for name, found in widths.items()},
        {name: float(np.median(found)) for name, found in floors.items()},
        {pair: _power(basis, pair, float(np.median(found)), needed) for pair, found in errors.items()},
    )


def sizes(most: int) -> tuple[int, ...]:
    """Return the sizes to look at: 10, 20, 50, 100, ... up to the largest pool."""
    steps = (digit * 10**power for power in range(1, 6) for digit in (1, 2, 5))
    return (*(step for step in steps if step < most), most)


def items_for_width(looks: Sequence[Outlook], wish: float) -> float:
    """Return the items a benchmark at which every prompt's PB is known to within ``wish``; inf where it never is."""
    return _reached([(one.items, one.widest / wish) for one in looks])


def items_for_power(looks: Sequence[Outlook], pair: Pair) -> float:
    """Return the items a benchmark at which a pair is told apart with 80 % power; inf where it never is."""
    last = looks[-1].power[pair]
    if last <= 0.0:
        return float("inf")
    return _reached([(one.items, POWER / max(one.power[pair], 1e-12)) for one in looks])


def _reached(curve: Sequence[tuple[int, float]]) -> float:
    """Return where a falling curve of (items, ratio to the wish) reaches 1, on straight lines between logarithms."""
    if curve[0][1] <= 1.0:
        return float(curve[0][0])
    for (n, high), (m, low) in pairwise(curve):
        if low <= 1.0:
            share = np.log(high) / np.log(high / low) if high > low else 1.0
            return float(np.exp(np.log(n) + share * np.log(m / n)))
    return float("inf")


def _power(basis: Basis, pair: Pair, se: float, needed: float) -> float:
    """Return the chance that |difference of squares| exceeds what is needed."""
    difference = abs(basis.squares[pair[0]] - basis.squares[pair[1]])
    if se <= 0.0:
        return 1.0 if difference > 0.0 else 0.0
    return float(ndtr(difference / se - needed))


def _complete(matrices: Mapping[str, Sequence[OutcomeMatrix]]) -> dict[str, Matrices]:
    """Return every prompt's PB benchmarks on the items that are complete for all prompts."""
    ordered = {
        name: sorted((sorted_matrix(one) for one in found if one.axis in PB_AXES), key=lambda one: one.benchmark)
        for name, found in matrices.items()
    }
    kept: dict[str, list[OutcomeMatrix]] = {name: [] for name in ordered}
    for column in zip(*ordered.values(), strict=True):
        common = set.intersection(*(_whole(one) for one in column))
        if len(common) < MIN_ITEMS:
            raise IncompleteMatrix(
                f"{column[0].benchmark}: expected at least {MIN_ITEMS} items that every prompt of the pilot answered "
                f"for every identity, got {len(common)}; measure a pilot with more items"
            )
        for name, one in zip(ordered, column, strict=True):
            places = [place for place, item in enumerate(one.items) if item in common]
            items = tuple(one.items[place] for place in places)
            kept[name].append(
                replace(one, items=items, score_U_I=one.score_U_I[:, places], repeats_U_I=one.repeats_U_I[:, places])
            )
    return {name: tuple(found) for name, found in kept.items()}


def _luck(found: PBEstimate) -> dict[str, float]:
    """Return axis -> the share of items to shuffle, so that S2 falls to S2 - C and their sum to PB^2."""
    real = {axis: max(0.0, one.s2 - one.noise2) for axis, one in found.axes.items() if axis in PB_AXES}
    total = sum(real.values())
    scale = max(0.0, found.corrected2) / total if total else 0.0
    return {
        axis: 1.0 - float(np.sqrt(scale * value / s2)) if (s2 := found.axes[axis].s2) else 0.0
        for axis, value in real.items()
    }


def _whole(matrix: OutcomeMatrix) -> set[str]:
    return {matrix.items[place] for place in np.flatnonzero(np.isfinite(matrix.score_U_I).all(axis=0))}


def _matrix(like: OutcomeMatrix, score_U_I: FloatArray) -> OutcomeMatrix:
    items = tuple(f"{column:06d}" for column in range(score_U_I.shape[1]))
    return OutcomeMatrix(
        like.benchmark, like.axis, like.identities, items, score_U_I, np.ones(score_U_I.shape, dtype=np.int64)
    )


def _standard(value_U: FloatArray) -> FloatArray:
    centred_U: FloatArray = (value_U - value_U.mean()) / value_U.std()
    return centred_U

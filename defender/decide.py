"""Decisions from matrices: floors, the race, the order of finalists, verdicts. Pure.

A gap is a floor minus the value's one-sided confidence bound: at most 0 where the floor is *shown* to be kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from defender.bias import PairedDifference, compare, compare_means, mean_bounds
from defender.errors import ConfigError
from defender.excess import excess
from defender.records import Axis, Comparison, OutcomeMatrix, Trial, Verdict
from defender.samples import sorted_matrix, take

Weights = Mapping[str, float] | None

RACE_ITEMS = 6
"""Shared items a benchmark needs before the race may drop anyone; with so few only the plainest cases are shown."""

_POWER = 0.8
_RELATIVE = re.compile(r"(?P<name>.*?[^\s\d.+-].*?)(?:\s*-\s*(?P<drop>\d+(?:\.\d+)?)\s*%?)?")
_ABSOLUTE = re.compile(r"(?P<ceiling>max\s*)?(?P<value>\d+(?:\.\d+)?)\s*%?")


@dataclass(frozen=True, slots=True)
class Floor:
    """What an axis mean may not fall below.

    Attributes:
        axis: the axis; on "over_refusal" the mean is the share of harmless requests that were answered.
        value: percent; with ``relative_to``, the points that the mean may lie below that baseline's.
        relative_to: a baseline's name, or None for an absolute floor.
    """

    axis: Axis
    value: float
    relative_to: str | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 100.0:
            raise ConfigError(f"floor on {self.axis}: expected 0 to 100 points, got {self.value:g}; correct it")

    def __str__(self) -> str:
        if self.relative_to is None:
            return f"{self.axis} >= {self.value:g}"
        return f"{self.axis} >= {self.relative_to} - {self.value:g}"

    @classmethod
    def parse(cls, axis: Axis, text: str) -> Floor:
        """Read "60", "60 %", "Original - 1", "Original", or on over_refusal "max 5" (at most 5 % refused: floor 95).

        The last "- number" is the allowed drop: a baseline whose own name ends so needs an explicit "- 0".

        Raises:
            ConfigError: none of these.
        """
        text = text.strip()
        if number := _ABSOLUTE.fullmatch(text):
            value = float(number["value"])
            if number["ceiling"] is None:
                return cls(axis, value)
            if axis == "over_refusal":
                return cls(axis, 100.0 - value)
        elif baseline := _RELATIVE.fullmatch(text):
            return cls(axis, float(baseline["drop"] or 0.0), baseline["name"])
        shapes = '"60" or "Original - 1"' + (' or "max 5"' if axis == "over_refusal" else "")
        raise ConfigError(f"floor on {axis}: expected {shapes}, got {text!r}; correct it in the configuration")


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a candidate leaves the race, in words with numbers."""

    reason: str


class Reach(NamedTuple):
    """Where a mean lies to a floor, percent or points: what is required, the estimate, and its one-sided bounds."""

    required: float
    value: float
    low: float
    high: float


def reaches(
    floors: Sequence[Floor],
    matrices: Sequence[OutcomeMatrix],
    baseline_matrices: Mapping[str, Sequence[OutcomeMatrix]],
    *,
    weights: Weights = None,
    level: float = 0.95,
) -> dict[str, Reach]:
    """Return floor name -> where the candidate lies to it, each bound one-sided at ``level``.

    Relative floors use the paired difference on common items, so a baseline keeps its own by the whole allowance.

    Raises:
        ConfigError: a floor names a baseline that was not measured.
        IncompleteMatrix: a floor's axis was not measured, or too few items are complete.
    """
    return {str(floor): _reach(floor, matrices, baseline_matrices, weights, level) for floor in floors}


def floor_gaps(
    floors: Sequence[Floor],
    matrices: Sequence[OutcomeMatrix],
    baseline_matrices: Mapping[str, Sequence[OutcomeMatrix]],
    *,
    weights: Weights = None,
    level: float = 0.95,
) -> dict[str, float]:
    """Return floor name -> floor minus the one-sided lower confidence bound, points; <= 0 where it is kept.

    Raises what ``reaches`` raises.
    """
    found = reaches(floors, matrices, baseline_matrices, weights=weights, level=level)
    return {name: reach.required - reach.low for name, reach in found.items()}


def _reach(
    floor: Floor,
    matrices: Sequence[OutcomeMatrix],
    baseline_matrices: Mapping[str, Sequence[OutcomeMatrix]],
    weights: Weights,
    level: float,
) -> Reach:
    if floor.relative_to is None:
        low, high = mean_bounds(matrices, floor.axis, weights=weights, level=level)
        group = [s for s in take([sorted_matrix(matrix) for matrix in matrices], weights) if s.axis == floor.axis]
        return Reach(floor.value, sum(s.weight * float(s.score_U_I.mean()) for s in group), low, high)
    if floor.relative_to not in baseline_matrices:
        known = ", ".join(sorted(baseline_matrices)) or "none"
        raise ConfigError(
            f"floor {floor}: expected a measured baseline, got {floor.relative_to!r} (measured: {known}); "
            "name one of these or add it to the baselines"
        )
    baseline = baseline_matrices[floor.relative_to]
    paired = compare_means(matrices, baseline, floor.axis, weights=weights, level=2.0 * level - 1.0)
    return Reach(-floor.value, paired.difference, paired.interval.low, paired.interval.high)


def race_decision(
    matrices: Sequence[OutcomeMatrix],
    rivals: Mapping[str, Sequence[OutcomeMatrix]],
    floors: Sequence[Floor] = (),
    baseline_matrices: Mapping[str, Sequence[OutcomeMatrix]] | None = None,
    *,
    alpha: float = 0.001,
    margin: float = 0.0,
    weights: Weights = None,
) -> Drop | None:
    """Say whether a candidate should leave the race now.

    Args:
        matrices: the candidate's cells so far.
        rivals: name -> cells of those it must beat; the caller sees to it that they keep the floors.
        floors: floors to keep; relative ones need ``baseline_matrices``.
        baseline_matrices: baseline name -> cells.
        alpha: one-sided error rate of each single test, one a floor and one a rival.
        margin: percentage points of PB that count as no difference: a candidate so close to a rival stays.
        weights: benchmark weights, as in ``estimate``.

    Returns:
        The drop, or None to go on; always None while a benchmark has fewer than ``RACE_ITEMS`` complete items.
    """
    whole = [int(np.isfinite(matrix.score_U_I).all(axis=0).sum()) for matrix in matrices]
    if min(whole, default=0) < RACE_ITEMS:
        return None
    for floor in floors:
        reach = _reach(floor, matrices, baseline_matrices or {}, weights, 1.0 - alpha)
        if reach.high < reach.required:
            what = "the mean" if floor.relative_to is None else f"the difference to {floor.relative_to}"
            return Drop(
                f"floor {floor} is out of reach: {what} is at most {reach.high:.1f} (needs {reach.required:.1f})"
            )
    for name, rival in rivals.items():
        found = excess(matrices, rival, margin=margin, weights=weights)
        if found.p <= alpha and found.items >= RACE_ITEMS:
            return Drop(
                f"cannot win: PB {found.first:.2f} against {found.second:.2f} of {name} on at least {found.items} "
                f"shared items a benchmark (p {found.p:.1g} that it is no more than {margin:g} above; dropped at "
                f"{alpha:.1g})"
            )
    return None


def holm(p_values: Sequence[float], family: int | None = None) -> tuple[float, ...]:
    """Return Holm's adjusted p-values in the given order, for a family of at least as many comparisons.

    ``family`` also counts comparisons made elsewhere, as if all their p-values were larger: the strict case.

    Raises:
        ValueError: the family is smaller than the p-values given.
    """
    count = len(p_values) if family is None else family
    if count < len(p_values):
        raise ValueError(f"holm: expected a family of at least {len(p_values)} comparisons, got {count}")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank_of, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (count - rank_of) * p_values[place]))
        adjusted[place] = largest
    return tuple(adjusted)


def verdicts(
    candidate: str,
    matrices: Sequence[OutcomeMatrix],
    baselines: Mapping[str, Sequence[OutcomeMatrix]],
    *,
    family: int | None = None,
    weights: Weights = None,
    level: float = 0.95,
) -> tuple[Comparison, ...]:
    """Compare a candidate with each baseline on corrected PB^2, paired on items, Holm-corrected.

    Args:
        candidate: id or name for the table.
        matrices: the candidate's confirm cells, which selection never saw.
        baselines: baseline name -> cells.
        family: comparisons to correct for, where more are claimed than are given here.
        weights: benchmark weights, as in ``estimate``.
        level: 1 - level is the chance of one false claim in the family; the interval is the single comparison's.

    Raises:
        IncompleteMatrix: as ``compare``.
    """
    paired = {name: compare(matrices, other, weights=weights, level=level) for name, other in baselines.items()}
    adjusted = holm([one.p for one in paired.values()], family)
    count = max(len(paired), family or 0)
    found = []
    for (name, one), p in zip(paired.items(), adjusted, strict=True):
        verdict: Verdict = "not distinguishable"
        if p < 1.0 - level:
            verdict = "better" if one.difference < 0.0 else "worse"
        reason = (
            f"PB {_root(one.first):.2f} against {_root(one.second):.2f}: difference of squares {one.difference:+.2f} "
            f"({level:.0%} {one.interval.low:+.2f} to {one.interval.high:+.2f}), Holm p {p:.2g}"
        )
        if verdict == "not distinguishable":
            reason += "; " + _doubt(one, count, level)
        found.append(Comparison(candidate, name, one.difference, one.interval, one.p, p, verdict, reason))
    return tuple(found)


def _doubt(one: PairedDifference, count: int, level: float) -> str:
    """Say why nothing can be claimed, and how many items would settle a difference of the size seen."""
    if one.difference == 0.0:
        return "no difference was seen: more items may show one, or there is none"
    within = one.interval.low <= 0.0 <= one.interval.high
    why = "the interval includes 0" if within else f"not beyond doubt among {count} comparisons"
    if one.se == 0.0:
        return f"{why}; {one.items} items are too few, however alike"
    deviates = float(ndtri(1.0 - (1.0 - level) / (2.0 * count)) + ndtri(_POWER))
    needed = deviates * one.se / abs(one.difference)
    items = "over 100" if needed > 10.0 else f"about {needed**2:.1f}"
    return f"{why}; a true difference of this size takes {items} times the items to show ({_POWER:.0%} power)"


def rank(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Order trials best first: those whose estimate keeps the floors by corrected PB^2, then by how far they miss them.

    Among equals in floors those that left the race come later, as they were measured on fewer items; unmeasured ones
    come last.
    """
    return tuple(sorted(trials, key=_order))


def keeps_floors(trial: Trial) -> bool:
    """Tell whether the estimate itself keeps every floor; its lower bound need not show it."""
    return all(miss <= 0.0 for miss in (trial.misses or trial.gaps).values())


def shows_floors(trial: Trial) -> bool:
    """Tell whether the lower bound shows every floor kept."""
    return all(gap <= 0.0 for gap in trial.gaps.values())


def _order(trial: Trial) -> tuple[bool, float, bool, float, str]:
    missed = sum(miss for miss in (trial.misses or trial.gaps).values() if miss > 0.0)
    corrected2 = trial.estimate.corrected2 if trial.estimate is not None else 0.0
    return trial.estimate is None, missed, trial.dropped_at is not None, corrected2, trial.candidate.id


def _root(corrected2: float) -> float:
    """Return PB from its corrected square."""
    return math.sqrt(max(0.0, corrected2))

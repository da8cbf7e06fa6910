"""The items that every identity answered, made ready for the measure: complete, sorted, weighted, centred. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from defender.errors import ConfigError, IncompleteMatrix
from defender.records import Axis, FloatArray, OutcomeMatrix

MIN_ITEMS = 3
"""Leaving one item out must leave two, or the noise of what is left is unknown."""

ROUNDING = 1e-9
"""Points below which a difference is what floating point leaves of 0."""


@dataclass(frozen=True, eq=False)
class Sample:
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
        return unrounded(self.score_U_I - self.score_U_I.mean(axis=0))

    @cached_property
    def residual_U_I(self) -> FloatArray:
        """e: D minus its mean over items, the two-way residual."""
        return unrounded(self.centred_U_I - self.centred_U_I.mean(axis=1, keepdims=True))


def sorted_matrix(matrix: OutcomeMatrix) -> OutcomeMatrix:
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


MAX_MISSING = 0.1
"""The largest share of a benchmark's items that may lack a score for some identity."""


def complete(
    matrices: Sequence[OutcomeMatrix], weights: Mapping[str, float] | None, max_missing: float = MAX_MISSING
) -> list[Sample]:
    """Return the complete items of each matrix, as ``take``.

    Raises:
        IncompleteMatrix: as ``take``; also when more than ``max_missing`` of a benchmark's items are incomplete.
        ConfigError: as ``take``.
    """
    samples = take([sorted_matrix(matrix) for matrix in matrices], weights)
    for sample, matrix in zip(samples, sorted(matrices, key=lambda matrix: matrix.benchmark), strict=True):
        if sample.dropped > max_missing * len(matrix.items):
            raise IncompleteMatrix(
                f"{matrix.benchmark}: expected a score for every identity on all but {max_missing:.0%} of the items, "
                f"got {sample.dropped} of {len(matrix.items)} items incomplete; {missing_message(matrix)}"
                "run the same command again to ask what is missing, or raise `max_missing`"
            )
    return samples


def take(matrices: Sequence[OutcomeMatrix], weights: Mapping[str, float] | None) -> list[Sample]:
    """Return the complete items of each (sorted) matrix in benchmark order, weights summing to 1 within an axis.

    Raises:
        IncompleteMatrix: identities differ, there are none, or fewer than ``MIN_ITEMS`` items are complete.
        ConfigError: a benchmark twice, or a weight missing or not positive.
    """
    matrices = sorted(matrices, key=lambda matrix: matrix.benchmark)
    names = [matrix.benchmark for matrix in matrices]
    if len(set(names)) < len(names):
        raise ConfigError(f"expected each benchmark once, got {', '.join(names)}")
    if len({matrix.identities for matrix in matrices}) > 1:
        raise IncompleteMatrix(
            f"expected the same identities everywhere, got {_who(matrices)}; measure all with one list"
        )
    if matrices and not matrices[0].identities:
        raise IncompleteMatrix("expected scores of at least one identity, got none; add identities")
    raw = [1.0 if weights is None else weights.get(name, 0.0) for name in names]
    if not (all(weight > 0.0 for weight in raw) and np.isfinite(sum(raw))):
        raise ConfigError(f"weights: expected a positive, finite number for each of {', '.join(names)}, got {weights}")
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
                f"{kept} of {len(matrix.items)}: the noise of fewer is unknown; "
                f"{_silent(matrix)}{missing_message(matrix)}measure more items"
            )
        samples.append(
            Sample(
                matrix.benchmark, matrix.axis, weight / total[matrix.axis], matrix.identities,
                matrix.score_U_I[:, whole_I], len(matrix.items) - kept,
            )
        )  # fmt: skip
    return samples


def among(sample: Sample, rows: Sequence[int]) -> Sample:
    """Return the sample of some identities only; its items stay those that every identity answered."""
    who = tuple(sample.identities[row] for row in rows)
    return replace(sample, identities=who, score_U_I=sample.score_U_I[list(rows)])


def averaged(sample: Sample, groups: Sequence[Sequence[int]]) -> Sample:
    """Return the sample in which each identity has the mean score of its group: what is left differs between groups."""
    score_U_I = sample.score_U_I.copy()
    for rows in groups:
        score_U_I[list(rows)] = score_U_I[list(rows)].mean(axis=0)
    return replace(sample, score_U_I=score_U_I)


def _who(matrices: Sequence[OutcomeMatrix]) -> str:
    """Say how many identities each benchmark has, and who is not in all of them."""
    everybody = set().union(*(matrix.identities for matrix in matrices))
    told = []
    for matrix in matrices:
        absent = sorted(everybody.difference(matrix.identities))
        told.append(
            f"{matrix.benchmark} {len(matrix.identities)}" + (f" (without {', '.join(absent)})" if absent else "")
        )
    return ", ".join(told)


def _silent(matrix: OutcomeMatrix) -> str:
    """Name the identities without a single score, or return ""."""
    seen = dict(zip(matrix.identities, np.isfinite(matrix.score_U_I), strict=True))
    names = [identity for identity, seen_I in seen.items() if not seen_I.any()]
    return f"no score at all for {', '.join(names)}; " if names and len(names) < len(matrix.identities) else ""


def missing_message(matrix: OutcomeMatrix) -> str:
    """Say who lacks scores and why, or "" where nothing was counted."""
    counts = [
        f"{identity} " + ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        for identity, reasons in sorted(matrix.missing.items())
        if reasons
    ]
    return f"unscored cells: {'; '.join(counts)}; " if counts else ""


def paired_samples(
    first: Sequence[OutcomeMatrix], second: Sequence[OutcomeMatrix], weights: Mapping[str, float] | None
) -> list[tuple[Sample, Sample]]:
    """Return both sides, benchmark by benchmark, on the items that both have complete."""
    sides = [sorted(map(sorted_matrix, side), key=lambda matrix: matrix.benchmark) for side in (first, second)]
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
    return list(zip(take(shared[0], weights), take(shared[1], weights), strict=True))


def unrounded(value: FloatArray) -> FloatArray:
    """Return values with what floating point leaves of 0 set to 0: its kurtosis would be taken for the data's."""
    return np.where(np.abs(value) < ROUNDING, 0.0, value)


def fewest(pairs: Sequence[tuple[Sample, Sample]]) -> int:
    """Return the items of the smallest benchmark."""
    return min(int(one.score_U_I.shape[1]) for one, _ in pairs)

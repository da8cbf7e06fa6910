"""Which clause did what: Shapley values of PB^2, of its parts, and of the axis means, with intervals over items. Pure.

Everything is linear in the coalitions' worth, so a value's jackknife over items is the same mixture of the coalitions'
own (each item left out of all of them at once: they answered the same items). The jackknife of PB^2 counts its
degenerate part twice (Efron and Stein 1981) and is left so: these intervals are a little wide. Where orders were
sampled, what that adds is in the interval too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from defender.errors import IncompleteMatrix
from defender.parts import Look, every_look
from defender.records import FloatArray, Interval, OutcomeMatrix
from defender.samples import ROUNDING, Sample, sorted_matrix, take
from defender.shapley import Coalition, Game
from defender.spread import influence, leave_one_out, pooled

Matrices = Sequence[OutcomeMatrix]


@dataclass(frozen=True)
class Credit:
    """What one clause adds to one quantity, averaged over orders; of PB^2 below 0 is fairer.

    Attributes:
        clause: the idea.
        quantity: "PB^2" (squared points), "PB" (points; no interval), "mean" (percentage points).
        part: "" for all of it, else an axis, a benchmark, a category of identities, or "between categories".
        kind: what the part is ("", "axis", "benchmark", "category", "between"); ``axis``: on which axis, "" for both.
        value: squared points or points. Of a category: its share of the whole's, so that parts sum to the whole.
        sampling: what sampling orders adds to the standard error; 0 where all orders count.
        interval: over items and sampled orders together; None where items do not differ, and of "PB", whose root has
            no plain one near 0.
    """

    clause: str
    quantity: str
    part: str
    kind: str
    axis: str
    value: float
    sampling: float
    interval: Interval | None


def shared_items(worth: Mapping[Coalition, Matrices]) -> dict[Coalition, list[OutcomeMatrix]]:
    """Return every coalition's matrices on the items that all of them have complete, in one order."""
    told = {
        coalition: sorted(map(sorted_matrix, found), key=lambda m: m.benchmark) for coalition, found in worth.items()
    }
    first = next(iter(told.values()))
    kept: list[set[str]] = []
    for place, matrix in enumerate(first):
        whole = [_complete(side[place]) for side in told.values()]
        kept.append(set(matrix.items).intersection(*whole))
    return {
        coalition: [_only(matrix, items) for matrix, items in zip(side, kept, strict=True)]
        for coalition, side in told.items()
    }


def _complete(matrix: OutcomeMatrix) -> set[str]:
    return {matrix.items[column] for column in np.flatnonzero(np.isfinite(matrix.score_U_I).all(axis=0))}


def _only(matrix: OutcomeMatrix, items: set[str]) -> OutcomeMatrix:
    columns = [column for column, item in enumerate(matrix.items) if item in items]
    return replace(
        matrix, items=tuple(matrix.items[column] for column in columns), score_U_I=matrix.score_U_I[:, columns],
        repeats_U_I=matrix.repeats_U_I[:, columns],
    )  # fmt: skip


def credits(
    game: Game,
    worth: Mapping[Coalition, Matrices],
    categories: Mapping[str, Sequence[str]],
    *,
    level: float = 0.95,
) -> tuple[Credit, ...]:
    """Return the clauses' credits: PB^2 and PB whole, then PB^2 and means by axis, and PB^2 by benchmark and category.

    Args:
        game: whose coalitions ``worth`` has.
        worth: coalition -> its prompt's matrices.
        categories: category -> identity keys.
        level: of the intervals.

    Raises:
        IncompleteMatrix: a coalition was not measured, or too few items are complete in all of them.
    """
    if absent := [coalition for coalition in game.coalitions if coalition not in worth]:
        raise IncompleteMatrix(f"{len(absent)} of {len(game.coalitions)} combinations of clauses are not measured")
    on = shared_items({coalition: worth[coalition] for coalition in game.coalitions})
    samples = [take(found, None) for found in on.values()]
    looks = list(every_look(samples[0], categories))
    whole = Look("axis", "", None, lambda s: s.axis in ("utility", "safety"), lambda s: s, 1.0, 0)
    found: list[Credit] = []
    for look in (whole, *looks):
        kept = [[look.change(s) for s in side if look.keep(s)] for side in samples]
        worth_S, parts_S = _squares(kept, look.share)
        place = ("", "", "") if look is whole else (look.name, look.kind, look.axis or "")
        if look.axis != "over_refusal":
            found += _mixed(game, "PB^2", place, (worth_S, parts_S), level)
        if look is whole:
            root_P = game.values(np.sqrt(np.maximum(worth_S, 0.0)))
            error_P = game.sampling_error(np.sqrt(np.maximum(worth_S, 0.0)))
            found += [
                Credit(name, "PB", "", "", "", float(value), float(error), None)
                for name, value, error in zip(game.players, root_P, error_P, strict=True)
            ]
        if look.kind == "axis" and look is not whole:
            found += _mixed(game, "mean", place, _means(kept), level)
    return tuple(found)


def _squares(sides: Sequence[Sequence[Sample]], share: float) -> tuple[FloatArray, list[FloatArray]]:
    """Return each coalition's corrected PB^2 (S) and, per benchmark, items' influence on them (S x I)."""
    worth, rows = [], []
    for side in sides:
        axes = [[s for s in side if s.axis == axis] for axis in dict.fromkeys(s.axis for s in side)]
        left = [leave_one_out(group) for group in axes]
        worth.append(share * sum(value for value, _ in left))
        rows.append([share * part_I for _, parts in left for part_I in parts])
    return np.array(worth), [np.array(part) for part in zip(*rows, strict=True)]


def _means(sides: Sequence[Sequence[Sample]]) -> tuple[FloatArray, list[FloatArray]]:
    """Return each coalition's mean, and items' influence on it."""
    worth = [sum(s.weight * float(s.score_U_I.mean()) for s in side) for side in sides]
    rows = [[influence(s.score_U_I.mean(axis=0), s.weight) for s in side] for side in sides]
    return np.array(worth), [np.array(part) for part in zip(*rows, strict=True)]


def _mixed(
    game: Game,
    quantity: str,
    place: tuple[str, str, str],
    measured: tuple[FloatArray, list[FloatArray]],
    level: float,
) -> Iterator[Credit]:
    """Yield one quantity's credits, one a clause."""
    worth_S, parts = measured
    value_P, error_P = game.values(worth_S), game.sampling_error(worth_S)
    mixed = [game.weight_P_S @ part_S_I for part_S_I in parts]
    for row, clause in enumerate(game.players):
        variance, df = pooled([part_P_I[row] for part_P_I in mixed])
        whole = float(np.sqrt(variance + np.nan_to_num(error_P[row]) ** 2))
        half = float(stdtrit(df, (1.0 + level) / 2.0)) * whole
        value = float(value_P[row])
        # Where no item differs from another, what unseen ones would do is not known: no interval, not one of width 0.
        interval = Interval(value - half, value + half, level) if whole > ROUNDING else None
        yield Credit(clause, quantity, *place, value, float(error_P[row]), interval)

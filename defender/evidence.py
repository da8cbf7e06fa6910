"""What the measurements say, in a form that may be shown to whoever writes clauses: numbers and names, never an item.

A benchmark item appears as its stratum (subject, kind of harm) and never with its text or id; an answer appears as
its score. So nothing a writer reads can be quoted from a benchmark, and nothing a model answered can instruct it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from defender.records import Axis, FloatArray, Identity, Item, OutcomeMatrix, PBEstimate, digest_of


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause somebody wrote: one line of text, and the weakness it aims at in the writer's words."""

    text: str
    aim: str = ""

    @property
    def idea(self) -> str:
        """Its name in a space, a function of the text."""
        return f"written_{digest_of(self.text)[:8]}"


@dataclass(frozen=True, slots=True)
class Draft:
    """What one writing gave. ``trouble`` says in words why clauses are missing, "" where none are."""

    clauses: tuple[Clause, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """What saying one clause did in the trials so far; ``se`` is the standard error of ``difference``.

    Attributes:
        text: the clause.
        on: which quantity: "PB^2" (squared percentage points, negative is fairer), or an axis (points of its mean).
        trials: measured trials that say the clause.
    """

    text: str
    on: str
    difference: float
    se: float
    trials: int


@dataclass(frozen=True, slots=True)
class Loss:
    """A user an axis is worse for: mean score in percent, against the average over all users."""

    axis: Axis
    identity: str
    category: str
    mean: float
    average: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Where a category of users loses: mean score in percent in one stratum, against everybody else's there."""

    benchmark: str
    axis: Axis
    stratum: str
    category: str
    mean: float
    others: float
    items: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a writer is told.

    Attributes:
        best: system text of the best prompt so far; ``pb`` its corrected PB, percentage points.
        losses, failures: where that prompt still treats users differently, worst first.
        effects: what the clauses tried so far did, fairest first.
        said: every clause the space has. ``refused``: (clause, why) of earlier writings.
        wanted: how many new clauses are asked for.
        tokens: the most tokens (words and punctuation marks) a clause may have.
    """

    best: str
    pb: float
    losses: tuple[Loss, ...] = ()
    failures: tuple[Failure, ...] = ()
    effects: tuple[Effect, ...] = ()
    said: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = field(default=())
    wanted: int = 3
    tokens: int = 60


def losses(found: PBEstimate, identities: Sequence[Identity], most: int = 3) -> tuple[Loss, ...]:
    """Return the users each PB axis is worst for, at most ``most`` an axis, worst first; only below the average."""
    categories = {identity.key: identity.category for identity in identities}
    worst: list[Loss] = []
    for axis in ("utility", "safety"):
        if axis not in found.axes:
            continue
        means = {key: mean for key, mean in found.axes[axis].by_identity.items() if key in categories}
        average = sum(means.values()) / max(1, len(means))
        below = sorted((mean, key) for key, mean in means.items() if mean < average)[:most]
        worst += [Loss(axis, key, categories[key], mean, average) for mean, key in below]
    return tuple(worst)


def failures(
    matrices: Sequence[OutcomeMatrix],
    items: Mapping[str, Sequence[Item]],
    identities: Sequence[Identity],
    most: int = 6,
) -> tuple[Failure, ...]:
    """Return where categories of users lose, the most telling first: strata x categories, gap over its standard error.

    Args:
        matrices: the cells of one prompt.
        items: benchmark -> its items, for their strata.
        identities: who asked, with their categories.
        most: how many to return.
    """
    found: list[tuple[float, Failure]] = []
    for matrix in matrices:
        strata = {item.id: item.stratum for item in items.get(matrix.benchmark, ())}
        columns = [strata.get(item, "") for item in matrix.items]
        groups = {identity.key: identity.category for identity in identities}
        rows = [groups.get(key, "") for key in matrix.identities]
        for stratum in sorted(set(columns)):
            score_U_I = matrix.score_U_I[:, [c == stratum for c in columns]]
            for category in sorted(set(rows) - {""}):
                inside = np.array([row == category for row in rows])
                telling, mean, others = _gap(score_U_I, inside)
                if telling > 0.0:
                    shown = Failure(
                        matrix.benchmark, matrix.axis, stratum, category, mean, others, score_U_I.shape[1]
                    )  # fmt: skip
                    found.append((telling, shown))
    found.sort(key=lambda pair: (-pair[0], pair[1].benchmark, pair[1].stratum, pair[1].category))
    return tuple(shown for _, shown in found[:most])


def _gap(score_U_I: FloatArray, inside: np.ndarray) -> tuple[float, float, float]:
    """Return how telling the loss of some rows is (gap over its standard error), their mean and the others' mean."""
    inner, outer = score_U_I[inside], score_U_I[~inside]
    inner, outer = inner[np.isfinite(inner)], outer[np.isfinite(outer)]
    if not inner.size or not outer.size:
        return 0.0, math.nan, math.nan
    gap = float(outer.mean() - inner.mean())
    spread = float(np.concatenate([inner - inner.mean(), outer - outer.mean()]).std())
    return gap / max(spread, 1.0) * math.sqrt(inner.size), float(inner.mean()), float(outer.mean())

"""One question asked of everybody, as one bounded score: what optimizers that average examples can be given.

PB is a spread over identities of means over questions, so no sum over examples is PB. This surrogate is the mean less
the spread *within* one question; prompts that a strategy found with it are ranked by PB itself afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from defender.errors import IncompleteMatrix
from defender.records import OutcomeMatrix

SPREAD_WEIGHT = 1.0
"""How much a point of spread costs, in points of mean."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How one prompt did on one question.

    Attributes:
        score: mean less spread over identities, in [0, 1], higher is better.
        axis: "utility" or "safety".
        feedback: what went wrong, in words that quote no question.
    """

    score: float
    axis: str
    feedback: str


def mark(matrix: OutcomeMatrix, stratum: str, categories: Mapping[str, str]) -> Mark:
    """Mark one question from its column.

    Args:
        matrix: one item; identities without a score are left out.
        stratum: the kind of question, in words.
        categories: identity -> category.

    Raises:
        IncompleteMatrix: fewer than two identities have a score: nobody could say.
    """
    score_U = matrix.score_U_I[:, 0] / 100.0
    seen_U = np.isfinite(score_U)
    if seen_U.sum() < 2:
        raise IncompleteMatrix(
            f"{matrix.benchmark}: expected scores of at least 2 identities for a question, got {int(seen_U.sum())}; "
            "check the endpoint, then run the same command again"
        )
    mean, spread = float(score_U[seen_U].mean()), float(score_U[seen_U].std())
    low = [who for who, value in zip(matrix.identities, score_U, strict=True) if value < mean - spread]
    kinds = ", ".join(sorted({categories.get(who, who) for who in low}))
    told = f"{matrix.axis}, question of kind '{stratum}': mean {mean:.0%}, spread over users {spread:.0%}"
    if kinds:
        told += f"; {len(low)} users get less than the others (by {kinds})"
    return Mark(min(1.0, max(0.0, mean - SPREAD_WEIGHT * spread)), matrix.axis, told)

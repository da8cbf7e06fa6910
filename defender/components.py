"""What the noise of a benchmark is made of, and what repeats are worth against items. Pure.

A cell's score is y_uir: identity u, item i, repeat r. Its contrast (minus the item's mean over identities) varies for 2
reasons: an item treats one identity differently (variance I, the same however often it is asked) and answers are drawn
(variance R, new in each repeat). With n items of r repeats, C of ``bias`` is (U-1)/U (I + R/r) / n. At equal cost n r
that is proportional to r I + R: repeats are never better than as many new items, and pay only when items run out.

Draws that all identities of an item share (common random numbers) move them together and leave the contrast alone:
``shared`` says how much of the drawing noise is gone for that reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from defender.errors import IncompleteMatrix
from defender.records import FloatArray, Interval, OutcomeMatrix
from defender.samples import MIN_ITEMS, sorted_matrix


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of one benchmark, in squared points.

    Attributes:
        benchmark: which.
        item: I, item times identity; unbiased, so it may be below 0 where there is none.
        draw: R, between repeats of one cell, of the identity contrast.
        plain: between repeats of one cell, of the score itself; what ``draw`` would be without shared draws.
        share: draw / (item + draw), the part of the noise of one repeat that repeats can average away, in [0, 1];
            ``share_interval`` from the jackknife over items.
        identities, items, repeats: what was looked at.
    """

    benchmark: str
    item: float
    draw: float
    plain: float
    share: float
    share_interval: Interval
    identities: int
    items: int
    repeats: int

    @property
    def shared(self) -> float:
        """The part of the drawing noise that identities share, so that it cancels; in [0, 1]."""
        return max(0.0, 1.0 - self.draw / self.plain) if self.plain > 0.0 else 0.0

    def noise2(self, items: int, repeats: int) -> float:
        """Return C (squared points) for a number of items and repeats of each."""
        return (1.0 - 1.0 / self.identities) * (max(0.0, self.item) + self.draw / repeats) / items

    def worth(self, repeats: int) -> float:
        """Return the effective items that a request buys with ``repeats`` a cell, 1 where each cell is asked once."""
        item = max(0.0, self.item)
        return (item + self.draw) / (repeats * item + self.draw) if item + self.draw > 0.0 else 1.0 / repeats

    def best(self, cells: int, pool: int) -> tuple[int, int]:
        """Return the items and repeats with the least noise for ``cells`` requests an identity, of ``pool`` items."""
        items = max(1, min(cells, pool))
        return items, max(1, cells // items)


def components(repeats: Sequence[OutcomeMatrix], level: float = 0.95) -> Components:
    """Split the noise of one benchmark, one matrix for each repeat of the same cells.

    Items that lack a score in any repeat leave.

    Raises:
        IncompleteMatrix: fewer than 2 repeats or 2 identities, other identities or benchmarks among them, or fewer
            than ``MIN_ITEMS`` complete items.
    """
    name = repeats[0].benchmark if repeats else "no benchmark"
    found = [sorted_matrix(one) for one in repeats]
    if len(found) < 2 or len({(one.benchmark, one.identities, one.items) for one in found}) > 1:
        raise IncompleteMatrix(
            f"{name}: expected at least 2 repeats of the same cells, got {len(found)} matrices of "
            f"{len({(one.benchmark, one.identities, one.items) for one in found})} kinds; measure with repeats: 2"
        )
    score_R_U_I = np.stack([one.score_U_I for one in found])
    score_R_U_I = score_R_U_I[:, :, np.isfinite(score_R_U_I).all(axis=(0, 1))]
    count, identities, items = score_R_U_I.shape
    if items < MIN_ITEMS or identities < 2:
        raise IncompleteMatrix(
            f"{name}: expected at least {MIN_ITEMS} items that 2 or more identities have every repeat of, got {items} "
            f"items of {identities} identities; measure more items"
        )
    drawn_I, mixed_I = _contrasts(score_R_U_I)
    draw, mixed = float(drawn_I.mean()), float(mixed_I.mean())
    item = mixed - draw / count
    share, interval = _share(drawn_I, mixed_I, count, level)
    plain = float(score_R_U_I.var(axis=0, ddof=1).mean())
    return Components(name, item, draw, plain, share, interval, identities, items, count)


def _contrasts(score_R_U_I: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return each item's part of R, and of I + R / repeats: their means over items are unbiased."""
    count, identities, items = score_R_U_I.shape
    centred_R_U_I = score_R_U_I - score_R_U_I.mean(axis=1, keepdims=True)
    mean_U_I = centred_R_U_I.mean(axis=0)
    drawn_I = ((centred_R_U_I - mean_U_I) ** 2).sum(axis=(0, 1)) / ((count - 1) * (identities - 1))
    residual_U_I = mean_U_I - mean_U_I.mean(axis=1, keepdims=True)
    mixed_I = (residual_U_I**2).sum(axis=0) / (identities - 1) * items / (items - 1)
    return drawn_I, mixed_I


def _share(drawn_I: FloatArray, mixed_I: FloatArray, count: int, level: float) -> tuple[float, Interval]:
    """Return R / (I + R) with its interval, from what single items add to numerator and denominator."""
    items, draw = len(drawn_I), float(drawn_I.mean())
    whole_I = mixed_I + drawn_I * (1.0 - 1.0 / count)
    whole = float(whole_I.mean())
    if whole <= 0.0:
        return 0.0, Interval(0.0, 1.0, level)
    ratio = draw / whole
    se = float(np.sqrt(((drawn_I - ratio * whole_I) ** 2).sum() / (items * (items - 1)))) / whole
    half = float(stdtrit(items - 1, (1.0 + level) / 2.0)) * se
    low, high = np.clip([ratio - half, ratio + half], 0.0, 1.0)
    return min(1.0, ratio), Interval(float(low), float(high), level)

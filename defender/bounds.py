"""An interval for a bias that cannot be below 0, from its unbiased square T = S2 - C. Pure.

If the true PB^2 were x, T would have variance B + k x about x, and third cumulant 2 B^2 / C + k^2 x: a weighted sum
of squared normals, matched by a shifted chi-square (Hall, Buckley and Eagleson). The interval is every x that T does
not contradict. Asking each x anew is Wilson's idea; a width taken from the estimate is too small where the estimate is.

To contradict is a matter of likelihood ratio, for a quantity that cannot be negative (Feldman and Cousins 1998; the
statistic t~ of Cowan, Cranmer, Gross and Vitells 2011): one-sided near 0, two-sided away from it. So the interval of
a fair model holds 0 in 95 % of the measurements, not in 97.5 %. A T far below 0 leaves a short interval: the noise
floor beside it tells what could have been seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt

from scipy.special import gammainc, gammaincc, ndtri, stdtr

FEW = 8.0
"""Squares below which the lower tail is taken as the normal one."""

STEEPEST = 4.0
"""The most by which the lower tail of few squares may be shorter than the normal one."""

STEPS = 40
"""Halvings of the bracket: its ends are then equal in 12 digits."""

DOUBLINGS = 100
"""The most doublings until the upper end is bracketed; support falls at least as x to a power, so few are needed."""


@dataclass(frozen=True, slots=True)
class Law:
    """How T is distributed for a true PB^2 of x; squared points.

    Attributes:
        noise2: C, what sampling alone adds to S2; > 0.
        variance: B, the variance of T where x = 0; > 0.
        slope: k, variance per unit of x; >= 0.
        df: degrees of freedom of what is known about B and k.
    """

    noise2: float
    variance: float
    slope: float
    df: float

    def score(self, found2: float, x: float) -> float:
        """Return the normal score of T = ``found2`` where the true PB^2 is ``x``: falls with x."""
        # Normal theory says 1.5 k^2 x. A third less, because k is estimated and grows with T (found by simulation).
        third = 2.0 * self.variance * self.variance / self.noise2 + self.slope * self.slope * x
        return _score(found2 - x, self.variance + self.slope * x, third)

    def support(self, found2: float, x: float) -> float:
        """Return the p-value of a true PB^2 of ``x`` >= 0 after finding T = ``found2``, in [0, 1]."""
        z, r = self.score(found2, x), x / sqrt(self.variance + self.slope * x)
        if z >= -r:  # T >= 0, its own best explanation
            q, root = z * z, abs(z)
        else:  # T < 0, best explained by 0
            q = -r * (r + 2.0 * z) if r > 0.0 else 0.0
            root = sqrt(max(0.0, q))
        lower = -root if root <= r else -(q + r * r) / (2.0 * r) if r > 0.0 else -inf
        return 1.0 - float(stdtr(self.df, root) - (stdtr(self.df, lower) if lower > -inf else 0.0))


def bounds(found2: float, law: Law, level: float) -> tuple[float, float]:
    """Return the ends (squared points) of the PB^2 that T = ``found2`` supports at ``level``; they hold max(0, T)."""
    alpha, middle = 1.0 - level, max(0.0, found2)

    def support(x: float) -> float:
        return law.support(found2, x)

    low = 0.0 if support(0.0) >= alpha else _edge(support, alpha, 0.0, middle)
    return low, _edge(support, alpha, _far(support, alpha, middle, law), middle)


def one_sided(found2: float, law: Law, tails: tuple[float, float]) -> tuple[float, float]:
    """Return a lower and an upper bound (squared points) of PB^2, each wrong with a chance of its own of ``tails``.

    Unlike the ends of ``bounds`` they are tests of one side each: of a T so large or larger, and so small or smaller.
    """
    middle = max(0.0, found2)

    def larger(x: float) -> float:
        return float(stdtr(law.df, -law.score(found2, x)))

    def smaller(x: float) -> float:
        return float(stdtr(law.df, law.score(found2, x)))

    low = 0.0 if larger(0.0) >= tails[0] else _edge(larger, tails[0], 0.0, middle)
    if smaller(middle) < tails[1]:
        return low, middle
    return low, _edge(smaller, tails[1], _far(smaller, tails[1], middle, law), middle)


def _far(p: Callable[[float], float], alpha: float, middle: float, law: Law) -> float:
    """Return an x above ``middle`` whose p-value is below ``alpha``."""
    far = middle + 4.0 * sqrt(law.variance) + 8.0 * law.slope
    for _ in range(DOUBLINGS):
        if not p(far) >= alpha:
            break
        far *= 2.0
    return far


def _edge(p: Callable[[float], float], alpha: float, outside: float, inside: float) -> float:
    """Return where a p-value crosses ``alpha`` between a value outside the interval and one inside."""
    for _ in range(STEPS):
        middle = (outside + inside) / 2.0
        if p(middle) < alpha:
            outside = middle
        else:
            inside = middle
    return inside


def _score(distance: float, variance: float, third: float) -> float:
    """Return the normal score of T - x under the shifted chi-square with this variance and third cumulant."""
    # A sum of squared normals is never more skewed than one of them: its degrees of freedom are at least 1.
    share = variance / third
    nu = max(1.0, 8.0 * variance * share * share)
    place = nu + sqrt(2.0 * nu / variance) * distance
    if place > nu:
        return -float(ndtri(gammaincc(nu / 2.0, place / 2.0)))
    plain = distance / sqrt(variance)
    skewed = float(ndtri(gammainc(nu / 2.0, place / 2.0))) if place > 0.0 else -inf
    if skewed >= plain:
        return skewed
    # Of few squares the sum is often next to its least value, -C, whatever x: rare by rank, but no evidence against x.
    few = min(1.0, FEW / nu)
    return (1.0 - few) * max(skewed, STEEPEST * plain) + few * plain

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.bounds import Law, bounds
from tests.worlds import QUICK

laws = st.builds(
    lambda noise2, squares, slope, df: Law(noise2, 2.0 * noise2**2 / squares, slope, df),
    noise2=st.floats(0.01, 100.0),
    squares=st.floats(1.0, 60.0),
    slope=st.floats(0.0, 100.0),
    df=st.floats(2.0, 1e4),
)
"""Laws as they occur: a sum of this many squares."""


@QUICK
@given(laws, st.floats(-200.0, 400.0), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_ends_hold_the_estimate_and_are_where_support_runs_out(law: Law, found2: float, level: float) -> None:
    found2 = max(-law.noise2, found2)
    low, high = bounds(found2, law, level)
    assert 0.0 <= low <= max(0.0, found2) <= high
    step = 1e-3 * (high - low)
    assert law.support(found2, high + step) < 1.0 - level <= law.support(found2, high - step)
    if low > 0.0:
        assert law.support(found2, max(0.0, low - step)) < 1.0 - level <= law.support(found2, low + step)


@QUICK
@given(laws, st.floats(-20.0, 400.0), st.floats(0.01, 20.0))
def test_a_larger_estimate_never_moves_an_end_down(law: Law, found2: float, more: float) -> None:
    found2 = max(-law.noise2, found2)
    low, high = bounds(found2, law, 0.95)
    higher_low, higher_high = bounds(found2 + more, law, 0.95)
    assert higher_low >= low - 1e-6
    assert higher_high >= high - 1e-6


@QUICK
@given(laws, st.floats(-20.0, 400.0))
def test_a_higher_level_gives_a_wider_interval(law: Law, found2: float) -> None:
    (low, high), (wider_low, wider_high) = bounds(found2, law, 0.9), bounds(found2, law, 0.99)
    assert wider_low <= low
    assert wider_high >= high


@QUICK
@given(laws, st.floats(-20.0, 400.0), st.floats(0.1, 10.0))
def test_the_unit_of_the_scores_does_not_matter(law: Law, found2: float, unit: float) -> None:
    other = Law(law.noise2 * unit**2, law.variance * unit**4, law.slope * unit**2, law.df)
    low, high = bounds(found2, law, 0.95)
    assert bounds(found2 * unit**2, other, 0.95) == pytest.approx((low * unit**2, high * unit**2), abs=1e-9)


def test_away_from_0_and_without_slope_it_is_the_two_sided_normal_interval() -> None:
    law = Law(noise2=1e5, variance=4.0, slope=0.0, df=1e9)
    assert bounds(1000.0, law, 0.95) == pytest.approx((1000.0 - 1.96 * 2.0, 1000.0 + 1.96 * 2.0), abs=1e-2)


def belt(found: float) -> tuple[float, float]:
    """Feldman and Cousins' construction for a normal mean that cannot be negative, sd 1, 95 %, on a grid."""
    x = np.linspace(-10.0, 15.0, 12_501)
    best = np.exp(-0.5 * np.minimum(x, 0.0) ** 2)
    accepted = []
    for mean in np.arange(0.0, 6.0, 0.01):
        density = np.exp(-0.5 * (x - mean) ** 2)
        order = np.argsort(-density / best)
        taken = order[: int(np.searchsorted(np.cumsum(density[order]) / density.sum(), 0.95)) + 1]
        if x[taken].min() <= found <= x[taken].max():
            accepted.append(mean)
    return accepted[0], accepted[-1]


@pytest.mark.parametrize("found", [-3.0, -1.0, 0.0, 1.0, 2.0, 3.0])
def test_near_0_it_is_feldman_and_cousins_belt(found: float) -> None:
    law = Law(noise2=1e6, variance=1.0, slope=0.0, df=1e9)
    assert bounds(found, law, 0.95) == pytest.approx(belt(found), abs=0.021)


@pytest.mark.parametrize("true2", [0.0, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("dimensions", [1, 5, 30])
def test_a_known_law_is_covered_at_its_level(dimensions: int, true2: float) -> None:
    """T = |m|^2 - trace / U for normal m with equal variances: the law's own world."""
    rng = np.random.default_rng([dimensions, int(true2)])
    mean = np.zeros(dimensions)
    mean[0] = math.sqrt(true2 * dimensions)
    found2 = ((mean + 2.0 * rng.standard_normal((1500, dimensions))) ** 2).mean(axis=1) - 4.0
    law = Law(noise2=4.0, variance=2.0 * 16.0 / dimensions, slope=4.0 * 4.0 / dimensions, df=1e9)
    held = [low <= true2 <= high for low, high in (bounds(float(one), law, 0.95) for one in found2)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_means_that_are_equal_by_chance_do_not_make_a_small_bias_impossible(dimensions: int) -> None:
    law = Law(noise2=4.0, variance=2.0 * 16.0 / dimensions, slope=4.0 * 4.0 / dimensions, df=1e9)
    assert bounds(-4.0, law, 0.95)[1] > 4.0, "all of S2 is noise of this size"


extremes = st.builds(
    Law,
    noise2=st.floats(1e-30, 1e30),
    variance=st.floats(1e-30, 1e30),
    slope=st.just(0.0) | st.floats(1e-30, 1e30),
    df=st.floats(2.0, 1e9),
)


@QUICK
@given(extremes, st.floats(-1e30, 1e30), st.sampled_from([0.5, 0.95, 0.999999]))
def test_whatever_the_law_the_search_for_the_ends_ends(law: Law, found2: float, level: float) -> None:
    low, high = bounds(found2, law, level)
    assert 0.0 <= low <= max(0.0, found2) <= high < math.inf


def test_also_where_a_number_is_none() -> None:
    odd = math.nan
    for law in (Law(odd, 1.0, 1.0, 9.0), Law(1.0, odd, 1.0, 9.0), Law(1.0, 1.0, odd, 9.0), Law(1.0, 1.0, 1.0, odd)):
        assert len(bounds(1.0, law, 0.95)) == 2

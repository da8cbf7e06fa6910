from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from defender.bias import compare, compare_means, estimate
from defender.errors import IncompleteMatrix
from defender.records import FloatArray
from tests.worlds import (
    IDENTITIES,
    PATTERN,
    by_definition,
    coins,
    matrix,
    ratings,
    shared_coins,
    two,
)


def test_a_prompt_does_not_differ_from_itself() -> None:
    measured = two(*(coins(np.random.default_rng(43), 40) for _ in range(2)))
    found = compare(measured, measured)
    assert (found.difference, found.se, found.p) == (0.0, 0.0, 1.0)
    assert compare_means(measured, measured, "utility").p == 1.0


def test_swapping_the_two_prompts_flips_the_sign_only() -> None:
    rng = np.random.default_rng(47)
    one, other = two(coins(rng, 30), coins(rng, 20)), two(coins(rng, 30, 4 * PATTERN), coins(rng, 20))
    there, back = compare(one, other), compare(other, one)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.se, there.p) == pytest.approx((back.se, back.p))
    assert there.difference == pytest.approx(estimate(one).corrected2 - estimate(other).corrected2)


def test_prompts_are_compared_on_the_items_both_have() -> None:
    scores, other = coins(np.random.default_rng(53), 30), coins(np.random.default_rng(54), 30)
    holed = scores.copy()
    holed[2, 4] = np.nan
    late = replace(matrix(other[:, 10:]), items=matrix(other).items[10:])
    found = compare([matrix(holed)], [late])
    assert found.items == 20
    again = compare([matrix(scores[:, 10:])], [matrix(other[:, 10:])])
    assert found.difference == pytest.approx(again.difference)
    assert compare([matrix(holed)], [matrix(other)]).items == 29


def test_the_jackknife_variance_is_that_of_leaving_items_out_one_by_one() -> None:
    rng = np.random.default_rng(59)
    scores, other = coins(rng, 12, 20 * PATTERN / 2), np.full((IDENTITIES, 12), 50.0)
    left_out = [by_definition([matrix(np.delete(scores, item, axis=1))])[1] for item in range(12)]
    jackknife = 11 / 12 * float(np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    se2 = compare([matrix(scores)], [matrix(other)]).se ** 2
    assert 0.5 * jackknife <= se2 <= jackknife


@pytest.mark.parametrize(
    ("draw", "items"),
    [
        (lambda rng, n: coins(rng, n, 3 * PATTERN), 30),
        (lambda rng, n: coins(rng, n, 3 * PATTERN), 200),
        (lambda rng, n: shared_coins(rng, n, 2 * PATTERN), 30),
        (lambda rng, n: ratings(rng, n, 2 * PATTERN), 100),
        (coins, 100),
    ],
)
def test_equal_prompts_are_called_different_no_more_often_than_promised(
    draw: Callable[[np.random.Generator, int], FloatArray], items: int
) -> None:
    rng = np.random.default_rng(61)
    p = np.array([compare([matrix(draw(rng, items))], [matrix(draw(rng, items))]).p for _ in range(200)])
    assert np.mean(p < 0.05) <= 0.09


def test_a_fairer_prompt_is_recognised() -> None:
    rng = np.random.default_rng(67)
    p = [compare([matrix(coins(rng, 300))], [matrix(coins(rng, 300, 5 * PATTERN))]) for _ in range(40)]
    assert np.mean([one.p < 0.05 and one.difference < 0 for one in p]) > 0.9


def test_the_standard_error_of_a_comparison_is_the_spread_of_its_differences() -> None:
    rng = np.random.default_rng(71)
    found = [compare([matrix(coins(rng, 100, 4 * PATTERN))], [matrix(coins(rng, 100))]) for _ in range(200)]
    spread = float(np.std([one.difference for one in found]))
    assert float(np.mean([one.se for one in found])) == pytest.approx(spread, rel=0.2)


def test_paired_means_are_compared_with_the_noise_of_their_difference() -> None:
    rng = np.random.default_rng(73)
    scores = coins(rng, 100)
    worse = scores.copy()
    worse[:, :5] = 0.0
    found = compare_means([matrix(worse)], [matrix(scores)], "utility")
    assert found.difference == pytest.approx(worse.mean() - scores.mean())
    assert found.se < estimate([matrix(scores)]).axes["utility"].mean
    assert found.interval.high < 1.0
    with pytest.raises(IncompleteMatrix, match="safety"):
        compare_means([matrix(worse)], [matrix(scores)], "safety")


def test_prompts_that_no_item_told_apart_are_not_known_to_be_equal() -> None:
    row = coins(np.random.default_rng(97), 40)[0]
    alike = [matrix(np.tile(row, (IDENTITIES, 1)))]
    found = compare(alike, alike)
    assert (found.difference, found.se, found.p) == (0.0, 0.0, 1.0)
    assert found.interval.high == pytest.approx(estimate(alike).interval.high ** 2)
    assert found.interval.low == -found.interval.high


@pytest.mark.parametrize("draw", [coins, shared_coins])
def test_the_interval_of_a_difference_covers_it_also_where_few_items_tell_identities_apart(
    draw: Callable[[np.random.Generator, int, FloatArray], FloatArray],
) -> None:
    rng, group = np.random.default_rng(101), np.where(np.arange(IDENTITIES) < 8, -6.0, 0.0)
    truth = float(np.var(group) - np.var(group / 2.0))
    held = []
    for _ in range(150):
        found = compare([matrix(draw(rng, 80, group))], [matrix(draw(rng, 80, group / 2.0))])
        held.append(found.interval.low <= truth <= found.interval.high)
        assert (found.p < 0.05) == (not found.interval.low <= 0.0 <= found.interval.high)
    assert np.mean(held) >= 0.92

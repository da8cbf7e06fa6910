from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.bias import compare, estimate
from defender.errors import IncompleteMatrix
from defender.excess import excess
from defender.records import FloatArray, OutcomeMatrix
from tests.worlds import IDENTITIES, OTHER, PATTERN, QUICK, coins, matrix, shared_coins, two


def pair(seed: int, items: int, first: float, second: float) -> tuple[list[OutcomeMatrix], list[OutcomeMatrix]]:
    """Two prompts that answer the same items; effects in points, one draw an item."""

    def side(size: float) -> list[OutcomeMatrix]:
        rng = np.random.default_rng(seed)  # the same difficulties and draws for both
        return two(shared_coins(rng, items, size * PATTERN), shared_coins(rng, items, size * OTHER))

    return side(first), side(second)


def graded(seed: int, items: int, size: float, hit_U: FloatArray) -> list[OutcomeMatrix]:
    """Likelihoods: items differ in how much anybody's treatment moves them."""
    rng = np.random.default_rng(seed)

    def scores() -> FloatArray:
        moved_U_I = hit_U[:, None] * size * rng.lognormal(0.0, 0.5, items)
        return np.clip(60.0 + moved_U_I + rng.normal(0.0, 1.0, (IDENTITIES, items)), 0.0, 100.0)

    return two(scores(), scores())


def test_it_reports_the_pb_of_both_on_the_items_they_share() -> None:
    first, second = pair(1, 60, 8.0, 2.0)
    found = excess(first, second)
    assert (found.first, found.second) == pytest.approx((estimate(first).pb, estimate(second).pb))
    assert found.items == 60


def test_a_larger_bias_is_shown_and_a_smaller_one_never() -> None:
    first, second = pair(2, 200, 8.0, 2.0)
    assert excess(first, second).p < 1e-3
    assert excess(second, first).p == 1.0
    assert excess(first, first).p == 1.0


def test_what_everybody_shares_cancels_so_graded_answers_show_it_on_few_items() -> None:
    worse, better = graded(3, 12, 4.0, PATTERN), graded(3, 12, 2.0, PATTERN)
    assert excess(worse, better).p < 1e-4
    assert compare(worse, better).p / 2 > 1e-3, "the difference of squares needs more"


def test_the_margin_is_in_points_of_pb_and_takes_evidence_away() -> None:
    first, second = graded(4, 12, 4.0, PATTERN), graded(4, 12, 2.0, PATTERN)
    found = [excess(first, second, margin=margin).p for margin in (0.0, 0.5, 1.5, 5.0)]
    assert found == sorted(found)
    assert found[0] < found[2]
    assert found[3] == 1.0, "they differ by less than 5 points"


def test_identity_and_item_order_do_not_matter() -> None:
    first, second = pair(5, 40, 9.0, 4.0)
    turned = [
        OutcomeMatrix(
            m.benchmark, m.axis, m.identities[::-1], m.items[::-1], m.score_U_I[::-1, ::-1], m.repeats_U_I[::-1, ::-1]
        )
        for m in reversed(first)
    ]
    assert excess(turned, second).p == pytest.approx(excess(first, second).p)


def test_where_every_item_says_the_same_the_sign_test_has_the_word() -> None:
    fair = [matrix(np.full((2, 10), 50.0))]
    unfair = [matrix(np.tile(np.array([[50.0], [60.0]]), (1, 10)))]
    assert excess(unfair, fair).p == pytest.approx(2.0**-9)
    assert excess(fair, unfair).p == 1.0


def test_one_odd_item_is_no_evidence() -> None:
    clean_U_I = np.full((IDENTITIES, 16), 100.0)
    odd_U_I = clean_U_I.copy()
    odd_U_I[:7, 3] = 0.0
    assert excess(two(odd_U_I, clean_U_I), two(clean_U_I, clean_U_I)).p > 0.05


def test_different_benchmarks_are_refused() -> None:
    with pytest.raises(IncompleteMatrix, match="same benchmarks"):
        excess([matrix(np.full((2, 5), 1.0))], [matrix(np.full((2, 5), 1.0), "other")])


@QUICK
@given(st.integers(0, 10_000), st.integers(6, 30), st.floats(0.0, 1.0))
def test_p_is_a_probability_and_one_side_at_most_is_small(seed: int, items: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    one, other = (two(coins(rng, items, 5.0 * PATTERN), coins(rng, items)) for _ in range(2))
    found = [excess(one, other, margin=margin).p, excess(other, one, margin=margin).p]
    assert all(0.0 <= p <= 1.0 for p in found)
    assert max(found) == 1.0


Draw = Callable[[np.random.Generator, int, FloatArray], FloatArray]


@pytest.mark.parametrize("draw", [coins, shared_coins])
@pytest.mark.parametrize("items", [12, 48])
def test_equals_with_other_patterns_are_told_apart_no_more_often_than_said(draw: Draw, items: int) -> None:
    rng = np.random.default_rng(items)
    found = []
    for _ in range(200):
        roll = int(rng.integers(1, IDENTITIES))
        one = two(draw(rng, items, 6.0 * PATTERN), draw(rng, items, 4.0 * OTHER))
        other = two(draw(rng, items, 6.0 * np.roll(PATTERN, roll)), draw(rng, items, 4.0 * np.roll(OTHER, roll)))
        found += [excess(one, other).p, excess(other, one).p]
    assert np.mean(np.array(found) < 0.05) < 0.08
    assert np.mean(np.array(found) < 0.005) < 0.02

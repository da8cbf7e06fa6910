from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.deviations import deviations, standings
from defender.errors import IncompleteMatrix
from defender.records import FloatArray
from tests.worlds import IDENTITIES, PATTERN, QUICK, coins, matrix, score_arrays, shared_coins, two


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_deviations_hold_for_all_identities_at_once(level: float) -> None:
    rng = np.random.default_rng(79)
    hit = 0
    for _ in range(100):
        found = deviations([matrix(coins(rng, 60, 3 * PATTERN))], level=level)
        truth = zip(found, 3 * PATTERN, strict=True)
        hit += all(one.interval.low <= true <= one.interval.high for one, true in truth)
    assert hit >= 100 * level - 8


def test_the_worst_gap_names_who_loses_most() -> None:
    rng = np.random.default_rng(83)
    hurt = -40.0 * np.eye(IDENTITIES)[8]
    safety, utility = standings(two(coins(rng, 80), coins(rng, 80, hurt, 0.5, 0.9)))
    assert (safety.axis, utility.axis) == ("safety", "utility")
    assert safety.worst == "identity-08"
    assert safety.gap == pytest.approx(40.0, abs=15.0)
    assert safety.gap_interval.low > 15.0
    assert utility.gap_interval.low == 0.0


@QUICK
@given(score_arrays)
def test_gap_and_range_are_what_the_identity_means_say(scores: FloatArray) -> None:
    (found,) = standings([matrix(scores)])
    means = scores.mean(axis=1)
    assert found.gap == pytest.approx(means.mean() - means.min(), abs=1e-9)
    assert found.range == pytest.approx(means.max() - means.min(), abs=1e-9)
    assert [one.deviation for one in found.deviations] == pytest.approx(means - means.mean(), abs=1e-9)
    assert sum(one.deviation for one in found.deviations) == pytest.approx(0.0, abs=1e-9)


@QUICK
@given(score_arrays, st.floats(0, 50), st.floats(0.1, 1.0))
def test_adding_points_changes_nothing_and_scaling_scales(scores: FloatArray, points: float, factor: float) -> None:
    (before,), (moved,) = standings([matrix(scores / 2)]), standings([matrix(scores / 2 + points)])
    (scaled,) = standings([matrix(scores / 2 * factor)])
    assert moved.gap_interval.high == pytest.approx(before.gap_interval.high, rel=1e-6, abs=1e-6)
    assert scaled.gap == pytest.approx(before.gap * factor, rel=1e-6, abs=1e-7)
    if before.gap_noise > 0.0:  # where nothing differs, what is unseen does not scale
        assert scaled.range_interval.high == pytest.approx(before.range_interval.high * factor, rel=1e-6, abs=1e-6)


def test_a_fair_models_gap_is_its_noise_and_its_interval_reaches_0() -> None:
    rng = np.random.default_rng(97)
    found = [standings([matrix(coins(rng, 60))])[0] for _ in range(40)]
    assert np.mean([one.gap for one in found]) == pytest.approx(np.mean([one.gap_noise for one in found]), rel=0.1)
    assert np.mean([one.range for one in found]) == pytest.approx(np.mean([one.range_noise for one in found]), rel=0.1)
    assert np.mean([one.gap_interval.low == 0.0 for one in found]) >= 0.9


def test_noise_that_all_share_is_not_held_against_anybody() -> None:
    rng = np.random.default_rng(101)
    own, shared = (standings([matrix(draw(rng, 100, PATTERN))])[0] for draw in (coins, shared_coins))
    assert shared.gap_noise < own.gap_noise / 3.0


def test_an_identity_that_was_never_wrong_is_not_known_exactly() -> None:
    scores = coins(np.random.default_rng(89), 30, 0.0, 0.95, 0.97)
    scores[4] = 100.0
    gap = {one.identity: one.interval for one in deviations([matrix(scores)])}["identity-04"]
    assert gap.high - gap.low > 5.0


def test_identities_with_the_same_answers_stand_alike() -> None:
    scores = coins(np.random.default_rng(103), 40)
    scores[7] = scores[2]
    found = {one.identity: one for one in deviations([matrix(scores)])}
    assert found["identity-07"] == replace(found["identity-02"], identity="identity-07")


def test_identities_answered_alike_deviate_by_nothing_but_unseen_items_may_differ() -> None:
    (found,) = standings([matrix(np.tile(coins(np.random.default_rng(107), 50)[0], (IDENTITIES, 1)))])
    assert (found.gap, found.range, found.gap_noise) == (0.0, 0.0, 0.0)
    assert found.gap_interval.low == 0.0
    assert found.gap_interval.high > 5.0


def test_one_identity_alone_deviates_from_nobody() -> None:
    (found,) = standings([matrix(coins(np.random.default_rng(109), 20)[:1])])
    assert (found.gap, found.gap_interval.high, found.range_interval.high) == (0.0, 0.0, 0.0)


def test_too_many_missing_items_are_refused_here_too() -> None:
    holed = coins(np.random.default_rng(113), 40)
    holed[3, :5] = np.nan
    with pytest.raises(IncompleteMatrix, match="5 of 40"):
        standings([matrix(holed)])

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from defender.bias import compare, estimate, mean_bounds, pb_raw_of_means
from defender.deviations import standings
from defender.errors import ConfigError, IncompleteMatrix
from defender.records import FloatArray
from tests.worlds import (
    IDENTITIES,
    PATTERN,
    QUICK,
    WORLDS,
    by_definition,
    coins,
    matrix,
    pairs_of_arrays,
    score_arrays,
    two,
)


@QUICK
@given(pairs_of_arrays)
def test_pb_is_what_the_definition_says(scores: tuple[FloatArray, FloatArray]) -> None:
    found = estimate(two(*scores))
    raw, corrected2 = by_definition(two(*scores))
    assert found.pb_raw == pytest.approx(raw, abs=1e-9)
    assert found.corrected2 == pytest.approx(corrected2, abs=1e-9)
    assert found.noise_floor**2 == pytest.approx(raw**2 - corrected2, abs=1e-9)
    assert found.pb == pytest.approx(math.sqrt(max(0.0, found.corrected2)))
    assert found.interval.low - 1e-9 <= found.pb <= found.interval.high + 1e-9


@QUICK
@given(score_arrays, st.randoms(use_true_random=False))
def test_the_order_of_identities_and_items_changes_no_digit(scores: FloatArray, shuffler: Random) -> None:
    straight = matrix(scores)
    rows, columns = list(range(scores.shape[0])), list(range(scores.shape[1]))
    shuffler.shuffle(rows)
    shuffler.shuffle(columns)
    shuffled = replace(
        straight,
        identities=tuple(straight.identities[row] for row in rows),
        items=tuple(straight.items[column] for column in columns),
        score_U_I=scores[np.ix_(rows, columns)],
    )
    safety = matrix(100.0 - scores, "do_not_answer", "safety")
    assert estimate([straight, safety]) == estimate([safety, shuffled])
    assert compare([straight], [replace(straight, score_U_I=100.0 - scores)]) == compare(
        [shuffled], [replace(straight, score_U_I=100.0 - scores)]
    )
    assert standings([straight]) == standings([shuffled])


@QUICK
@given(score_arrays, st.floats(0, 50))
def test_adding_the_same_points_to_everybody_changes_no_bias(scores: FloatArray, points: float) -> None:
    before, after = estimate([matrix(scores / 2)]), estimate([matrix(scores / 2 + points)])
    assert after.corrected2 == pytest.approx(before.corrected2, abs=1e-7)
    assert after.interval.high == pytest.approx(before.interval.high, abs=1e-6)
    assert after.axes["utility"].mean == pytest.approx(before.axes["utility"].mean + points)


@QUICK
@given(score_arrays, st.floats(0.1, 0.9))
def test_bias_scales_with_the_scores(scores: FloatArray, factor: float) -> None:
    before, after = estimate([matrix(scores)]), estimate([matrix(scores * factor)])
    assert after.pb_raw == pytest.approx(before.pb_raw * factor, abs=1e-7)
    assert after.corrected2 == pytest.approx(before.corrected2 * factor**2, abs=1e-7)


@QUICK
@given(arrays(np.float64, 9, elements=st.floats(0, 100)))
def test_identities_answered_alike_have_no_bias_but_the_interval_is_not_a_point(row: FloatArray) -> None:
    found = estimate([matrix(np.tile(row, (IDENTITIES, 1)))])
    assert found.pb_raw == 0.0
    assert found.noise_floor == 0.0
    assert found.interval.low == 0.0
    assert found.interval.high > 5.0, "nine items cannot rule a difference out"


def test_the_papers_table_is_reproduced_from_its_means() -> None:
    utility, safety = [61.4, 60.2, 58.9, 61.1], [97.0, 95.5, 96.2, 93.1]
    points = np.array([utility, safety]).T
    by_distance = math.sqrt(float(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1))))
    assert pb_raw_of_means({"utility": utility, "safety": safety}) == pytest.approx(by_distance, abs=1e-12)
    assert pb_raw_of_means({"utility": utility}) == pytest.approx(float(np.std(utility)), abs=1e-12)


def test_the_papers_pb_of_a_matrix_is_the_pb_of_its_means() -> None:
    rng = np.random.default_rng(3)
    found = estimate(two(coins(rng, 40, 3 * PATTERN), coins(rng, 25)))
    means = {axis: list(found.axes[axis].by_identity.values()) for axis in ("utility", "safety")}
    assert pb_raw_of_means(means) == pytest.approx(found.pb_raw, abs=1e-9)


def test_a_fair_model_shows_the_papers_pb_but_no_corrected_one() -> None:
    rng = np.random.default_rng(7)
    found = [estimate(two(coins(rng, 60), coins(rng, 60, 0.0, 0.7, 0.9))) for _ in range(200)]
    raw = float(np.mean([one.pb_raw for one in found]))
    corrected2 = np.array([one.corrected2 for one in found])
    assert raw > 5.0
    assert raw == pytest.approx(float(np.mean([one.noise_floor for one in found])), rel=0.05)
    assert abs(corrected2.mean()) < 3.0 * corrected2.std() / math.sqrt(len(found))


@pytest.mark.parametrize(("items", "least"), [(30, 0.9), (200, 0.92)])
@pytest.mark.parametrize("world", WORLDS)
def test_the_estimate_is_unbiased_and_the_interval_covers_the_truth(world: str, items: int, least: float) -> None:
    truth, draw = WORLDS[world]
    rng = np.random.default_rng(items)
    found = [estimate(draw(rng, items)) for _ in range(150)]
    corrected2 = np.array([one.corrected2 for one in found])
    assert abs(corrected2.mean() - truth**2) < 3.5 * corrected2.std() / math.sqrt(len(found))
    covered = np.mean([one.interval.low <= truth <= one.interval.high for one in found])
    assert covered >= least


def test_the_interval_is_not_so_wide_that_it_says_nothing() -> None:
    rng = np.random.default_rng(11)
    found = [estimate(WORLDS["safety only"][1](rng, 300)).interval for _ in range(60)]
    assert np.median([interval.low for interval in found]) > 2.0
    assert np.median([interval.high for interval in found]) < 6.0


def test_an_axis_mean_has_an_interval_that_covers_even_near_the_ceiling() -> None:
    rng = np.random.default_rng(13)
    for chance in (0.6, 0.97):
        found = [
            estimate([matrix(np.tile(100.0 * (rng.random(60) < chance), (2, 1)))]).axes["utility"].mean_interval
            for _ in range(300)
        ]
        assert np.mean([interval.low <= 100 * chance <= interval.high for interval in found]) >= 0.92


def test_a_perfect_score_on_thirty_items_is_not_known_to_be_perfect() -> None:
    low, high = mean_bounds([matrix(np.full((4, 30), 100.0))], "utility")
    assert 85.0 < low < 95.0
    assert high == 100.0


def test_a_benchmarks_weight_counts_within_its_axis() -> None:
    rng = np.random.default_rng(17)
    parts = [matrix(coins(rng, 20), "mmlu"), matrix(coins(rng, 35), "gsm8k")]
    found = estimate(parts, weights={"mmlu": 3.0, "gsm8k": 1.0})
    means = [part.score_U_I.mean(axis=1) for part in parts]
    assert list(found.axes["utility"].by_identity.values()) == pytest.approx(0.75 * means[0] + 0.25 * means[1])
    noise2 = 0.75**2 * found.benchmarks["mmlu"].noise2 + 0.25**2 * found.benchmarks["gsm8k"].noise2
    assert found.axes["utility"].noise2 == pytest.approx(noise2)
    assert estimate(parts, weights={"mmlu": 30.0, "gsm8k": 10.0}) == found


def test_the_number_of_items_does_not_weigh_a_benchmark() -> None:
    rng = np.random.default_rng(19)
    found = estimate([matrix(coins(rng, 10), "mbpp"), matrix(coins(rng, 90), "mmlu")])
    assert found.axes["utility"].mean == pytest.approx(
        (found.benchmarks["mbpp"].mean + found.benchmarks["mmlu"].mean) / 2
    )
    assert found.axes["utility"].items == 100


def test_over_refusal_is_estimated_but_stays_out_of_pb() -> None:
    rng = np.random.default_rng(23)
    base = two(coins(rng, 20), coins(rng, 20))
    guarded = estimate([*base, matrix(coins(rng, 20, 5 * PATTERN), "xstest", "over_refusal")])
    assert guarded.axes["over_refusal"].s2 > 0
    assert (guarded.pb_raw, guarded.interval) == (estimate(base).pb_raw, estimate(base).interval)


def test_an_item_missing_for_one_identity_leaves_for_all() -> None:
    scores = coins(np.random.default_rng(29), 40)
    holed = scores.copy()
    holed[3, [5, 6]] = np.nan
    found = estimate([matrix(holed)])
    kept = np.delete(scores, [5, 6], axis=1)
    assert found.axes["utility"].dropped == 2
    assert found.axes["utility"].items == 38
    assert found.pb_raw == pytest.approx(by_definition([matrix(kept)])[0], abs=1e-9)


def test_too_many_missing_items_are_refused_with_counts_and_reasons() -> None:
    holed = coins(np.random.default_rng(31), 40)
    holed[3, :5] = np.nan
    lacking = {"identity-03": {"timeout": 4, "judge": 1}, "identity-04": {}}
    with pytest.raises(
        IncompleteMatrix, match=r"mmlu: .*5 of 40 .*identity-03 judge 1, timeout 4.*run the same"
    ) as seen:
        estimate([matrix(holed, missing=lacking)])
    assert "identity-04" not in str(seen.value)
    assert estimate([matrix(holed)], max_missing=0.2).axes["utility"].dropped == 5


@pytest.mark.parametrize("items", [0, 1, 2])
def test_the_noise_of_one_or_two_items_is_unknown_and_said_so(items: int) -> None:
    with pytest.raises(IncompleteMatrix, match="at least 3 items"):
        estimate([matrix(np.full((4, items), 100.0))])


def test_one_identity_has_no_bias_by_definition() -> None:
    found = estimate([matrix(coins(np.random.default_rng(37), 50)[:1])])
    assert (found.pb_raw, found.noise_floor, found.interval.low, found.interval.high) == (0.0, 0.0, 0.0, 0.0)
    assert found.axes["utility"].mean_interval.low < found.axes["utility"].mean


def test_matrices_that_do_not_belong_together_are_refused() -> None:
    rng = np.random.default_rng(41)
    full, few = matrix(coins(rng, 10)), matrix(coins(rng, 10)[:5], "do_not_answer", "safety")
    with pytest.raises(IncompleteMatrix, match="same identities"):
        estimate([full, few])
    with pytest.raises(IncompleteMatrix, match="same benchmarks"):
        compare([full], [few])
    with pytest.raises(ConfigError, match="once"):
        estimate([full, full])
    with pytest.raises(ConfigError, match="utility or safety"):
        estimate([replace(full, axis="over_refusal")])
    with pytest.raises(ConfigError, match="weights"):
        estimate([full], weights={"mlmu": 1.0})
    with pytest.raises(ConfigError, match="finite"):
        estimate([full], weights={"mmlu": float("inf")})
    with pytest.raises(IncompleteMatrix, match="at least one identity"):
        estimate([matrix(np.zeros((0, 5)))])
    with pytest.raises(ValueError, match="percent"):
        estimate([matrix(np.full((3, 5), 101.0))])
    with pytest.raises(ValueError, match="shape"):
        estimate([replace(full, items=full.items[1:])])


@QUICK
@given(pairs_of_arrays)
def test_every_interval_contains_its_estimate(scores: tuple[FloatArray, FloatArray]) -> None:
    found = estimate(two(*scores))
    for axis in found.axes.values():
        assert axis.mean_interval.low - 1e-9 <= axis.mean <= axis.mean_interval.high + 1e-9
    for standing in standings(two(*scores)):
        assert standing.gap_interval.low - 1e-9 <= standing.gap <= standing.gap_interval.high + 1e-9
        assert standing.range_interval.low - 1e-9 <= standing.range <= standing.range_interval.high + 1e-9
        for one in standing.deviations:
            assert one.interval.low <= one.deviation <= one.interval.high


@pytest.mark.parametrize("items", [200, 285, 1000])
def test_where_few_items_tell_a_group_apart_the_coverage_is_exactly_what_is_promised(items: int) -> None:
    """A group loses an item in 6 % of the cases, everybody else never: all that varies is how many items it lost."""
    group, touched = 8, 0.06
    truth = 100.0 * touched * math.sqrt(group * (IDENTITIES - group)) / IDENTITIES
    covered = 0.0
    for lost in range(items + 1):
        log_chance = (
            math.lgamma(items + 1) - math.lgamma(lost + 1) - math.lgamma(items - lost + 1)
            + lost * math.log(touched) + (items - lost) * math.log(1.0 - touched)
        )  # fmt: skip
        if log_chance > -14.0:
            scores = np.full((IDENTITIES, items), 100.0)
            scores[:group, :lost] = 0.0
            interval = estimate([matrix(scores)]).interval
            covered += math.exp(log_chance) * (interval.low <= truth <= interval.high)
    assert 0.93 <= covered <= 0.97

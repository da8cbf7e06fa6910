"""What the measure does with matrices that are not whole, not alike, or not of one size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from defender.bias import compare, estimate
from defender.errors import IncompleteMatrix
from defender.records import FloatArray
from defender.samples import among, averaged, complete
from tests.worlds import IDENTITIES, PATTERN, QUICK, by_definition, coins, matrix, score_arrays, two


def test_repeats_are_averaged_and_halve_the_noise_not_the_bias() -> None:
    rng = np.random.default_rng(3)
    chance_U_I = rng.uniform(0.35, 0.85, 80) + 0.04 * PATTERN[:, None]
    draws = 100.0 * (rng.random((60, 8, IDENTITIES, 80)) < chance_U_I)
    once = [estimate([matrix(one[0])]) for one in draws]
    often = [estimate([matrix(one.mean(axis=0))]) for one in draws]
    # what an item does to one identity alone would stay; there is none here
    assert np.mean([one.noise_floor**2 for one in often]) == pytest.approx(
        np.mean([one.noise_floor**2 for one in once]) / 8.0, rel=0.05
    )
    assert np.mean([one.corrected2 for one in often]) == pytest.approx(16.0, rel=0.1)
    assert np.mean([one.corrected2 for one in once]) == pytest.approx(16.0, rel=0.2)


def test_a_cell_that_lost_a_repeat_counts_with_those_it_has() -> None:
    rng = np.random.default_rng(5)
    draws = coins(rng, 40), coins(rng, 40)
    mean = (draws[0] + draws[1]) / 2.0
    mean[3, 7] = draws[0][3, 7]
    assert estimate([matrix(mean)]).axes["utility"].items == 40


def test_benchmarks_of_unequal_size_weigh_alike_and_the_smaller_brings_more_noise() -> None:
    rng = np.random.default_rng(7)
    parts = [matrix(coins(rng, 25), "mbpp"), matrix(coins(rng, 400), "mmlu")]
    found = estimate(parts)
    assert found.pb_raw == pytest.approx(by_definition(parts)[0], abs=1e-9)
    assert found.corrected2 == pytest.approx(by_definition(parts)[1], abs=1e-9)
    assert found.benchmarks["mbpp"].noise2 > 10.0 * found.benchmarks["mmlu"].noise2
    assert found.axes["utility"].noise2 == pytest.approx(
        (found.benchmarks["mbpp"].noise2 + found.benchmarks["mmlu"].noise2) / 4.0
    )


def test_an_identity_that_one_benchmark_lacks_is_named() -> None:
    rng = np.random.default_rng(11)
    full, short = matrix(coins(rng, 10)), matrix(coins(rng, 10)[:-1], "do_not_answer", "safety")
    with pytest.raises(IncompleteMatrix, match=r"do_not_answer 30 \(without identity-30\), mmlu 31; measure all"):
        estimate([full, short])


def test_an_identity_without_any_score_is_named_and_no_one_else() -> None:
    scores = coins(np.random.default_rng(13), 40)
    scores[5] = np.nan
    with pytest.raises(IncompleteMatrix, match=r"got 0 of 40: .*no score at all for identity-05; "):
        estimate([matrix(scores)])
    with pytest.raises(IncompleteMatrix) as seen:
        estimate([matrix(np.full((3, 10), np.nan))])
    assert "no score at all" not in str(seen.value)


def test_missing_items_change_the_size_of_the_sample_only() -> None:
    rng = np.random.default_rng(17)
    scores = coins(rng, 60, 3 * PATTERN)
    holed = scores.copy()
    holed[rng.integers(0, IDENTITIES, 5), [3, 14, 15, 41, 59]] = np.nan
    whole = np.isfinite(holed).all(axis=0)
    assert estimate([matrix(holed)]).corrected2 == pytest.approx(estimate([matrix(scores[:, whole])]).corrected2)
    assert estimate([matrix(holed)]).interval == estimate([matrix(scores[:, whole])]).interval
    assert compare([matrix(holed)], [matrix(scores)]).difference == 0.0


def test_rows_that_are_all_alike_have_no_bias_and_compare_as_the_sign_test_says() -> None:
    row = coins(np.random.default_rng(19), 12)[0]
    alike = [matrix(np.tile(row, (IDENTITIES, 1)))]
    assert (estimate(alike).pb, estimate(alike).noise_floor) == (0.0, 0.0)
    assert compare(alike, alike).p == 1.0
    constant = np.tile(row / 2.0, (IDENTITIES, 1))
    constant[0] += 40.0
    apart = compare([matrix(constant)], alike)
    assert (apart.se, apart.p) == (0.0, 2.0**-11)


def test_two_identities_answered_alike_are_no_special_case() -> None:
    scores = coins(np.random.default_rng(23), 50)
    scores[9] = scores[4]
    found = estimate(two(scores, scores))
    assert found.corrected2 == pytest.approx(by_definition(two(scores, scores))[1], abs=1e-9)
    assert found.interval.low <= found.pb <= found.interval.high


@QUICK
@given(score_arrays)
def test_group_means_leave_what_differs_between_groups(scores: FloatArray) -> None:
    (sample,) = complete([matrix(scores)], None)
    groups = [list(range(0, len(scores), 2)), list(range(1, len(scores), 2))]
    found = averaged(sample, groups).score_U_I
    assert found.mean(axis=0) == pytest.approx(scores.mean(axis=0), abs=1e-9)
    for rows in groups:
        assert np.ptp(found[rows], axis=0) == pytest.approx(0.0, abs=1e-9)
        assert (among(sample, rows).score_U_I == scores[rows]).all()
        assert among(sample, rows).identities == tuple(sample.identities[row] for row in rows)

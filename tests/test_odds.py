from __future__ import annotations

import numpy as np

from defender.odds import standing
from defender.records import FloatArray, OutcomeMatrix
from tests.worlds import PATTERN, matrix, shared_coins, two

MARGIN = 0.1


def entry(seed: int, items: int, size: float) -> list[OutcomeMatrix]:
    """A candidate of true PB ``size`` times the square root of 2, its draws shared with all of this seed."""
    rng = np.random.default_rng(seed)
    return two(shared_coins(rng, items, size * PATTERN), shared_coins(rng, items, size * PATTERN))


def nothing(count: int) -> list[list[tuple[float, float]]]:
    return [[] for _ in range(count)]


def test_who_is_far_below_all_others_needs_nobody_beside_it() -> None:
    found = standing([entry(1, 200, size) for size in (9.0, 1.0, 8.0, 10.0)], nothing(4), MARGIN)
    assert found is not None
    assert found.order[0] == 1
    assert found.chance[1] > 0.99
    assert found.fewest(0.01) == 1
    assert found.fewest(0.01, least=3) == 3
    assert found.fewest(0.01, least=9) == 4, "there are no more"


def test_the_risk_falls_with_everyone_that_goes_on_and_is_none_with_all() -> None:
    found = standing([entry(2, 24, size) for size in (2.0, 2.3, 2.6, 2.9, 3.2, 3.5)], nothing(6), MARGIN)
    assert found is not None
    assert list(found.risk) == sorted(found.risk, reverse=True)
    assert found.risk[-1] == 0.0
    assert sorted(found.order) == list(range(6))


def test_on_more_items_fewer_must_go_on() -> None:
    sizes = np.linspace(1.5, 6.0, 12)
    few, many = (standing([entry(3, items, size) for size in sizes], nothing(12), MARGIN) for items in (12, 400))
    assert few is not None
    assert many is not None
    assert many.fewest(0.02) < few.fewest(0.02)


def test_twins_are_as_good_as_each_other_and_one_of_them_is_enough() -> None:
    twin = entry(4, 100, 1.0)
    found = standing([twin, twin, entry(4, 100, 9.0)], nothing(3), MARGIN)
    assert found is not None
    assert found.chance[0] == found.chance[1] > 0.99
    assert found.fewest(0.001) == 1


def test_who_misses_a_floor_for_sure_is_not_the_best_however_fair() -> None:
    entries = [entry(5, 100, size) for size in (1.0, 6.0)]
    for short, error, likely in ((9.0, 1.0, (0.0, 0.01)), (-9.0, 1.0, (0.99, 1.0)), (0.0, 1.0, (0.45, 0.55))):
        found = standing(entries, [[(short, error)], [(-9.0, 1.0)]], MARGIN)
        assert found is not None
        assert likely[0] <= found.chance[0] <= likely[1]
    assert standing(entries, [[(9.0, 0.0)], [(9.0, 0.0)]], MARGIN) == ((0, 1), (0.0, 0.0), (0.0, 0.0)), "nobody can be"


def test_items_that_some_candidate_lacks_are_left_out_and_too_few_say_nothing() -> None:
    def hole(matrices: list[OutcomeMatrix], since: int) -> list[OutcomeMatrix]:
        torn: FloatArray = matrices[0].score_U_I.copy()
        torn[0, since:] = np.nan
        return [matrix(torn), *matrices[1:]]

    whole = [entry(6, 40, size) for size in (1.0, 6.0)]
    cut = [[matrix(side[0].score_U_I[:, :30]), side[1]] for side in whole]
    assert standing([whole[0], hole(whole[1], 30)], nothing(2), MARGIN) == standing(cut, nothing(2), MARGIN)
    assert standing([whole[0], hole(whole[1], 2)], nothing(2), MARGIN) is None


def test_everyone_alike_on_few_items_is_no_proof_that_one_is_enough() -> None:
    level = np.full((31, 6), 50.0)
    found = standing([two(level, level) for _ in range(8)], nothing(8), MARGIN)
    assert found is not None
    assert found.risk[0] > 0.5
    assert found.fewest(0.01) > 4


def test_the_risk_that_is_said_is_the_risk_that_is_run() -> None:
    said, lost = [], []
    for seed in range(60):
        sizes = np.random.default_rng(seed).lognormal(1.0, 0.4, 16)
        found = standing([entry(seed, 40, size) for size in sizes], nothing(16), MARGIN)
        assert found is not None
        width = found.fewest(0.1)
        said.append(found.risk[width - 1])
        lost.append(min(sizes[list(found.order[:width])]) > sizes.min() + MARGIN / np.sqrt(2.0))
    assert np.mean(lost) < 0.15
    assert 0.02 < np.mean(said) <= 0.1

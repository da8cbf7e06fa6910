from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from defender.kinship import LEAST, Lent, lend
from defender.records import FloatArray
from defender.samples import Sample
from defender.spread import leave_one_out
from tests.worlds import IDENTITIES, PATTERN, coins, ratings, shared_coins, two

SIZES = np.linspace(1.0, 5.0, 24)
"""True spread on each axis; true PB is the square root of 2 times as much."""

Group = list[Sample]


def group(scores: tuple[FloatArray, FloatArray], who: NDArray[np.int64] | None = None) -> Group:
    """A candidate's samples; ``who`` reorders the identities."""
    names = tuple(f"identity-{row:02d}" for row in range(IDENTITIES))
    rows = slice(None) if who is None else who
    return [Sample(m.benchmark, m.axis, 1.0, names, m.score_U_I[rows], 0) for m in two(*scores)]


def alike(seed: int, items: int, sizes: FloatArray = SIZES) -> list[Group]:
    """Candidates that scale one pattern, every cell drawing for itself."""
    rng = np.random.default_rng(seed)
    return [group((coins(rng, items, size * PATTERN), coins(rng, items, size * PATTERN))) for size in sizes]


def unrelated(seed: int, items: int) -> list[Group]:
    """Candidates that each set other identities apart."""
    rng = np.random.default_rng(seed)
    patterns = [(own - own.mean()) / own.std() for own in rng.normal(size=(len(SIZES), IDENTITIES))]
    return [
        group((coins(rng, items, size * own), coins(rng, items, size * own)))
        for size, own in zip(SIZES, patterns, strict=True)
    ]


def told(groups: list[Group]) -> FloatArray:
    """S2 - C of every candidate."""
    return np.array([sum(leave_one_out([sample])[0] for sample in one) for one in groups])


def error(found_C: FloatArray) -> float:
    """Root of the mean squared distance to the true PB^2."""
    return float(np.sqrt(np.mean((found_C - 2.0 * SIZES**2) ** 2)))


def test_candidates_that_are_alike_are_known_better_together_than_alone() -> None:
    alone, lent = [], []
    for seed in range(10):
        groups = alike(seed, 100)
        alone.append(error(told(groups)))
        lent.append(error(told(lend(groups).groups)))
    assert np.mean(lent) < 0.85 * np.mean(alone)


def test_where_patterns_are_unrelated_everyone_speaks_for_itself() -> None:
    for seed in range(5):
        groups = unrelated(seed, 100)
        lent = lend(groups)
        assert lent.share > 0.8
        assert error(told(lent.groups)) < 1.15 * error(told(groups))


def test_on_more_items_less_is_lent() -> None:
    rng = np.random.default_rng(2)
    own = rng.normal(size=(len(SIZES), IDENTITIES))
    shares = []
    for items in (24, 200, 1600):
        groups = []
        for size, beside in zip(SIZES, own - own.mean(axis=1, keepdims=True), strict=True):
            effect = size * PATTERN + 0.4 * size * beside
            groups.append(group((ratings(rng, items, effect), ratings(rng, items, effect))))
        shares.append(lend(groups).share)
    assert shares == sorted(shares)
    assert shares[-1] > 0.95, "what remains beside the pattern is plain by now"


@pytest.mark.parametrize("flat", [0.0, 50.0, 100.0])
def test_without_noise_nothing_changes(flat: float) -> None:
    level = np.full((IDENTITIES, 8), flat)
    steps = level if flat in (0.0, 100.0) else level + np.round(PATTERN)[:, None]
    groups = [group((level, size * (steps - level) + level)) for size in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert lend(groups) == Lent(groups, 1.0, 0.0)


def test_one_alone_and_too_few_keep_what_they_have() -> None:
    for count in range(LEAST):
        groups = alike(3, 12)[:count]
        assert lend(groups) == Lent(groups, 1.0, 0.0)


def test_one_candidate_that_never_differs_among_noisy_ones_shows_no_bias() -> None:
    level = np.full((IDENTITIES, 24), 100.0)
    groups = [*alike(4, 24), group((level, level))]
    lent = lend(groups)
    assert lent.share < 1.0
    assert told(lent.groups)[-1] == 0.0


def test_the_order_of_candidates_and_of_identities_changes_nothing() -> None:
    groups = alike(5, 30)
    found = lend(groups)
    assert lend(groups).share == found.share, "told twice, told the same"
    turned = np.random.default_rng(0).permutation(len(groups))
    again = lend([groups[place] for place in turned])
    assert again.share == pytest.approx(found.share)
    assert told(again.groups) == pytest.approx(told(found.groups)[turned])
    who = np.random.default_rng(1).permutation(IDENTITIES)
    renamed = lend([group((one[0].score_U_I, one[1].score_U_I), who) for one in groups])
    assert renamed.share == pytest.approx(found.share)
    assert told(renamed.groups) == pytest.approx(told(found.groups))


def test_twins_are_told_the_same() -> None:
    groups = alike(6, 24)
    found = told(lend([*groups, groups[0]]).groups)
    assert found[0] == found[-1]


def test_one_axis_alone_and_two_benchmarks_on_it_will_do() -> None:
    groups = [one[:1] for one in alike(7, 60)]
    lent = lend(groups)
    assert lent.share < 1.0
    halves = [
        [Sample(name, "utility", 0.5, s.identities, s.score_U_I[:, part], 0) for name, part in parts]
        for (s,) in groups
        for parts in [(("first", slice(30)), ("second", slice(30, 60)))]
    ]
    together = lend(halves)
    assert [len(one) for one in together.groups] == [2] * len(SIZES)
    assert together.share == pytest.approx(lent.share, abs=0.2)


def test_the_best_is_not_passed_over_for_having_a_pattern_of_its_own() -> None:
    alone, lent = [], []
    for seed in range(8):
        rng = np.random.default_rng([11, seed])
        own = 0.5 * np.roll(PATTERN, 11)
        groups = [*alike(20 + seed, 100), group((coins(rng, 100, own), coins(rng, 100, own)))]
        alone.append(int((told(groups) < told(groups)[-1]).sum()))
        lent.append(int((told(lend(groups).groups) < told(lend(groups).groups)[-1]).sum()))
    assert np.mean(lent) <= np.mean(alone)


def test_a_draw_shared_by_all_leaves_those_that_differ_where_they_were() -> None:
    groups = []
    for size in SIZES:
        rng = np.random.default_rng(10)
        groups.append(group((shared_coins(rng, 200, size * PATTERN), shared_coins(rng, 200, size * PATTERN))))
    before, after = told(groups), told(lend(groups).groups)
    assert np.corrcoef(before, after)[0, 1] > 0.99

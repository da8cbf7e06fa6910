from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender.bias import estimate
from defender.components import Components, components
from defender.errors import IncompleteMatrix
from defender.records import FloatArray, Interval, OutcomeMatrix
from tests.worlds import IDENTITIES, PATTERN, matrix


def asked(
    rng: np.random.Generator, items: int, repeats: int, interaction: float = 0.0, shared: float = 0.0
) -> list[OutcomeMatrix]:
    """Ratings of sd ``interaction`` (item x identity) and 10 (draws), of which a part ``shared`` is common to all."""
    told_U_I = (
        50.0 + rng.normal(0, 6, items) + PATTERN[:, None] + interaction * rng.standard_normal((IDENTITIES, items))
    )
    return [
        matrix(
            np.clip(
                told_U_I
                + 10.0 * np.sqrt(shared) * rng.standard_normal(items)
                + 10.0 * np.sqrt(1.0 - shared) * rng.standard_normal((IDENTITIES, items)),
                0.0,
                100.0,
            )
        )
        for _ in range(repeats)
    ]


@pytest.mark.parametrize(("interaction", "shared"), [(0.0, 0.0), (5.0, 0.0), (5.0, 0.8)])
@pytest.mark.parametrize("repeats", [2, 4])
def test_the_components_are_those_that_were_planted(interaction: float, shared: float, repeats: int) -> None:
    rng = np.random.default_rng(3)
    found = [components(asked(rng, 60, repeats, interaction, shared)) for _ in range(40)]
    assert np.mean([one.item for one in found]) == pytest.approx(interaction**2, abs=1.5)
    assert np.mean([one.draw for one in found]) == pytest.approx(100.0 * (1.0 - shared), rel=0.03)
    assert np.mean([one.plain for one in found]) == pytest.approx(100.0, rel=0.05)
    assert np.mean([one.shared for one in found]) == pytest.approx(shared, abs=0.05)


def test_the_interval_of_the_share_covers_it() -> None:
    rng, truth = np.random.default_rng(5), 100.0 / 125.0
    found = [components(asked(rng, 40, 2, 5.0)).share_interval for _ in range(200)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.91


def test_the_noise_it_foretells_is_the_noise_that_is_measured() -> None:
    rng = np.random.default_rng(7)
    pilot = components(asked(rng, 300, 3, 8.0))
    for items, repeats in ((80, 1), (40, 4)):
        measured = [asked(rng, items, repeats, 8.0) for _ in range(30)]
        noise2 = [estimate([matrix(np.mean([r.score_U_I for r in one], axis=0))]).noise_floor ** 2 for one in measured]
        assert pilot.noise2(items, repeats) == pytest.approx(float(np.mean(noise2)), rel=0.1)


def planted(item: float, draw: float) -> Components:
    return Components("mmlu", item, draw, draw, 0.5, Interval(0.0, 1.0), IDENTITIES, 100, 2)


@settings(deadline=None)
@given(st.floats(-5.0, 100.0), st.floats(0.01, 100.0), st.integers(1, 2000), st.integers(1, 500))
def test_no_split_of_the_same_requests_beats_the_best_one(item: float, draw: float, cells: int, pool: int) -> None:
    found = planted(item, draw)
    items, repeats = found.best(cells, pool)
    assert items * repeats <= cells
    assert items <= pool
    rival = min(found.noise2(size, cells // size) for size in range(1, min(cells, pool) + 1) if cells // size >= 1)
    # whole repeats of whole items: a smaller set that divides the budget better may be ahead by less than one repeat
    assert found.noise2(items, repeats) <= rival * (1.0 + 1.0 / repeats)
    if cells <= pool:
        assert (items, repeats) == (cells, 1)
        assert found.noise2(items, repeats) <= rival * (1.0 + 1e-9)


def test_repeats_are_worth_less_than_items_unless_all_noise_is_drawing() -> None:
    assert planted(0.0, 50.0).worth(4) == 1.0
    assert planted(-3.0, 50.0).worth(4) == 1.0
    assert planted(50.0, 50.0).worth(2) == pytest.approx(100.0 / 150.0)
    assert planted(50.0, 0.0).worth(5) == pytest.approx(0.2)


def test_likelihoods_have_no_drawing_noise_and_constant_scores_none_at_all() -> None:
    once = asked(np.random.default_rng(11), 30, 1, 5.0)[0]
    found = components([once, once])
    assert (found.draw, found.share, found.shared) == (0.0, 0.0, 0.0)
    assert found.item == pytest.approx(found.noise2(1, 1) * IDENTITIES / (IDENTITIES - 1))
    flat = matrix(np.full((4, 5), 70.0))
    assert components([flat, flat]).share_interval == Interval(0.0, 1.0)
    assert components([flat, flat]).worth(2) == 0.5


def test_items_and_identities_may_come_in_any_order_and_incomplete_items_leave() -> None:
    first, second = asked(np.random.default_rng(13), 20, 2)
    turned = replace(
        second,
        identities=second.identities[::-1],
        items=second.items[::-1],
        score_U_I=second.score_U_I[::-1, ::-1],
    )
    assert components([first, turned]) == components([first, second])
    holed: FloatArray = second.score_U_I.copy()
    holed[3, 4] = np.nan
    assert components([first, replace(second, score_U_I=holed)]).items == 19


def test_what_cannot_be_split_is_refused_and_says_what_would_do() -> None:
    first, second = asked(np.random.default_rng(17), 20, 2)
    with pytest.raises(IncompleteMatrix, match="at least 2 repeats"):
        components([first])
    with pytest.raises(IncompleteMatrix, match="of 2 kinds"):
        components([first, replace(second, benchmark="gsm8k")])
    with pytest.raises(IncompleteMatrix, match="at least 3 items"):
        components([matrix(one.score_U_I[:, :2]) for one in (first, second)])

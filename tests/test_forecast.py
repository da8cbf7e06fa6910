from __future__ import annotations

import numpy as np
import pytest

from defender.bias import compare, estimate
from defender.errors import IncompleteMatrix
from defender.forecast import POWER, Guess, Outlook, Pilot, items_for_power, items_for_width, outlook, sizes
from defender.records import OutcomeMatrix
from tests.worlds import PATTERN, coins, matrix, two

POOLS = {"mmlu": 1000, "do_not_answer": 1000}


def world(seed: int, items: int, pb: float) -> tuple[OutcomeMatrix, ...]:
    rng = np.random.default_rng(seed)
    return tuple(two(coins(rng, items, pb * PATTERN), coins(rng, items)))


@pytest.mark.parametrize("pb", [0.0, 4.0])
def test_pilots_foretell_the_width_that_a_larger_measurement_has(pb: float) -> None:
    pilots = [Pilot({"D4": world(seed, 150, pb)}, POOLS) for seed in range(10, 15)]
    told = float(np.median([outlook(pilot, 500).half_width["D4"] for pilot in pilots]))
    measured = np.median(
        [interval.high - interval.low for seed in range(5) for interval in [estimate(world(seed, 500, pb)).interval]]
    )
    assert told == pytest.approx(float(measured) / 2.0, rel=0.2)


def test_luck_of_the_pilot_is_not_taken_for_bias() -> None:
    small = world(3, 40, 0.0)
    pilot = Pilot({"D4": small}, POOLS)
    rng = np.random.default_rng(0)
    drawn = [estimate(pilot.draw(rng, 400)["D4"]).corrected2 for _ in range(30)]
    assert estimate(small).pb_raw > 8.0
    assert np.mean(drawn) == pytest.approx(pilot.squares["D4"], abs=3.0)


def test_a_real_effect_survives_the_drawing() -> None:
    pilot = Pilot({"D4": world(4, 400, 6.0)}, POOLS)
    rng = np.random.default_rng(0)
    drawn = [estimate(pilot.draw(rng, 800)["D4"]).corrected2 for _ in range(30)]
    assert np.mean(drawn) == pytest.approx(pilot.squares["D4"], rel=0.1)


def test_power_is_the_share_of_measurements_that_tell_the_pair_apart() -> None:
    guess = Guess({"D4": 3.0, "Original": 5.0}, {"mmlu": ("utility", 60.0)}, {"mmlu": 10_000}, 31)
    told = outlook(guess, 300, [("D4", "Original")]).power["D4", "Original"]
    rng = np.random.default_rng(7)
    found = [compare(drawn["D4"], drawn["Original"]).p < 0.05 for drawn in (guess.draw(rng, 300) for _ in range(200))]
    assert told == pytest.approx(np.mean(found), abs=0.15)


def test_more_comparisons_leave_less_power_for_each() -> None:
    guess = Guess({"a": 3.0, "b": 5.0, "c": 3.2}, {"mmlu": ("utility", 60.0)}, {"mmlu": 10_000}, 31)
    alone = outlook(guess, 300, [("a", "b")]).power["a", "b"]
    among = outlook(guess, 300, [("a", "b"), ("c", "b"), ("a", "c")]).power["a", "b"]
    assert among < alone


def test_a_small_benchmark_gives_no_more_items_than_it_has() -> None:
    guess = Guess({"a": 2.0}, {"mmlu": ("utility", 60.0), "xs": ("safety", 90.0)}, {"mmlu": 500, "xs": 50}, 31)
    drawn = guess.draw(np.random.default_rng(0), 200)["a"]
    assert {one.benchmark: len(one.items) for one in drawn} == {"mmlu": 200, "xs": 50}


def test_the_same_seed_gives_the_same_outlook() -> None:
    pilot = Pilot({"D4": world(1, 50, 2.0)}, POOLS)
    assert outlook(pilot, 100, seed=3) == outlook(pilot, 100, seed=3)
    assert outlook(pilot, 100, seed=3) != outlook(pilot, 100, seed=4)


def test_only_items_that_every_prompt_answered_are_drawn() -> None:
    first, second = world(1, 20, 2.0), world(2, 20, 2.0)
    scores = second[0].score_U_I.copy()
    scores[3, 5] = np.nan
    pilot = Pilot({"a": first, "b": (matrix(scores), second[1])}, POOLS)
    assert {name: len(found[1].items) for name, found in pilot.matrices.items()} == {"a": 19, "b": 19}


def test_a_pilot_without_common_items_is_refused() -> None:
    first, second = world(1, 20, 2.0), world(2, 20, 2.0)
    with pytest.raises(IncompleteMatrix, match=r"mmlu.*got 0; measure a pilot with more items"):
        Pilot({"a": first, "b": (matrix(np.full((31, 20), np.nan)), second[1])}, POOLS)


def look(items: int, width: float, power: float) -> Outlook:
    return Outlook(items, {"a": width}, {"a": width}, {("a", "b"): power})


def test_a_wish_between_two_sizes_is_interpolated_on_logarithms() -> None:
    looks = [look(100, 2.0, 0.4), look(400, 1.0, 0.9)]
    assert items_for_width(looks, np.sqrt(2.0)) == pytest.approx(200.0)
    assert 100 < items_for_power(looks, ("a", "b")) < 400
    assert items_for_width(looks, 3.0) == 100


def test_a_wish_that_all_items_do_not_fulfil_is_infinite() -> None:
    looks = [look(100, 2.0, 0.0), look(400, 1.0, POWER - 0.1)]
    assert items_for_width(looks, 0.5) == float("inf")
    assert items_for_power(looks, ("a", "b")) == float("inf")


def test_sizes_end_with_all_there_are() -> None:
    assert sizes(500) == (10, 20, 50, 100, 200, 500)
    assert sizes(938)[-2:] == (500, 938)
    assert sizes(7) == (7,)

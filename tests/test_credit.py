from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from defender.bias import estimate
from defender.credit import Credit, credits
from defender.errors import IncompleteMatrix
from defender.records import OutcomeMatrix
from defender.shapley import Coalition, exact_game, sampled_game
from tests.worlds import IDENTITIES, OTHER, PATTERN, coins, matrix

CLAUSES = ("strong", "weak", "idle")
CATEGORIES = {
    "first": tuple(f"identity-{row:02d}" for row in range(16)),
    "second": tuple(f"identity-{row:02d}" for row in range(16, IDENTITIES)),
}


def worth(items: int = 60, seed: int = 0) -> dict[Coalition, list[OutcomeMatrix]]:
    """Return what every combination measures: "strong" takes three quarters of the bias, "weak" a quarter of it."""
    found = {}
    for coalition in exact_game(CLAUSES).coalitions:
        fade = (0.25 if "strong" in coalition else 1.0) * (0.75 if "weak" in coalition else 1.0)
        draw = np.random.default_rng(seed)  # the same coins for all: only effects differ
        utility = coins(draw, items, 12.0 * fade * PATTERN) * 0.9 + (3.0 if "weak" in coalition else 0.0)
        safety = coins(draw, items, 6.0 * fade * OTHER)
        found[coalition] = [matrix(utility), matrix(safety, "do_not_answer", "safety")]
    return found


def of(found: tuple[Credit, ...], keep: Callable[[Credit], bool]) -> dict[str, float]:
    return {one.clause: one.value for one in found if keep(one)}


def test_values_sum_to_what_all_clauses_do_to_pb_squared_and_to_pb() -> None:
    told = worth()
    found = credits(exact_game(CLAUSES), told, CATEGORIES)
    everything, nothing = estimate(told[frozenset(CLAUSES)]), estimate(told[frozenset()])
    square = of(found, lambda one: one.quantity == "PB^2" and not one.part)
    points = of(found, lambda one: one.quantity == "PB")
    assert sum(square.values()) == pytest.approx(everything.corrected2 - nothing.corrected2)
    assert sum(points.values()) == pytest.approx(everything.pb - nothing.pb)
    assert square["strong"] < square["weak"] < 0
    assert square["idle"] == 0


def test_axes_sum_to_the_whole_and_so_do_categories_with_what_lies_between() -> None:
    found = credits(exact_game(CLAUSES), worth(), CATEGORIES)
    whole = of(found, lambda one: one.quantity == "PB^2" and not one.part)
    for clause, value in whole.items():
        axes = [c.value for c in found if c.clause == clause and c.kind == "axis" and c.quantity == "PB^2"]
        parts = [c.value for c in found if c.clause == clause and c.kind in ("category", "between") and not c.axis]
        assert len(axes) == 2
        assert len(parts) == 3
        assert sum(axes) == pytest.approx(value)
        assert sum(parts) == pytest.approx(value)


def test_means_of_axes_have_values_too() -> None:
    found = credits(exact_game(CLAUSES), worth(), CATEGORIES)
    utility = of(found, lambda one: one.quantity == "mean" and one.part == "utility")
    assert utility["weak"] == pytest.approx(3.0, abs=1.0)
    assert utility["idle"] == 0


def test_intervals_hold_what_more_items_show() -> None:
    clauses = CLAUSES[:2]
    game, some = exact_game(clauses), [frozenset(c) for c in ((), ("strong",), ("weak",), clauses)]

    def found(items: int, seed: int) -> list[Credit]:
        told = worth(items, seed)
        shown = credits(game, {coalition: told[coalition] for coalition in some}, CATEGORIES)
        return [one for one in shown if one.quantity == "PB^2" and not one.part]

    truth = {one.clause: one.value for one in found(600, 99)}
    inside = []
    for seed in range(8):
        for one in found(40, seed):
            assert one.interval is not None
            inside.append(one.interval.low <= truth[one.clause] <= one.interval.high)
    assert np.mean(inside) > 0.8


def test_a_clause_that_changes_no_answer_has_no_interval_of_width_0() -> None:
    found = credits(exact_game(CLAUSES), worth(), CATEGORIES)
    idle = next(one for one in found if one.clause == "idle" and one.quantity == "PB^2" and not one.part)
    assert idle.interval is None


def test_items_one_combination_lacks_count_for_none_and_too_few_are_refused() -> None:
    told = worth()
    nothing = told[frozenset()]
    gappy = nothing[0].score_U_I.copy()
    gappy[3, :10] = np.nan
    told[frozenset()] = [replace(nothing[0], score_U_I=gappy), nothing[1]]
    game = exact_game(CLAUSES)
    kept = {some: [replace(m, items=m.items[10:], score_U_I=m.score_U_I[:, 10:], repeats_U_I=m.repeats_U_I[:, 10:])
                   if m.axis == "utility" else m for m in found] for some, found in worth().items()}  # fmt: skip
    assert credits(game, told, CATEGORIES) == credits(game, kept, CATEGORIES)
    gappy[3, :] = np.nan
    with pytest.raises(IncompleteMatrix):
        credits(game, told, CATEGORIES)
    del told[frozenset({"weak"})]
    with pytest.raises(IncompleteMatrix, match="1 of 8 combinations"):
        credits(game, told, CATEGORIES)


def test_sampled_orders_widen_the_interval() -> None:
    game = sampled_game(CLAUSES, 3, 1)
    assert game is not None
    told = worth()
    whole = credits(exact_game(CLAUSES), told, CATEGORIES)
    some = credits(game, {coalition: told[coalition] for coalition in game.coalitions}, CATEGORIES)
    strong = [next(c for c in found if c.clause == "strong" and c.quantity == "PB^2") for found in (whole, some)]
    assert strong[0].sampling == 0
    assert strong[1].sampling > 0
    assert all(one.interval for one in strong)

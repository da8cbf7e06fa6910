from __future__ import annotations

import numpy as np
import pytest

from defender.ablation import Margin, findings
from defender.bias import estimate
from defender.records import FloatArray, OutcomeMatrix
from tests.worlds import IDENTITIES, OTHER, PATTERN, matrix, two

ITEMS = 60


def answers(rng: np.random.Generator, bias: float, utility: float = 60.0) -> list[OutcomeMatrix]:
    """Return a prompt whose utility bias is known; items differ, and what they do to an identity does a little."""
    own = np.random.default_rng(5)  # the same for every prompt: answers are paired

    def scores(effect_U: FloatArray | float, mean: float) -> FloatArray:
        items = own.normal(0, 6, ITEMS) + own.normal(0, 3, (IDENTITIES, ITEMS))
        effect = np.broadcast_to(np.asarray(effect_U), IDENTITIES)[:, None]
        return np.clip(mean + effect + items + rng.normal(0, 0.5, (IDENTITIES, ITEMS)), 0, 100)

    return two(scores(bias * PATTERN, utility), scores(1.0 * OTHER, 70.0))


def judged(kind: str, seed: int = 0, **changes: tuple[float, float]) -> dict[str, str]:
    """Judge prompts of (bias, utility) against one of bias 2 and utility 60; return name -> verdict."""
    rng = np.random.default_rng(seed)
    changed = {name: answers(rng, *told) for name, told in changes.items()}
    return {one.name: one.fate for one in findings(kind, changed, answers(rng, 2.0), margin=0.15)}


def test_clauses_left_out_are_needed_help_may_go_or_had_better_go() -> None:
    fates = judged("left out", much=(4.0, 60.0), little=(2.09, 60.0), nothing=(2.0, 60.0), harm=(1.0, 60.0))
    assert fates == {"much": "needed", "little": "helps", "nothing": "no detectable loss", "harm": "better without"}


def test_a_clause_that_holds_up_an_axis_is_missed_although_pb_does_not_move() -> None:
    (one,) = findings(
        "left out", {"able": answers(np.random.default_rng(1), 2.0, 57.0)}, answers(np.random.default_rng(2), 2.0),
        margin=0.15,
    )  # fmt: skip
    assert one.fate == "helps"
    assert one.falls["utility"] == pytest.approx(3.0, abs=0.2)
    assert not one.losable
    assert "utility falls by" in one.reason


def test_clauses_added_help_harm_or_add_nothing() -> None:
    fates = judged("added", good=(1.0, 60.0), bad=(3.0, 60.0), dulling=(2.0, 55.0), idle=(2.0, 60.0))
    assert fates == {"good": "helps", "bad": "better without", "dulling": "better without", "idle": "adds nothing"}


def test_other_changes_are_better_worse_or_no_different() -> None:
    fates = judged("order", worse=(3.0, 60.0), better=(1.0, 60.0), same=(2.0, 60.0), dulling=(2.0, 55.0))
    assert fates["worse"] == fates["dulling"] == "better as it is"
    assert fates["better"] == "better changed"
    assert fates["same"] == "no detectable difference"


def test_what_no_answer_tells_apart_is_not_called_the_same() -> None:
    same = two(np.full((IDENTITIES, 9), 50.0), np.tile(np.linspace(10, 90, 9), (IDENTITIES, 1)))
    (one,) = findings("left out", {"silent": same}, same, margin=0.15)
    assert one.fate == "not distinguishable"
    assert "nothing differed at all" in one.reason


def test_a_loss_of_the_margin_is_seldom_called_no_loss_and_no_loss_often_is() -> None:
    total = np.hypot(2.0, 1.0) + 0.15  # PB of the prompt, and the margin
    told = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        changed = {"lost": answers(rng, float(np.sqrt(total**2 - 1.0))), "kept": answers(rng, 2.0)}
        told.append([one.no_loss for one in findings("left out", changed, answers(rng, 2.0), margin=0.15)])
    lost, kept = np.mean(told, axis=0)
    assert lost <= 0.15
    assert kept >= 0.8


def test_the_margin_is_taken_where_the_prompt_may_be_best() -> None:
    found = estimate(answers(np.random.default_rng(0), 2.0))
    margin, low = Margin.of(found, 0.2), found.interval.low
    assert margin.loss2 == pytest.approx((low + 0.2) ** 2 - low**2)
    assert margin.gain2 == pytest.approx(low**2 - (low - 0.2) ** 2)
    fair = estimate([matrix(np.random.default_rng(0).uniform(40, 60, (IDENTITIES, 20)))])
    assert fair.interval.low == 0.0
    assert Margin.of(fair, 0.2).gain2 == 0.0, "nothing can be gained on a fair prompt"

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defender.effects import LEAST, clause_effects, ridge
from defender.evidence import Effect
from defender.records import AxisEstimate, Candidate, Interval, PBEstimate, Trial

CLAUSES = {("kind", "a"): "Be kind.", ("kind", "b"): "Stay kind.", ("calm", "a"): "Be calm."}


def trial(number: int, said: list[tuple[str, str]], corrected2: float, utility: float, items: int = 20) -> Trial:
    axis = AxisEstimate(utility, Interval(utility - 1, utility + 1), 1.0, 0.5, {}, items, 0)
    found = PBEstimate(1.0, 1.0, corrected2, Interval(0, 2), 0.5, {"utility": axis}, {"mmlu": axis})
    parts = (("opening", "plain"), *((f"clause:{idea}", way) for idea, way in said), ("placement", "last"))
    return Trial(Candidate(f"Prompt {number}.", parts=parts), found, {})


def world(trials: int, seed: int = 0) -> list[Trial]:
    """Return trials in which "Be kind." takes 6 off PB^2, "Be calm." takes 4 off utility, and all else is noise."""
    draw = np.random.default_rng(seed)
    told = []
    for number in range(trials):
        said = [name for name in CLAUSES if draw.random() < 0.4]
        pb2 = 9.0 - 6.0 * (("kind", "a") in said) + draw.normal()
        told.append(trial(number, said, pb2, 60.0 - 4.0 * (("calm", "a") in said) + draw.normal()))
    return told


def by_clause(effects: tuple[Effect, ...], on: str) -> dict[str, Effect]:
    return {effect.text: effect for effect in effects if effect.on == on}


def test_planted_effects_are_found_with_their_errors() -> None:
    effects = clause_effects(world(40), CLAUSES)
    fairness, utility = by_clause(effects, "PB^2"), by_clause(effects, "utility")
    assert fairness["Be kind."].difference == pytest.approx(-6.0, abs=3 * fairness["Be kind."].se)
    assert abs(fairness["Stay kind."].difference) < 3 * fairness["Stay kind."].se
    assert utility["Be calm."].difference == pytest.approx(-4.0, abs=3 * utility["Be calm."].se)
    assert effects[0].text == "Be kind.", "what helps most comes first"
    assert fairness["Be kind."].trials == sum(("clause:kind", "a") in t.candidate.parts for t in world(40))


def test_an_axis_that_was_not_measured_has_no_effects() -> None:
    assert {effect.on for effect in clause_effects(world(40), CLAUSES)} == {"PB^2", "utility"}


def test_errors_cover_the_truth_about_as_often_as_they_say() -> None:
    draw = np.random.default_rng(4)
    inside = []
    for _ in range(120):
        trials = int(draw.integers(12, 60))
        flags_T_F = (draw.random((trials, 12)) < 0.3).astype(float)
        effect_F = draw.normal(0, draw.choice([0.5, 2.0]), 12)
        mean_F, error_F = ridge(flags_T_F, flags_T_F @ effect_F + draw.normal(size=trials), np.ones(trials))
        inside += list(np.abs(mean_F - effect_F) <= 1.96 * error_F)
    assert 0.87 < np.mean(inside) < 0.99


def test_pure_noise_gives_effects_near_nothing() -> None:
    draw = np.random.default_rng(1)
    flags_T_F = (draw.random((30, 10)) < 0.4).astype(float)
    mean_F, _ = ridge(flags_T_F, draw.normal(size=30), np.ones(30))
    assert np.abs(mean_F).max() < 0.5


def test_equal_values_have_no_effects_at_all() -> None:
    mean_F, error_F = ridge(np.eye(4), np.full(4, 3.0), np.ones(4))
    assert not mean_F.any()
    assert not error_F.any()


def test_a_trial_measured_on_more_items_weighs_more() -> None:
    def found(items: int) -> float:
        told = [trial(n, [("kind", "a")] if n % 2 else [], 9.0 - 4.0 * (n % 2), 60.0) for n in range(8)]
        odd = trial(9, [("kind", "a")], 9.0, 60.0, items)
        return by_clause(clause_effects([*told, odd], CLAUSES), "PB^2")["Be kind."].difference

    assert found(items=2) < found(items=200) - 0.5


def test_too_few_trials_or_clauses_that_never_varied_say_nothing() -> None:
    assert clause_effects(world(LEAST - 1), CLAUSES) == ()
    always = [trial(n, [("kind", "a")], float(n), 60.0) for n in range(9)]
    assert clause_effects(always, CLAUSES) == ()


def test_failed_trials_do_not_count() -> None:
    failed = [replace(t, estimate=None) for t in world(5, seed=9)]
    assert clause_effects([*world(20), *failed], CLAUSES) == clause_effects(world(20), CLAUSES)

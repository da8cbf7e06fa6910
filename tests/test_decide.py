from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender.bias import compare, compare_means, estimate, mean_bounds
from defender.decide import (
    RACE_ITEMS,
    Floor,
    floor_gaps,
    holm,
    keeps_floors,
    race_decision,
    rank,
    reaches,
    shows_floors,
    verdicts,
)
from defender.errors import ConfigError, IncompleteMatrix
from defender.records import Axis, Candidate, FloatArray, OutcomeMatrix, PBEstimate, Trial

IDENTITIES = 31
PATTERN = np.random.default_rng(5).normal(size=IDENTITIES)
PATTERN = (PATTERN - PATTERN.mean()) / PATTERN.std()


def matrix(score_U_I: FloatArray, benchmark: str = "mmlu", axis: Axis = "utility") -> OutcomeMatrix:
    rows, columns = score_U_I.shape
    return OutcomeMatrix(
        benchmark,
        axis,
        tuple(f"identity-{row:02d}" for row in range(rows)),
        tuple(f"item-{column:04d}" for column in range(columns)),
        score_U_I,
        np.ones_like(score_U_I, dtype=np.int64),
    )


def coins(seed: int, items: int, mean: float = 70.0, spread: float = 0.0) -> FloatArray:
    """Independent right or wrong answers: identities differ by ``spread`` points (sd)."""
    chance_U = (mean + spread * PATTERN) / 100.0
    return np.where(np.random.default_rng(seed).random((IDENTITIES, items)) < chance_U[:, None], 100.0, 0.0)


def measured(seed: int, items: int, spread: float = 0.0, utility: float = 70.0) -> list[OutcomeMatrix]:
    return [
        matrix(coins(seed, items, utility, spread)),
        matrix(coins(seed + 1000, items, 80.0), "do_not_answer", "safety"),
    ]


@pytest.mark.parametrize(
    ("axis", "text", "floor"),
    [
        ("utility", "60", Floor("utility", 60.0)),
        ("utility", " 62.5 % ", Floor("utility", 62.5)),
        ("safety", "Original-1", Floor("safety", 1.0, "Original")),
        ("safety", "Original - 0.5 %", Floor("safety", 0.5, "Original")),
        ("safety", "Original", Floor("safety", 0.0, "Original")),
        ("utility", "my-prompt-2 - 3", Floor("utility", 3.0, "my-prompt-2")),
        ("utility", "D4 - 2", Floor("utility", 2.0, "D4")),
        ("utility", "4f1c09aa12be-2", Floor("utility", 2.0, "4f1c09aa12be")),
        ("over_refusal", "95", Floor("over_refusal", 95.0)),
        ("over_refusal", "max 5", Floor("over_refusal", 95.0)),
    ],
)
def test_a_floor_is_read_as_people_write_it(axis: Axis, text: str, floor: Floor) -> None:
    assert Floor.parse(axis, text) == floor


@pytest.mark.parametrize(
    ("axis", "text"), [("utility", ""), ("utility", "-5"), ("safety", "max 5"), ("utility", "140"), ("safety", "- 1")]
)
def test_a_floor_that_means_nothing_is_refused_with_what_was_expected(axis: Axis, text: str) -> None:
    with pytest.raises(ConfigError, match=f"floor on {axis}: expected .* got"):
        Floor.parse(axis, text)


def test_a_gap_is_the_floor_minus_what_the_items_show() -> None:
    candidate = measured(1, 200)
    low, _ = mean_bounds(candidate, "utility")
    gaps = floor_gaps([Floor("utility", 60.0), Floor("utility", 70.0)], candidate, {})
    assert gaps == pytest.approx({"utility >= 60": 60.0 - low, "utility >= 70": 70.0 - low})
    assert gaps["utility >= 60"] < 0 < gaps["utility >= 70"]


def test_a_floor_that_is_met_by_luck_only_is_not_kept() -> None:
    few = [matrix(np.full((4, 10), 100.0))]
    assert floor_gaps([Floor("utility", 99.0)], few, {})["utility >= 99"] > 0


def test_a_baseline_keeps_its_own_floor_by_the_whole_allowance() -> None:
    original = measured(2, 50)
    gaps = floor_gaps([Floor("safety", 1.5, "Original")], original, {"Original": original})
    assert gaps == {"safety >= Original - 1.5": -1.5}


def test_a_relative_floor_is_paired_on_items() -> None:
    hard_I = np.linspace(0, 100, 200)
    original = [matrix(np.tile(hard_I, (4, 1)))]
    slightly_worse = [matrix(np.tile(np.clip(hard_I - 1.0, 0, 100), (4, 1)))]
    name = "utility >= Original - 2"
    gaps = floor_gaps([Floor("utility", 2.0, "Original")], slightly_worse, {"Original": original})
    assert gaps[name] == pytest.approx(-1.0, abs=0.1), "items vary by 30 points, the pair by none"


def test_a_relative_gap_is_one_sided_at_the_level_asked_for() -> None:
    original, candidate = measured(20, 100), measured(21, 100)
    paired = compare_means(candidate, original, "utility", level=0.9)
    gaps = floor_gaps([Floor("utility", 2.0, "Original")], candidate, {"Original": original}, level=0.95)
    assert gaps == pytest.approx({"utility >= Original - 2": -2.0 - paired.interval.low})


def test_a_floor_on_an_unmeasured_baseline_or_axis_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'Orignal' \(measured: D4, Original\)"):
        floor_gaps([Floor("utility", 1.0, "Orignal")], measured(3, 10), {"Original": [], "D4": []})
    with pytest.raises(IncompleteMatrix, match="over_refusal"):
        floor_gaps([Floor("over_refusal", 95.0)], measured(3, 10), {})


def test_a_reach_holds_what_is_required_the_estimate_and_both_bounds() -> None:
    candidate, original = measured(4, 100), measured(4, 100, utility=90.0)
    low, high = mean_bounds(candidate, "utility")
    mean = estimate(candidate).axes["utility"].mean
    found = reaches([Floor("utility", 60.0)], candidate, {})
    assert found["utility >= 60"] == pytest.approx((60.0, mean, low, high))
    paired = compare_means(candidate, original, "utility", level=0.9)
    found = reaches([Floor("utility", 2.0, "Original")], candidate, {"Original": original})
    assert found["utility >= Original - 2"] == pytest.approx(
        (-2.0, paired.difference, paired.interval.low, paired.interval.high)
    )


def test_the_race_drops_who_cannot_win_and_says_why_with_numbers() -> None:
    unfair, fair = measured(5, 150, spread=12.0), measured(6, 150)
    drop = race_decision(unfair, {"D4": fair})
    assert drop is not None
    assert drop.reason.startswith("cannot win: PB 1")
    assert "of D4 on at least 150 shared items" in drop.reason
    assert race_decision(fair, {"worst": unfair}) is None, "the better one stays"
    assert race_decision(unfair, {}) is None, "nobody to lose to"
    assert race_decision(unfair, {"as bad": measured(7, 150, spread=12.0), "D4": fair}) is not None, "one is enough"


def test_a_difference_within_the_margin_drops_nobody() -> None:
    unfair, fair = measured(5, 150, spread=12.0), measured(6, 150)
    assert race_decision(unfair, {"D4": fair}, margin=1.0) is not None
    assert race_decision(unfair, {"D4": fair}, margin=15.0) is None


def test_the_race_drops_who_cannot_reach_a_floor() -> None:
    drop = race_decision(measured(7, 80), {}, [Floor("utility", 95.0)])
    assert drop is not None
    assert "utility >= 95 is out of reach" in drop.reason
    original = measured(7, 80, utility=97.0)
    drop = race_decision(measured(7, 80), {}, [Floor("utility", 1.0, "Original")], {"Original": original})
    assert drop is not None
    assert "difference to Original" in drop.reason
    assert race_decision(measured(7, 80), {}, [Floor("utility", 60.0)]) is None


def test_the_race_asks_for_the_evidence_that_alpha_says() -> None:
    candidate = measured(22, 60)
    ends = [mean_bounds(candidate, "utility", level=1 - alpha)[1] for alpha in (0.01, 0.05)]
    between = [Floor("utility", sum(ends) / 2)]
    assert race_decision(candidate, {}, between, alpha=0.01) is None
    assert race_decision(candidate, {}, between, alpha=0.05) is not None


def test_the_race_keeps_who_is_better_by_the_same_on_every_item() -> None:
    fair = [matrix(np.full((2, 20), 50.0))]
    unfair = [matrix(np.tile(np.array([[50.0], [60.0]]), (1, 20)))]
    assert race_decision(fair, {"other": unfair}) is None
    assert race_decision(unfair, {"other": fair}) is not None


def test_the_race_drops_nobody_on_a_handful_of_items() -> None:
    few = RACE_ITEMS - 1
    assert race_decision(measured(8, few, spread=25.0), {"other": measured(9, few)}, [Floor("utility", 99.0)]) is None
    assert race_decision(measured(8, few + 2, spread=25.0), {}, [Floor("utility", 99.0)], alpha=0.01) is not None
    assert race_decision([], {}) is None


@pytest.mark.parametrize("items", [RACE_ITEMS, 20, 60])
def test_the_race_seldom_drops_an_equal(items: int) -> None:
    dropped = [
        race_decision(
            measured(seed, items, spread=4.0), {"equal": measured(seed + 5000, items, spread=4.0)}, alpha=0.01
        )
        for seed in range(250)
    ]
    assert sum(drop is not None for drop in dropped) <= 7


def test_holm_agrees_with_a_hand_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.01, 0.04], family=5) == pytest.approx((0.05, 0.16))
    assert holm([]) == ()
    with pytest.raises(ValueError, match="at least 2"):
        holm([0.1, 0.2], family=1)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 5))
def test_holm_never_lowers_a_p_nor_swaps_two(p_values: list[float], more: int) -> None:
    adjusted = holm(p_values, len(p_values) + more)
    assert all(p <= q <= 1.0 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[place] for place in order] == sorted(adjusted)
    assert adjusted[order[0]] == min(1.0, (len(p_values) + more) * min(p_values))


def test_a_verdict_says_better_worse_or_not_distinguishable_and_why() -> None:
    candidate = measured(10, 300, spread=4.0)
    baselines = {"Original": measured(11, 300, spread=12.0), "D4": measured(12, 300), "D1": measured(13, 300, 4.0)}
    found = {one.baseline: one for one in verdicts("best", candidate, baselines)}
    assert [found[name].verdict for name in ("Original", "D4", "D1")] == ["better", "worse", "not distinguishable"]
    assert found["Original"].difference == compare(candidate, baselines["Original"]).difference < 0
    assert (
        f"PB {estimate(candidate).pb:.2f} against {estimate(baselines['Original']).pb:.2f}" in found["Original"].reason
    )
    assert "interval includes 0" in found["D1"].reason
    assert "times the items" in found["D1"].reason
    assert "times the items" not in found["D4"].reason


def test_a_larger_family_makes_claims_harder() -> None:
    candidate, baseline = measured(14, 120), {"Original": measured(15, 120, spread=7.0)}
    (alone,) = verdicts("best", candidate, baseline)
    crowd = int(0.05 / alone.p) + 1
    (crowded,) = verdicts("best", candidate, baseline, family=crowd)
    assert (alone.verdict, crowded.verdict) == ("better", "not distinguishable")
    assert crowded.p_adjusted == pytest.approx(crowd * alone.p)
    assert f"among {crowd} comparisons" in crowded.reason


def test_a_prompt_is_not_distinguishable_from_itself() -> None:
    same = measured(16, 30)
    (found,) = verdicts("twin", same, {"Original": same})
    assert (found.verdict, found.p, found.p_adjusted) == ("not distinguishable", 1.0, 1.0)
    assert "no difference was seen" in found.reason


def test_a_difference_that_is_the_same_on_every_item_needs_enough_items() -> None:
    def constant(items: int, gap: float) -> list[OutcomeMatrix]:
        return [matrix(np.tile(np.array([[50.0], [50.0 + gap]]), (1, items)))]

    (few,) = verdicts("best", constant(4, 0.0), {"Original": constant(4, 10.0)})
    (many,) = verdicts("best", constant(12, 0.0), {"Original": constant(12, 10.0)})
    assert (few.verdict, many.verdict) == ("not distinguishable", "better")
    assert "4 items are too few" in few.reason


def trial(
    name: str, corrected2: float | None, misses: dict[str, float] | None = None, dropped_at: int | None = None
) -> Trial:
    found = estimate(measured(17, 5)) if corrected2 is not None else None
    if found is not None and corrected2 is not None:
        fields = {slot: getattr(found, slot) for slot in PBEstimate.__slots__}
        found = PBEstimate(**{**fields, "corrected2": corrected2})
    gaps = {floor: miss + 1.0 for floor, miss in (misses or {}).items()}
    return Trial(Candidate(name, label=name), found, gaps, dropped_at, misses=misses or {})


def test_candidates_are_ranked_by_floors_as_estimated_first_then_by_bias() -> None:
    trials = [
        trial("unmeasured", None),
        trial("far below a floor", 0.1, {"utility": 5.0, "safety": -9.0}),
        trial("just below a floor", 3.0, {"utility": 0.5, "safety": 0.5}),
        trial("dropped", -1.0, {"utility": -1.0}, dropped_at=1),
        trial("good", 2.0, {"utility": 0.0}),
        trial("best", -0.5, {"utility": -3.0}),
    ]
    names = [one.candidate.label for one in rank(trials)]
    assert names == ["best", "good", "dropped", "just below a floor", "far below a floor", "unmeasured"]
    assert rank(reversed(trials)) == rank(trials)


def test_a_floor_may_be_kept_by_the_estimate_and_not_yet_shown() -> None:
    near, sure, short = (trial("c", 1.0, {"utility": miss}) for miss in (-0.5, -1.5, 0.5))
    assert [keeps_floors(one) for one in (near, sure, short)] == [True, True, False]
    assert [shows_floors(one) for one in (near, sure, short)] == [False, True, False]
    foreign = Trial(Candidate("c"), near.estimate, {"utility": 0.5})
    assert not keeps_floors(foreign), "a trial told with its gaps alone is judged by them"

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.bias import pb_bounds
from defender.errors import ConfigError
from defender.gates import EXIT, Gate, Look, On, Reading, Schedule, Status, cut, open_axes, read, verdict
from defender.records import OutcomeMatrix
from tests.worlds import IDENTITIES, PATTERN, QUICK, coins, matrix, shared_coins, two

PB, UTILITY, SAFETY = Gate("pb", 2.0), Gate("utility", 60.0), Gate("safety", 80.0)

schedules = st.builds(
    lambda most, first, growth, alpha: Schedule.growing(most, min(first, most), growth, alpha),
    st.integers(6, 5000),
    st.integers(6, 64),
    st.floats(1.1, 4.0),
    st.floats(0.001, 0.2),
)


@QUICK
@given(schedules)
def test_looks_grow_and_end_at_all_items(schedule: Schedule) -> None:
    assert list(schedule.sizes) == sorted(set(schedule.sizes))
    done: list[Look] = []
    while (look := schedule.after(done)) is not None:
        done.append(look)
    assert tuple(look.items for look in done) == schedule.sizes
    assert sum(look.alpha for look in done) == pytest.approx(schedule.alpha)


@QUICK
@given(schedules, st.lists(st.floats(0.01, 0.99), max_size=6))
def test_looks_cut_short_and_taken_up_again_never_spend_more_than_alpha(schedule: Schedule, cuts: list[float]) -> None:
    done: list[Look] = []
    while (look := schedule.after(done)) is not None:
        at = done[-1].items if done else 0
        fewer = at + int((look.items - at) * cuts.pop()) if cuts else at
        done.append(cut(look, fewer) if at < fewer < look.items else look)
    assert all(look.alpha > 0.0 for look in done)
    assert sum(look.alpha for look in done) <= schedule.alpha * (1.0 + 1e-12)


def test_each_look_spends_an_equal_share() -> None:
    schedule = Schedule.growing(200, 16, 2.0, 0.05)
    assert schedule.sizes == (16, 32, 64, 128, 200)
    assert schedule.after(()) == Look(16, 0.01)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("kept", "kept"), "kept"), (("kept", "open"), "cannot tell"), (("open", "open"), "cannot tell"),
        (("kept", "broken"), "failed"), (("open", "broken"), "failed"), ((), "cannot tell"),
    ],
)  # fmt: skip
def test_one_broken_gate_fails_and_only_all_kept_is_kept(statuses: tuple[Status, ...], expected: str) -> None:
    found = {str(n): Reading(str(n), 1.0, 0.0, 2.0, status) for n, status in enumerate(statuses)}
    assert verdict(found) == expected


def test_the_three_verdicts_have_exit_codes_of_their_own() -> None:
    assert EXIT == {"kept": 0, "failed": 5, "cannot tell": 6}


def world(rng: np.random.Generator, scale: float, items: int = 60) -> list[OutcomeMatrix]:
    return two(coins(rng, items, scale * PATTERN, 0.6, 0.8), coins(rng, items, 0.0, 0.85, 0.95))


def test_what_a_look_decided_stays_decided() -> None:
    rng = np.random.default_rng(3)
    first = read([PB, UTILITY], world(rng, 0.0), 0.05)
    assert first[str(UTILITY)].status == "kept"
    refused = two(np.zeros((IDENTITIES, 60)), np.zeros((IDENTITIES, 60)))
    again = read([PB, UTILITY], refused, 0.05, first)
    assert again[str(UTILITY)] == first[str(UTILITY)]
    assert read([PB, UTILITY], refused, 0.05)[str(UTILITY)].status == "broken"


def test_only_open_gates_need_more_items() -> None:
    kept = Reading(str(PB), 1.0, 0.0, 1.5, "kept")
    assert open_axes([PB, UTILITY, SAFETY], {}) == {"utility", "safety"}
    assert open_axes([PB, UTILITY], {str(PB): kept}) == {"utility"}
    assert open_axes([PB], {str(PB): kept}) == frozenset()


def test_over_refusal_is_read_as_the_share_refused() -> None:
    answered = np.full((IDENTITIES, 40), 100.0)
    answered[:, :4] = 0.0
    (found,) = read([Gate("over_refusal", 30.0)], [matrix(answered, "xstest", "over_refusal")], 0.05).values()
    assert found.value == pytest.approx(10.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 10.0 < found.high <= 30.0
    assert found.status == "kept"
    (broken,) = read([Gate("over_refusal", 1.0)], [matrix(answered, "xstest", "over_refusal")], 0.05).values()
    assert broken.status == "broken"


def test_missing_scores_decide_nothing() -> None:
    scores = coins(np.random.default_rng(1), 40)
    scores[3, :20] = np.nan
    (found,) = read([UTILITY], [matrix(scores)], 0.05).values()
    assert (found.value, found.status) == (None, "open")
    assert "20 of 40 items incomplete" in found.reason


def test_a_gate_nobody_measures_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'safety >= 80' has no benchmark"):
        read([SAFETY], [matrix(coins(np.random.default_rng(1), 40))], 0.05)


@pytest.mark.parametrize(("on", "limit"), [("pb", -1.0), ("utility", 101.0)])
def test_a_limit_that_is_none_is_refused(on: On, limit: float) -> None:
    with pytest.raises(ConfigError, match="expected 0 to 100"):
        Gate(on, limit)


def test_identities_that_no_item_told_apart_are_not_known_to_be_equal() -> None:
    alike = [matrix(np.tile(coins(np.random.default_rng(2), 30)[:1], (IDENTITIES, 1)))]
    assert read([Gate("pb", 5.0)], alike, 0.01)["PB <= 5"].status == "open"
    many = [matrix(np.tile(coins(np.random.default_rng(2), 900)[:1], (IDENTITIES, 1)))]
    assert read([Gate("pb", 5.0)], many, 0.01)["PB <= 5"].status == "kept"


@QUICK
@given(st.integers(0, 10**6), st.floats(0.001, 0.2), st.floats(0.001, 0.2))
def test_bounds_hold_the_estimate_and_grow_with_confidence(seed: int, tail: float, other: float) -> None:
    measured = two(coins(np.random.default_rng(seed), 20, 4 * PATTERN), coins(np.random.default_rng(seed + 1), 12))
    value, low, high = pb_bounds(measured, (tail, other))
    assert low <= value <= high
    _, lower, higher = pb_bounds(measured, (tail / 2.0, other / 2.0))
    assert lower <= low
    assert high <= higher


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_a_one_sided_bound_is_wrong_no_more_often_than_it_says(scale: float, shared: bool) -> None:
    rng = np.random.default_rng(11)
    draw = shared_coins if shared else coins
    found = [pb_bounds([matrix(draw(rng, 60, scale * PATTERN))], (0.05, 0.05)) for _ in range(300)]
    assert np.mean([low > scale + 1e-9 for _, low, _ in found]) <= 0.08
    assert np.mean([high < scale - 1e-9 for _, _, high in found]) <= 0.08


@pytest.mark.parametrize(("scale", "wrong"), [(2.2, "kept"), (1.8, "failed")])
def test_a_prompt_close_to_the_limit_gets_the_wrong_verdict_no_more_often_than_alpha(scale: float, wrong: str) -> None:
    """The whole course of looks on growing items, many times."""
    rng, verdicts = np.random.default_rng(17), []
    for _ in range(60):
        whole = coins(rng, 160, scale * PATTERN)
        readings: dict[str, Reading] = {}
        done: list[Look] = []
        schedule = Schedule.growing(160, 20, 2.0, 0.05)
        while (look := schedule.after(done)) is not None and verdict(readings) == "cannot tell":
            readings = read([PB], [matrix(whole[:, : look.items])], look.alpha, readings)
            done.append(look)
        verdicts.append(verdict(readings))
    assert np.mean([found == wrong for found in verdicts]) <= 0.09

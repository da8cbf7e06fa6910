"""One prompt for several models: who wins is decided by the worst or the mean PB, and by every model's floors."""

from __future__ import annotations

import pytest

from defender.errors import NothingFeasible
from defender.jointly import Joint, Judged, choose
from defender.records import Candidate, Interval, PBEstimate, Trial

EVEN, SPLIT = Candidate("Be even.", label="even"), Candidate("Be split.", label="split")
BOTH = (EVEN, SPLIT)


def trial(candidate: Candidate, pb: float | None, *, missed: float = -1.0, gap: float = -1.0) -> Trial:
    """Return a trial with a PB, and how far its estimate and its bound are from the only floor."""
    if pb is None:
        return Trial(candidate, None, {}, failure="too many cells are missing")
    found = PBEstimate(pb, pb, pb * pb, Interval(0.0, 9.0), 0.1, {}, {})
    return Trial(candidate, found, {"safety >= 60": gap}, misses={"safety >= 60": missed})


def judged(even: Trial, split: Trial, confirmed: tuple[Trial, Trial] | None = None) -> Judged:
    later = confirmed or (even, split)
    return Judged({EVEN.id: even, SPLIT.id: split}, {one.candidate.id: one for one in later}, {})


def winner(one: Judged, other: Judged, by: Joint = "worst") -> str:
    return choose(BOTH, {"one": one, "other": other}, by).winner.name


@pytest.mark.parametrize(("by", "name"), [("worst", "even"), ("mean", "split")])
def test_the_worst_and_the_mean_choose_differently(by: Joint, name: str) -> None:
    one = judged(trial(EVEN, 3.0), trial(SPLIT, 1.0))
    other = judged(trial(EVEN, 3.0), trial(SPLIT, 4.0))
    assert winner(one, other, by) == name


def test_a_prompt_that_misses_one_models_floor_comes_after_one_that_keeps_all() -> None:
    one = judged(trial(EVEN, 3.0), trial(SPLIT, 1.0))
    other = judged(trial(EVEN, 3.0), trial(SPLIT, 1.0, missed=0.5))
    assert winner(one, other) == "even"


def test_the_first_that_keeps_every_models_floors_on_held_out_items_wins() -> None:
    found = (trial(EVEN, 1.0), trial(SPLIT, 2.0))
    short = (trial(EVEN, 1.0, gap=0.2), trial(SPLIT, 2.0))
    verdict = choose(BOTH, {"one": judged(*found), "other": judged(*found, confirmed=short)}, "worst")
    assert [one.name for one in verdict.order] == ["even", "split"]
    assert verdict.winner == SPLIT


def test_held_out_items_order_nobody() -> None:
    found, later = (trial(EVEN, 1.0), trial(SPLIT, 2.0)), (trial(EVEN, 5.0), trial(SPLIT, 0.5))
    assert winner(judged(*found, confirmed=later), judged(*found, confirmed=later)) == "even"


def test_a_prompt_one_model_has_no_estimate_of_cannot_win() -> None:
    one = judged(trial(EVEN, None), trial(SPLIT, 2.0))
    assert winner(one, judged(trial(EVEN, 1.0), trial(SPLIT, 2.0))) == "split"


def test_where_nobody_keeps_every_models_floors_it_says_by_how_much() -> None:
    one = judged(trial(EVEN, 1.0, gap=0.25), trial(SPLIT, 2.0))
    other = judged(trial(EVEN, 1.0), trial(SPLIT, 2.0, gap=0.75))
    with pytest.raises(NothingFeasible, match=r"of every model .*even: safety >= 60 misses by 0\.25"):
        winner(one, other)

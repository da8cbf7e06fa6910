from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from defender.proposers.sampled import Sampled
from defender.records import AxisEstimate, Candidate, Interval, PBEstimate, Trial
from defender.space import Choice
from tests.contracts.proposer import unmeasured
from tests.proposers.spaces import WIDE

NOBODY = AxisEstimate(70.0, Interval(69.0, 71.0), 1.0, 0.1, {f"user {number}": 70.0 for number in range(31)}, 6, 0)


def trial(candidate: Candidate, pb: float, gap: float = -5.0) -> Trial:
    found = PBEstimate(pb, pb, pb**2, Interval(0.5 * pb, 2 * pb), 0.3, {"utility": NOBODY}, {})
    return Trial(candidate, found, {"utility": gap + 1.0}, misses={"utility": gap})


def said(candidate: Candidate) -> dict[str, str]:
    return dict(candidate.parts)


def play(proposer: Sampled, rounds: int, become: Callable[[Candidate], Trial]) -> list[Candidate]:
    """Return what is proposed in the last round."""
    batch: Sequence[Candidate] = ()
    for _ in range(rounds):
        batch = proposer.ask(6)
        proposer.tell([become(candidate) for candidate in batch])
    return list(batch)


def share(batch: Sequence[Candidate], slot: str) -> float:
    return float(np.mean([slot in said(candidate) for candidate in batch]))


def test_a_clause_that_halves_the_bias_is_said_and_one_that_doubles_it_is_not() -> None:
    ideas = list(WIDE.clauses)
    good, bad = f"clause:{ideas[0]}", f"clause:{ideas[1]}"
    batch = play(
        Sampled(WIDE, seed=4),
        6,
        lambda c: trial(c, 3.0 * (0.5 if good in said(c) else 1) * (2 if bad in said(c) else 1)),
    )
    assert share(batch, good) == 1.0
    assert share(batch, bad) == 0.0


def test_the_better_of_two_wordings_is_told_from_the_other() -> None:
    idea = next(idea for idea, wordings in WIDE.clauses.items() if len(wordings) > 1)
    better, *_ = WIDE.clauses[idea]
    pb = {None: 3.0, better: 1.0}
    batch = play(Sampled(WIDE, seed=5), 6, lambda c: trial(c, pb.get(said(c).get(f"clause:{idea}"), 2.5)))
    assert {said(candidate).get(f"clause:{idea}") for candidate in batch} == {better}


def test_a_clause_that_breaks_a_floor_is_left_out_however_fair_it_is() -> None:
    idea = f"clause:{next(iter(WIDE.clauses))}"
    batch = play(
        Sampled(WIDE, seed=6), 8, lambda c: trial(c, 0.8 if idea in said(c) else 3.0, 6.0 if idea in said(c) else -4.0)
    )
    assert share(batch, idea) == 0.0


def test_a_new_clause_is_tried_in_several_prompts_before_it_is_judged() -> None:
    proposer = Sampled(WIDE, seed=7)
    play(proposer, 4, lambda c: trial(c, 2.0))
    proposer.grow({"new": "Weigh every word."})
    batch = [candidate for _ in range(2) for candidate in play(proposer, 1, lambda c: trial(c, 2.0))]
    assert share(batch, "clause:new") >= 2 / 12


def test_prompts_below_the_noise_and_prompts_that_failed_are_no_error() -> None:
    proposer = Sampled(WIDE, seed=8)
    below = PBEstimate(0.2, 0.0, -0.04, Interval(0.0, 0.3), 0.2, {"utility": NOBODY}, {})

    def become(candidate: Candidate) -> Trial:
        if len(candidate.parts) % 2:
            return unmeasured(candidate)
        return replace(trial(candidate, 1.0), estimate=below)

    assert len(play(proposer, 5, become)) == 6


def test_without_any_floor_the_fairest_is_sought() -> None:
    idea = f"clause:{next(iter(WIDE.clauses))}"
    batch = play(
        Sampled(WIDE, seed=9), 6, lambda c: replace(trial(c, 0.8 if idea in said(c) else 3.0), gaps={}, misses={})
    )
    assert share(batch, idea) == 1.0


def test_a_space_that_may_say_nothing_but_its_opening_can_be_searched() -> None:
    mute = replace(WIDE, clauses={}, max_clauses=0, seeds={"Original": Choice(next(iter(WIDE.openings)))})
    batch = play(Sampled(mute, seed=0), 1, lambda c: trial(c, 2.0))
    assert batch


def test_prompts_of_a_foreign_hand_teach_it_too() -> None:
    idea = next(iter(WIDE.clauses))
    way = next(iter(WIDE.clauses[idea]))
    proposer = Sampled(WIDE, seed=10)
    openings = list(WIDE.openings)
    foreign = [
        WIDE.render(Choice(opening, ((idea, way),) if on else ())) for opening in openings for on in (True, False)
    ]
    proposer.tell([trial(c, 0.5 if len(c.parts) > 2 else 3.0) for c in {c.digest: c for c in foreign}.values()])
    batch = [c for c in proposer.ask(5 + 8) if c.origin != "seed"]
    assert share(batch, f"clause:{idea}") > 0.5

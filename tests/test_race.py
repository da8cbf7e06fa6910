from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from defender.decide import Floor
from defender.decisions import in_words
from defender.errors import BudgetSpent
from defender.plan import Ladder, Panel
from defender.race import Race, Rules
from defender.records import Candidate, Decision, Request, Response, Trial
from tests.scripted_world import IDENTITIES, WORLD, Sitting, panel, sitting

ORIGINAL = Candidate("You are a helpful assistant.", label="Original")
EQUAL = Candidate("Treat people equally.", label="equal")
IGNORE = Candidate("Please ignore the rest.", label="ignore")
REFUSE = Candidate("Always decline.", label="refuse")
FLOORS = (Floor.parse("utility", "Original-2"), Floor.parse("safety", "Original-2"))
PANEL = Panel("search", IDENTITIES[:6], panel("search", 24).items)


class Course:
    """A race on the scripted world, with everything it says."""

    def __init__(self, at: Sitting, shares: tuple[float, ...] = (0.5, 1.0), finals: tuple[int, ...] = ()) -> None:
        self.at = at
        self.said: list[Decision] = []
        self.race = Race(at.measurer, PANEL, Rules(ORIGINAL, FLOORS, Ladder(shares, finals)), self.said.append)

    async def run(
        self,
        *entrants: Candidate,
        incumbent: Candidate = ORIGINAL,
        affordable: Callable[[int], bool] = lambda _: True,
    ) -> Sequence[Trial]:
        await self.at.measurer.fill([ORIGINAL, incumbent], PANEL)
        return await self.race.run(entrants, incumbent, affordable)

    def actions(self, candidate: Candidate) -> list[tuple[int, str]]:
        return [(line.block, line.action) for line in self.said if line.candidate == candidate.id]


async def test_whoever_cannot_keep_a_floor_is_dropped_and_asked_no_more(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at)
        refuse, equal = await course.run(REFUSE, EQUAL)
        assert at.engine.counted == PANEL.cells_per_candidate * 2 + PANEL.first(0.5).cells_per_candidate
    assert course.actions(REFUSE) == [(0, "dropped")]
    assert "utility" in course.said[0].reason
    assert refuse.dropped_at == 0
    assert equal.dropped_at is None


async def test_whoever_is_shown_to_be_worse_is_dropped_and_the_leader_is_named(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at)
        (equal,) = await course.run(EQUAL, incumbent=IGNORE)
    assert course.actions(EQUAL) == [(0, "dropped")]
    assert course.said[0].reason == equal.reason
    assert "against 5.43 of ignore on at least 12 shared items" in equal.reason
    assert "cannot win" in equal.reason
    assert equal.estimate is not None


async def test_a_newcomer_may_lead_and_nobody_drops_the_leader(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at)
        equal, ignore = await course.run(EQUAL, IGNORE)
    assert course.actions(EQUAL) == [(0, "dropped")]
    assert course.actions(IGNORE) == [(0, "kept"), (1, "finished")]
    assert (equal.candidate, ignore.candidate) == (EQUAL, IGNORE)


async def test_too_few_items_drop_nobody_and_the_last_block_never_does(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at, shares=(0.2, 1.0))
        trials = await course.run(REFUSE, EQUAL, incumbent=IGNORE)
    assert course.actions(REFUSE) == course.actions(EQUAL) == [(0, "kept"), (1, "finished")]
    assert [trial.dropped_at for trial in trials] == [None, None]
    assert max(trials[0].gaps.values()) > 0


async def test_blocks_together_cost_what_the_whole_panel_costs(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        race = Course(at, shares=(0.25, 0.5, 1.0)).race
        assert sum(race.cost(3, block) for block in range(3)) == 3 * PANEL.cells_per_candidate
        assert race.cost(1, 0) == PANEL.first(0.25).cells_per_candidate


async def test_a_block_that_cannot_be_paid_is_not_begun(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at)
        (trial,) = await course.run(EQUAL, affordable=lambda _: False)
        assert at.engine.counted == PANEL.cells_per_candidate
    assert course.actions(EQUAL) == [(0, "unfinished")]
    assert (trial.estimate, trial.dropped_at, trial.failure) == (None, 0, "the search budget ended first")


async def test_a_race_that_ends_early_keeps_what_was_learned_but_is_not_complete(tmp_path: Path) -> None:
    asked: list[int] = []

    def once(requests: int) -> bool:
        asked.append(requests)
        return len(asked) == 1

    async with sitting(tmp_path / "run.db") as at:
        course = Course(at)
        (trial,) = await course.run(EQUAL, affordable=once)
    assert asked == [course.race.cost(1, 0), course.race.cost(1, 1)]
    assert course.actions(EQUAL) == [(0, "kept"), (1, "unfinished")]
    assert trial.estimate is not None
    assert trial.dropped_at is not None


async def test_a_candidate_nobody_could_measure_fails_with_the_reason_and_has_no_score(tmp_path: Path) -> None:
    def answer(request: Request) -> Response | str:
        if "equally" in request.messages[0][1]:
            return Response(None, error="timeout", detail="no answer")
        return WORLD(request)

    async with sitting(tmp_path / "run.db", answer=answer) as at:
        course = Course(at)
        equal, ignore = await course.run(EQUAL, IGNORE)
    assert course.actions(EQUAL) == [(0, "failed")]
    assert equal.estimate is None
    assert "timeout" in equal.failure
    assert in_words(equal) == equal.failure
    assert ignore.dropped_at is None


async def test_a_second_race_on_the_same_cells_says_the_same_and_asks_nothing(tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        async with sitting(tmp_path / "run.db") as at:
            course = Course(at)
            trials = await course.run(REFUSE, EQUAL, IGNORE)
            told.append((course.said, [(trial.candidate, trial.dropped_at) for trial in trials]))
    assert at.engine.counted == 0
    assert told[0] == told[1]


def test_the_error_rate_is_shared_out_over_looks_rivals_and_floors_and_over_cuts() -> None:
    rules = Rules(ORIGINAL, FLOORS, Ladder((0.1, 0.2, 0.4, 0.6, 1.0), (2, 2)), field=8, alpha=0.05)
    assert rules.per_test == pytest.approx(0.01 / (2 * (8 + 2)))
    assert rules.per_cut == pytest.approx(0.04 / 2)
    assert Rules(ORIGINAL, (), Ladder((1.0,)), field=4).per_test == pytest.approx(0.05 / 4), "one block has no looks"


async def raced(course: Course) -> Sequence[Trial]:
    """Race three to the finals on few items, where nobody is dropped."""
    await course.at.measurer.fill([ORIGINAL], PANEL.first(0.2))
    return await course.race.run((EQUAL, REFUSE, IGNORE), ORIGINAL, lambda _: True)


async def test_through_the_finals_go_as_few_as_the_risk_of_losing_the_best_allows(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at, shares=(0.2, 0.5, 1.0), finals=(2, 1))
        told = await raced(course)
        assert [trial.dropped_at for trial in told] == [None, None, None], "5 items drop nobody"
        before = at.engine.counted
        trials = await course.race.finals(told, lambda *_: True)
        cells = [PANEL.first(share).cells_per_candidate for share in (0.2, 0.5, 1.0)]
        assert at.engine.counted - before == 3 * (cells[1] - cells[0]) + 2 * (cells[2] - cells[1]), (
            "Original beside them"
        )
    assert course.actions(IGNORE)[1:] == [
        (0, "promoted"), (1, "finished"), (1, "promoted"), (2, "finished"),
    ]  # fmt: skip
    assert course.actions(EQUAL)[1:] == [(0, "promoted"), (1, "finished"), (1, "passed over")]
    assert course.actions(REFUSE)[1:] == [(0, "passed over")], "it misses a floor"
    assert [trial.candidate for trial in trials] == [EQUAL, REFUSE, IGNORE]
    assert [trial.dropped_at for trial in trials] == [1, 0, None]
    assert trials[1].reason.startswith(
        "0.0% likely to be within 0.1 of the best; of 3 the likeliest 2 go on, which leaves out all such with a chance"
    )
    assert "; PB 0.00" in trials[1].reason


async def test_at_least_the_ladders_number_goes_on_however_sure_the_best_is(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at, shares=(0.5, 1.0), finals=(3,))
        await at.measurer.fill([ORIGINAL, IGNORE], PANEL)
        told = [course.race.trial(candidate, 0) for candidate in (ORIGINAL, IGNORE)]
        await course.race.finals(told, lambda *_: True)
    assert {line.action for line in course.said if line.block == 0} == {"promoted"}


def doubtful(request: Request) -> Response | str:
    """The planted world, with a coin for every answer."""
    answer = WORLD(request)
    assert isinstance(answer, Response)
    assert answer.first_token
    coin = hashlib.sha256(repr(request.messages).encode()).digest()[0] % 2
    return answer if coin else replace(answer, first_token=((answer.first_token[0][0], -9.0),))


async def test_where_the_budget_pays_for_fewer_fewer_go_on_and_the_risk_is_said(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def for_one(requests: int, later: int) -> bool:
        asked.append((requests, later))
        return requests + later <= course.race.cost(2, 1) + course.race.cost(2, 2)

    async with sitting(tmp_path / "run.db", answer=doubtful) as at:
        course = Course(at, shares=(0.2, 0.5, 1.0), finals=(1, 1))
        cost = course.race.cost
        trials = await course.race.finals(await raced(course), for_one)
    assert asked[:2] == [(cost(3, 1), cost(2, 2)), (cost(2, 1), 0)], "what the last block needs is kept"
    passed = [trial.reason for trial in trials if trial.dropped_at == 0]
    assert len(passed) == 2
    assert "of 3 the likeliest 1 go on, which leaves out all such with a chance of " in passed[0]
    assert "%, and the budget pays for no more than 1; PB" in passed[0]


async def test_finals_that_cannot_be_paid_leave_everyone_where_they_were(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at, finals=(1,))
        await at.measurer.fill([ORIGINAL], PANEL)
        told = await course.race.run((EQUAL, IGNORE), ORIGINAL, lambda _: True)
        spent = at.engine.counted
        assert await course.race.finals(told, lambda *_: False) == told
        assert at.engine.counted == spent
    assert course.said[-1].action == "unfinished"


async def test_a_budget_spent_within_the_finals_leaves_everyone_as_after_the_block_before(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at, shares=(0.2, 0.5, 1.0), finals=(1, 1))
        told = await raced(course)
        spend = at.measurer.fill

        async def fill(candidates: Sequence[Candidate], asked: Panel) -> None:
            if asked == PANEL:
                raise BudgetSpent("no more")
            await spend(candidates, asked)

        at.measurer.fill = fill  # type: ignore[method-assign,assignment]
        trials = await course.race.finals(told, lambda *_: True)
        going = [course.race.trial(trial.candidate, 1) for trial in trials if trial.dropped_at is None]
    assert [trial for trial in trials if trial.dropped_at is None] == going
    assert [trial for trial in trials if trial.dropped_at == 0], "who was passed over before stays so"
    ends = {line.candidate: (line.block, line.action) for line in course.said}
    assert {ends[trial.candidate.id] for trial in going} == {(2, "unfinished")}


async def test_the_likeliest_are_those_that_stayed_and_who_misses_a_floor_comes_last(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        course = Course(at, shares=(0.2, 1.0))
        trials = await course.run(REFUSE, EQUAL, IGNORE)
        assert course.race.likeliest(trials) == (IGNORE.id, EQUAL.id, REFUSE.id)
        gone = [trials[0], trials[1], replace(trials[2], dropped_at=0)]
        assert course.race.likeliest(gone) == (EQUAL.id, REFUSE.id)
        assert course.race.likeliest([]) == ()


async def test_where_those_that_stayed_share_no_items_nobody_is_said_to_be_likelier(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        trials = await Course(at).run(EQUAL, IGNORE)
        stranger = Trial(REFUSE, trials[1].estimate, {})
        assert Course(at).race.likeliest([*trials[1:], stranger]) == ()


async def test_a_trial_in_words_has_estimate_interval_and_floors(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        (trial,) = await Course(at).run(IGNORE)
    assert trial.estimate is not None
    said = in_words(trial)
    assert said.startswith(f"PB {trial.estimate.pb:.2f} (")
    assert said.endswith("utility >= Original - 2 kept, safety >= Original - 2 kept")
    assert trial.estimate.corrected2 == pytest.approx(trial.estimate.pb**2)

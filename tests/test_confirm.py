from __future__ import annotations

from pathlib import Path

import pytest

from defender.bias import estimate
from defender.confirm import Claims, Confirm, name_finalists
from defender.decide import Floor
from defender.errors import NothingFeasible
from defender.plan import Panel
from defender.records import Candidate, Decision, Trial
from tests.scripted_world import IDENTITIES, Sitting, panel, sitting

ORIGINAL = Candidate("You are a helpful assistant.", label="Original")
EQUAL = Candidate("Treat people equally.", label="equal")
IGNORE = Candidate("Please ignore the rest.", label="ignore")
REFUSE = Candidate("Always decline.", label="refuse")
LAST = Candidate("Keep it short.", label="last")
FLOORS = (Floor.parse("utility", "Original-2"), Floor.parse("safety", "Original-2"))
PANEL = Panel("confirm", IDENTITIES[:6], panel("confirm", 16).items)


def stage(at: Sitting, said: list[Decision]) -> Confirm:
    return Confirm(at.measurer, at.store, Claims((ORIGINAL, EQUAL), PANEL, FLOORS), said.append)


async def test_the_first_finalist_that_keeps_its_floors_wins_and_those_after_it_are_not_asked(tmp_path: Path) -> None:
    said: list[Decision] = []
    async with sitting(tmp_path / "run.db") as at:
        result = await stage(at, said).run((REFUSE, IGNORE, LAST), (), "asked to")
        kept = at.store.notes("result")["search"]
        known = at.store.notes("candidate")
        assert at.engine.counted == 4 * PANEL.cells_per_candidate
    assert result.winner == IGNORE
    assert [(line.candidate, line.action) for line in said] == [
        (REFUSE.id, "dropped"), (IGNORE.id, "winner"), (LAST.id, "passed over"),
    ]  # fmt: skip
    assert "utility >= Original - 2 short by" in said[0].reason
    assert "ignore came before it" in said[2].reason
    assert kept["winner"] == IGNORE.id
    assert set(result.confirmed) == {c.id for c in (REFUSE, IGNORE, ORIGINAL, EQUAL)}
    assert set(known) == {*result.confirmed, LAST.id}


async def test_who_was_asked_is_compared_with_every_baseline_and_never_with_itself(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        result = await stage(at, []).run((REFUSE, EQUAL, IGNORE), (), "")
    assert [(c.candidate, c.baseline) for c in result.comparisons] == [
        ("refuse", "Original"), ("refuse", "equal"), ("equal", "Original"),
    ]  # fmt: skip


async def test_claims_are_corrected_for_every_pair_that_might_have_been_asked(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        alone = await stage(at, []).run((IGNORE,), (), "")
        among = await stage(at, []).run((IGNORE, LAST, REFUSE), (), "")
    assert [c.p for c in alone.comparisons] == [c.p for c in among.comparisons]
    for few, many in zip(alone.comparisons, among.comparisons, strict=True):
        assert many.p_adjusted > few.p_adjusted


async def test_when_no_finalist_keeps_its_floors_it_says_by_how_much(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        with pytest.raises(NothingFeasible, match=r"on held-out items.*refuse: utility >= Original - 2 misses by"):
            await stage(at, []).run((REFUSE,), (), "")


async def test_the_cost_that_is_told_is_the_most_it_may_take(tmp_path: Path) -> None:
    told: list[int] = []
    async with sitting(tmp_path / "run.db") as at:
        claims = Claims((ORIGINAL, EQUAL), PANEL, FLOORS, finalists=2)
        confirm = Confirm(at.measurer, at.store, claims, lambda _: None, lambda _, cost: told.append(cost))
        await confirm.run((REFUSE, IGNORE), (), "")
        assert told == [at.engine.counted] == [claims.cost]
    assert claims.cost == 4 * PANEL.cells_per_candidate


async def test_finalists_come_in_the_order_of_chance_where_one_is_told_and_keep_their_floors(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        await at.measurer.fill([EQUAL, IGNORE, REFUSE], PANEL)
        trials = [
            Trial(c, estimate(at.measurer.matrices(c, PANEL)), {"utility": miss}, misses={"utility": miss})
            for c, miss in ((EQUAL, -1.0), (IGNORE, -1.0), (REFUSE, 9.0))
        ]
    said: list[Decision] = []
    assert name_finalists(trials, 3, said.append) == (IGNORE, EQUAL)
    assert said[0].reason == "rank 1 of 3 on search items"
    told = (REFUSE.id, EQUAL.id)
    assert name_finalists(trials, 3, said.append, told) == (EQUAL, IGNORE), "who was not told of comes after"
    assert said[2].reason == "rank 1 of 3 on search items, by the chance of being as good as the best"

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from defender.decide import Floor
from defender.decisions import decided
from defender.errors import BudgetError, EngineDown, NothingFeasible
from defender.records import Candidate, Decision, Request, Response, Trial
from tests.scripted_world import WORLD, search, sitting


def ideas(candidate: Candidate) -> set[str]:
    return {slot.removeprefix("clause:") for slot, _ in candidate.parts if slot.startswith("clause:")}


async def test_a_search_finds_a_prompt_with_lower_exact_pb_than_every_seed(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        result = await search(at).run()
        seeds = search(at).plan.seeds
    assert "ignore" in ideas(result.winner)
    assert "refuse" not in ideas(result.winner)
    assert all(WORLD.exact_pb(result.winner.before) < WORLD.exact_pb(seed.before) for seed in seeds)
    assert result.confirmed[result.winner.id].pb == pytest.approx(WORLD.exact_pb(result.winner.before), abs=0.05)
    assert {c.verdict for c in result.comparisons if c.candidate == result.winner.name} == {"better"}


async def test_a_prompt_that_refuses_everyone_never_wins(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        result = await search(at, candidates=40).run()
        decisions = at.store.notes("decision").values()
    refusing = {t.candidate.id for t in result.trials if "refuse" in ideas(t.candidate)}
    assert refusing, "the search must have met the tempting prompt"
    assert result.winner.id not in refusing
    assert any(d["candidate"] in refusing and "utility" in str(d["reason"]) for d in decisions)


async def test_confirm_items_were_never_seen_by_selection(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        plan = search(at).plan
    for name, found in plan.search.items.items():
        assert not {item.id for item in found} & {item.id for item in plan.confirm.items[name]}


async def test_the_budget_is_never_overshot_and_confirm_is_paid(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db", max_requests=9_000) as at:
        result = await search(at, max_requests=9_000, candidates=100).run()
        assert at.engine.counted == at.ledger.spent <= 9_000
    assert result.stopped == "the search share of the budget is planned out"
    assert result.winner.id in result.confirmed


async def test_when_retries_eat_the_search_share_the_held_part_still_pays_for_confirm(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db", max_requests=14_000) as at:
        result = await search(at, candidates=100).run()  # plans without a limit, as if retries had been free
        assert at.engine.counted == at.ledger.spent <= 14_000
    assert result.stopped == "the search share of the budget is spent"
    assert result.winner.id in result.confirmed


async def test_a_budget_too_small_for_one_block_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db", max_requests=500) as at:
        with pytest.raises(BudgetError, match="give --max-requests"):
            await search(at, max_requests=500).run()
        assert at.engine.counted == 0


async def test_every_candidate_has_a_line_on_what_became_of_it(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        result = await search(at).run()
        said = {d["candidate"] for d in at.store.notes("decision").values()}
    assert {t.candidate.id for t in result.trials} <= said


async def test_a_raised_budget_finds_on_resume_what_it_would_have_found_from_the_start(tmp_path: Path) -> None:
    """What confirming has cost already is not kept for it a second time."""
    found = []
    for folder, limits in (("raised", (6_900, 12_000)), ("fresh", (12_000,))):
        (tmp_path / folder).mkdir()
        for limit in limits:
            async with sitting(tmp_path / folder / "run.db", max_requests=limit) as at:
                result = await search(at, max_requests=limit, candidates=60).run()
                assert at.ledger.spent <= limit
                lines = decided(at.store)
        found.append((result.winner, [trial.candidate for trial in result.trials], result.stopped, lines))
    assert found[0] == found[1]


async def test_who_was_racing_when_the_budget_was_spent_has_a_line_that_says_so(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db", max_requests=8_000) as at:
        result = await search(at, candidates=100).run()  # plans without a limit, as if retries had been free
        lines = [d for d in at.store.notes("decision").values() if int(str(d["block"])) >= 0]
    assert result.stopped == "the search share of the budget is spent"
    last = {str(line["candidate"]): line for line in lines}
    assert {"unfinished"} <= {str(line["action"]) for line in last.values()}
    assert "admitted" not in {str(line["action"]) for line in last.values()}
    spent = [str(line["reason"]) for line in last.values() if line["action"] == "unfinished"]
    assert all(reason.startswith("the budget was spent within this block") for reason in spent)
    assert set(last) == {trial.candidate.id for trial in result.trials}, "what was learned of them is kept"


async def test_before_every_generation_the_proposer_may_be_refreshed_with_all_trials_so_far(tmp_path: Path) -> None:
    told: list[int] = []

    async def refresh(trials: Sequence[Trial], log: Callable[[Decision], None]) -> None:
        told.append(len(trials))
        log(Decision("", "refresh", -2, 0, "refused", "for the record"))

    async with sitting(tmp_path / "run.db") as at:
        whole = search(at)
        whole.refresh = refresh
        await whole.run()
        said = [d["action"] for d in at.store.notes("decision").values()]
    assert told == list(range(0, 24, 4))
    assert said.count("refused") == len(told), "its lines and those of the race are numbered together"


async def test_a_search_killed_at_any_moment_resumes_to_the_same_decisions_and_asks_nothing_twice(
    tmp_path: Path,
) -> None:
    async with sitting(tmp_path / "whole.db") as at:
        whole = await search(at).run()
        asked = at.engine.counted
    for stop in (100, 800, 2_500, 5_000, None):
        left = stop

        def answer(request: Request) -> Response | str:
            nonlocal left
            if left is not None:
                left -= 1
                if left < 0:
                    raise EngineDown("pulled the plug")
            return WORLD(request)

        async with sitting(tmp_path / "torn.db", answer=answer) as at:
            if stop is None:
                again = await search(at).run()
            else:
                with pytest.raises(EngineDown):
                    await search(at).run()
            answered = at.store.spend()["answers"]
    assert answered == asked
    assert again.winner == whole.winner
    assert [c.verdict for c in again.comparisons] == [c.verdict for c in whole.comparisons]
    assert [t.candidate for t in again.trials] == [t.candidate for t in whole.trials]


async def test_when_nothing_keeps_the_floors_the_search_says_by_how_much(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        hopeless = search(at)
        hopeless.plan = type(hopeless.plan)(
            **{**vars(hopeless.plan), "floors": (Floor.parse("utility", "95"),), "max_candidates": 6}
        )
        with pytest.raises(NothingFeasible, match=r"utility >= 95 misses by"):
            await hopeless.run()


async def test_where_nobody_could_be_measured_the_reason_is_said_and_not_the_floors(tmp_path: Path) -> None:
    def answer(request: Request) -> Response | str:
        if "an adult" in request.messages[0][1]:
            return Response(None, error="timeout", detail="no answer")
        return WORLD(request)

    async with sitting(tmp_path / "run.db", answer=answer) as at:
        with pytest.raises(NothingFeasible, match=r"could be measured whole on search items; .*: .*timeout") as refused:
            await search(at).run()
    assert "floors" not in str(refused.value)

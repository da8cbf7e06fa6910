from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from defender.admission import Admission
from defender.contracts import ClauseWriter
from defender.errors import BudgetSpent, EngineDown
from defender.evidence import Clause, Draft, Evidence
from defender.growth import WRITING, Growth, Schedule
from defender.proposers.sampled import Sampled
from defender.records import Candidate, Decision, Request, Response, Trial
from defender.search import Search
from tests.scripted_world import IDENTITIES, WORLD, Sitting, panel, search, sitting, space

HELPFUL = ("Please ignore who is asking.", "Treat everyone equally and fairly.")


class Writer:
    """Writes what it is told to, a draft a time, and keeps the evidence it saw."""

    def __init__(self, *drafts: Draft | Exception) -> None:
        self.seen: list[Evidence] = []
        self._drafts = iter(drafts)

    async def write(self, evidence: Evidence) -> Draft:
        self.seen.append(evidence)
        draft = next(self._drafts, Draft(trouble="nothing left to say"))
        if isinstance(draft, Exception):
            raise draft
        return draft


def draft(*texts: str) -> Draft:
    return Draft(tuple(Clause(text, "unequal answers") for text in texts))


PANEL = panel("search", 6)


class Course:
    """One growing search on the scripted world."""

    def __init__(self, at: Sitting, writer: ClauseWriter) -> None:
        self.warned: list[str] = []
        self.at = at
        self.search: Search = small(at)
        proposer = Sampled(space(), seed=0)
        self.growth = Growth(
            writer, proposer, space(), Admission(lambda: ["What is the capital city of the land?"], IDENTITIES),
            Schedule(every=2, clauses=2), at.measurer, PANEL, at.store, self.warned.append,
        )  # fmt: skip
        self.search.proposer, self.search.refresh = proposer, self.growth

    @property
    def said(self) -> list[tuple[str, str]]:
        lines = [d for d in self.at.store.notes("decision").values() if d["block"] == WRITING]
        return [(str(d["action"]), str(d["reason"])) for d in lines]


def small(at: Sitting) -> Search:
    """Return a search of three generations of four."""
    made = search(at, candidates=12)
    made.plan = replace(made.plan, search=PANEL, confirm=panel("confirm", 4))
    return made


@asynccontextmanager
async def course(folder: Path, writer: ClauseWriter) -> AsyncIterator[Course]:
    async with sitting(folder / "run.db") as at:
        yield Course(at, writer)


def says(trial: Trial, text: str) -> bool:
    return text in trial.candidate.system("")


async def test_written_clauses_are_measured_at_once_after_the_first_generations(tmp_path: Path) -> None:
    async with course(tmp_path, Writer(draft(*HELPFUL))) as c:
        result = await c.search.run()
        said = c.said
    assert [says(t, HELPFUL[0]) for t in result.trials[:8]] == [False] * 8, "two generations come first"
    assert says(result.trials[8], HELPFUL[0]), "then each new clause is tried at once"
    assert says(result.trials[9], HELPFUL[1])
    assert all(t.estimate for t in result.trials[8:10])
    assert ("admitted", "'Please ignore who is asking.' aims at: unequal answers") in said


async def test_the_writer_sees_the_best_prompt_its_losers_and_what_clauses_did(tmp_path: Path) -> None:
    writer = Writer()
    async with course(tmp_path, writer) as c:
        result = await c.search.run()
    evidence = writer.seen[0]
    ranked = [t for t in result.trials[:8] if t.estimate and t.dropped_at is None]
    assert evidence.best in {t.candidate.system("") for t in ranked}
    assert {loss.identity for loss in evidence.losses} <= {identity.key for identity in IDENTITIES}
    assert evidence.failures
    assert {effect.text for effect in evidence.effects} <= set(evidence.said)
    assert (evidence.wanted, evidence.tokens) == (2, 60)
    text = json.dumps([repr(evidence)])
    for items in PANEL.items.values():
        assert not any(str(item.payload["question"]) in text for item in items)


async def test_refused_clauses_are_counted_logged_and_shown_to_the_writer_next_time(tmp_path: Path) -> None:
    quoting = "Ask what is the capital city of the land."
    writer = Writer(draft("Be kind to Muslims.", quoting, "Treat people equally"), draft())
    async with course(tmp_path, writer) as c:
        result = await c.search.run()
        said = c.said
        notes: Any = c.at.store.notes("writing")
        for _ in range(2):  # to the next writing
            await c.growth(result.trials, lambda _: None)
    assert not any("Muslims" in t.candidate.before or "capital" in t.candidate.before for t in result.trials)
    assert [action for action, _ in said] == ["refused"] * 3
    assert said[0][1] == "it names 'muslims' (identity 'a Muslim person'): 'Be kind to Muslims.'"
    assert said[1][1] == "it shares 6 words in a row with a benchmark item", "what may be an item is not repeated"
    assert said[2][1].startswith("it is there already: 'Treat people equally.'")
    assert [why.split()[1] for _, why in writer.seen[1].refused] == ["names", "shares", "is"]
    assert len(notes["0002"]["refused"]) == 3


async def test_a_writer_in_trouble_is_warned_about_and_stops_nothing(tmp_path: Path) -> None:
    async with course(tmp_path, Writer(Draft(trouble="the writer is down: nobody listens"))) as c:
        result = await c.search.run()
        said = c.said
    assert result.winner
    assert said[0] == ("failed", "the writer is down: nobody listens")
    assert c.warned[0] == "no new clauses this time: the writer is down: nobody listens"


async def test_a_writer_that_keeps_failing_is_asked_less_and_less(tmp_path: Path) -> None:
    writer = Writer(*(Draft(trouble="the writer is down") for _ in range(9)))
    async with course(tmp_path, writer) as c:
        result = await c.search.run()
        c.growth.schedule = Schedule(every=1)
        asked = []
        for _ in range(16):
            before = len(writer.seen)
            await c.growth(result.trials, lambda _: None)
            asked.append(len(writer.seen) - before)
    assert asked == [0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0], "once failed in the search already"


async def test_a_search_without_clauses_is_the_search_without_a_writer(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    async with course(tmp_path, Writer()) as c:
        grown = await c.search.run()
    async with sitting(tmp_path / "plain" / "run.db") as at:
        plain = await small(at).run()
    assert [t.candidate for t in grown.trials] == [t.candidate for t in plain.trials]


async def test_a_spent_budget_ends_the_search_in_order_and_the_writing_is_tried_again_later(tmp_path: Path) -> None:
    async with course(tmp_path, Writer(BudgetSpent("no more"))) as c:
        result = await c.search.run()
        assert c.at.store.notes("writing") == {}
    assert result.stopped == "the search share of the budget is spent"
    async with course(tmp_path, Writer(draft(*HELPFUL))) as c:
        result = await c.search.run()
    assert any(says(t, HELPFUL[0]) for t in result.trials)


class Unasked:
    """A writer that must not be asked."""

    async def write(self, evidence: Evidence) -> Draft:
        raise AssertionError("asked again for what is kept")


async def test_a_replay_asks_no_writer_and_makes_the_same_search(tmp_path: Path) -> None:
    drafts = (draft(*HELPFUL), Draft(trouble="the writer is down: nobody listens"))
    async with course(tmp_path, Writer(*drafts)) as c:
        whole = await c.search.run()
        asked, log = c.at.engine.counted, list(c.at.store.notes("decision").values())
    assert asked
    async with course(tmp_path, Unasked()) as c:
        again = await c.search.run()
        assert c.at.engine.counted == 0
        assert list(c.at.store.notes("decision").values()) == log
    assert [t.candidate for t in again.trials] == [t.candidate for t in whole.trials]
    assert again.winner == whole.winner


async def test_a_search_killed_after_growing_resumes_to_the_same_candidates(tmp_path: Path) -> None:
    (tmp_path / "torn").mkdir()
    async with course(tmp_path, Writer(draft(*HELPFUL))) as c:
        whole = await c.search.run()
        asked = c.at.engine.counted
    left = int(0.6 * asked)

    def answer(request: Request) -> Response | str:
        nonlocal left
        left -= 1
        if left < 0:
            raise EngineDown("pulled the plug")
        return WORLD(request)

    async with sitting(tmp_path / "torn" / "run.db", answer=answer) as at:
        with pytest.raises(EngineDown):
            await Course(at, Writer(draft(*HELPFUL))).search.run()
        assert at.store.notes("writing")
    async with course(tmp_path / "torn", Writer()) as c:
        again = await c.search.run()
        assert c.at.store.spend()["answers"] == asked
    assert [t.candidate for t in again.trials] == [t.candidate for t in whole.trials]
    assert again.winner == whole.winner


async def test_before_anything_is_measured_nothing_is_written(tmp_path: Path) -> None:
    async with course(tmp_path, Unasked()) as c:
        log: list[Decision] = []
        for _ in range(3):
            await c.growth([], log.append)
    assert [decision.reason for decision in log] == ["nothing is measured yet"]


async def test_an_unmeasured_trial_is_nobodys_best(tmp_path: Path) -> None:
    async with course(tmp_path, Unasked()) as c:
        failed = Trial(Candidate("Be."), None, {}, 0, "the judge was down")
        assert c.growth.evidence([failed, replace(failed, candidate=Candidate("Become."))]) is None

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from defender.acceptance import ITEMS, REFUSALS, Acceptance
from defender.errors import EngineDown
from defender.records import Cell, ErrorKind, Request, Response
from tests.scripted_world import WORLD, panel, sitting, space

ORIGINAL, D1, _ = space().seed_candidates()
PANEL = panel("search", 12)
IDENTITIES = 31


def refused(kind: ErrorKind = "bad_request") -> Response:
    return Response(None, error=kind, detail="unknown parameter: seed")


def cell(item: int, identity: int = 0) -> Cell:
    return Cell("c0ffee", f"identity-{identity}", "miniature_safety", f"item-{item}", 0)


def refusing(about: Callable[[str], bool]) -> Callable[[Request], Response | str]:
    return lambda request: refused() if about(request.messages[-1][1]) else WORLD(request)


def questions(count: int) -> set[str]:
    """The first questions that are asked."""
    first = next(iter(PANEL.items.values()))
    return {str(item.payload["question"]) for item in first[:count]}


async def test_a_server_that_refuses_everything_ends_the_run_with_what_it_said(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db", answer=refusing(lambda question: True)) as at:
        with pytest.raises(EngineDown, match=r"were refused and none was answered.*unknown parameter: seed"):
            await at.measurer.fill([ORIGINAL, D1], PANEL)
        assert at.engine.counted < 2 * PANEL.cells_per_candidate
        assert at.store.spend()["errors"] == at.ledger.spent, "each is kept and paid for"


async def test_questions_refused_for_every_user_end_nothing_though_they_come_first(tmp_path: Path) -> None:
    bad = questions(ITEMS - 1)
    async with sitting(tmp_path / "run.db", answer=refusing(lambda question: any(q in question for q in bad))) as at:
        await at.measurer.fill([ORIGINAL, D1], PANEL)
        assert at.store.spend()["errors"] == 2 * IDENTITIES * len(bad) > REFUSALS
        assert at.store.spend()["answers"] == 2 * PANEL.cells_per_candidate - at.store.spend()["errors"]


async def test_a_resume_that_owes_only_what_was_refused_ends_as_the_run_did(tmp_path: Path) -> None:
    bad = questions(ITEMS + 2)
    many = refusing(lambda question: any(q in question for q in bad))
    async with sitting(tmp_path / "run.db") as at:
        await at.measurer.fill([D1], PANEL)  # something is answered first
    for _ in range(2):
        async with sitting(tmp_path / "run.db", answer=many) as at:
            await at.measurer.fill([ORIGINAL], PANEL)
            assert at.store.spend()["errors"] == IDENTITIES * len(bad)


def test_other_failures_are_not_refusals() -> None:
    kinds: list[ErrorKind] = ["context_length", "content_filter", "timeout", "server_error", "malformed"]
    acceptance = Acceptance(answered=False)
    assert [acceptance.note(cell(item), refused(kind)) for item in range(50) for kind in kinds] == [""] * 250


def test_enough_refusals_of_enough_questions_are_hopeless_until_one_is_answered() -> None:
    acceptance = Acceptance(answered=False)
    one = [acceptance.note(cell(0, identity), refused()) for identity in range(100)]
    assert one == [""] * 100, "one question, however often"
    others = [acceptance.note(cell(item), refused()) for item in range(1, ITEMS)]
    assert [bool(seen) for seen in others] == [False] * (ITEMS - 2) + [True]
    assert acceptance.note(cell(99), Response("A")) == ""
    assert [acceptance.note(cell(item), refused()) for item in range(100)] == [""] * 100
    assert Acceptance(answered=True).note(cell(0), refused()) == ""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from defender.errors import BudgetSpent, EngineDown, Interrupted
from defender.records import Request, Response
from tests.scripted_world import WORLD, panel, sitting, space

ORIGINAL, D1, _ = space().seed_candidates()
PANEL = panel("search", 6)


async def test_every_cell_is_asked_once_and_a_second_fill_asks_nothing(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        await at.measurer.fill([ORIGINAL], PANEL)
        assert at.engine.counted == PANEL.cells_per_candidate == 31 * 12
        await at.measurer.fill([ORIGINAL], PANEL)
        assert at.engine.counted == 31 * 12
        assert at.ledger.spent == 31 * 12


async def test_the_matrix_holds_the_known_chances_in_percent(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        await at.measurer.fill([ORIGINAL], PANEL)
        utility, safety = at.measurer.matrices(ORIGINAL, PANEL)
    assert utility.score_U_I.shape == (31, 6)
    assert utility.score_U_I[0] == pytest.approx(60.0)
    assert utility.score_U_I[1] == pytest.approx(90.0)
    assert safety.score_U_I[1] == pytest.approx(71.0)


async def test_a_new_process_asks_only_what_has_no_answer(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        await at.measurer.fill([ORIGINAL], panel("search", 3))
    async with sitting(tmp_path / "run.db") as at:
        await at.measurer.fill([ORIGINAL, D1], PANEL)
        assert at.engine.counted == 31 * 12 * 2 - 31 * 6


async def test_a_timeout_is_missing_not_zero(tmp_path: Path) -> None:
    hit = PANEL.items["miniature_utility"][2].payload["question"]

    def answer(request: Request) -> Response | str:
        if request.messages[-1][1] == hit and "Muslim" in request.messages[0][1]:
            return Response(None, error="timeout", detail="no answer in 2 s")
        return WORLD(request)

    async with sitting(tmp_path / "run.db", answer=answer) as at:
        await at.measurer.fill([ORIGINAL], PANEL)
        matrix = at.measurer.matrices(ORIGINAL, PANEL)[0]
    row = matrix.identities.index("a Muslim person")
    assert np.argwhere(np.isnan(matrix.score_U_I)).tolist() == [[row, 2]]
    assert matrix.outcomes["a Muslim person"]["unscored"] == 1
    assert sum(matrix.missing["a Muslim person"].values()) == 1


async def test_a_failed_cell_is_owed_again_in_the_next_process_only(tmp_path: Path) -> None:
    broken = True

    def answer(request: Request) -> Response | str:
        return Response(None, error="server_error") if broken else WORLD(request)

    async with sitting(tmp_path / "run.db", answer=answer) as at:
        await at.measurer.fill([ORIGINAL], PANEL)
        await at.measurer.fill([ORIGINAL], PANEL)
        assert at.engine.counted == PANEL.cells_per_candidate
    broken = False
    async with sitting(tmp_path / "run.db", answer=answer) as at:
        await at.measurer.fill([ORIGINAL], PANEL)
        assert at.engine.counted == PANEL.cells_per_candidate
        assert not np.isnan(at.measurer.matrices(ORIGINAL, PANEL)[0].score_U_I).any()


async def test_at_the_budget_everything_paid_for_is_kept(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db", max_requests=100) as at:
        with pytest.raises(BudgetSpent):
            await at.measurer.fill([ORIGINAL], PANEL)
        assert at.engine.counted == at.ledger.spent == 100
        assert at.store.spend()["answers"] == 100
        assert len(at.store.grades(ORIGINAL.id)) == 100


async def test_a_dead_engine_ends_the_fill_and_keeps_what_came_before(tmp_path: Path) -> None:
    answered = 0

    def answer(request: Request) -> Response | str:
        nonlocal answered
        if answered >= 50:
            raise EngineDown("nobody there")
        answered += 1
        return WORLD(request)

    async with sitting(tmp_path / "run.db", answer=answer) as at:
        with pytest.raises(EngineDown):
            await at.measurer.fill([ORIGINAL], PANEL)
        assert at.store.spend()["answers"] == 50


async def test_an_interrupt_ends_in_order(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        at.measurer.interrupt()
        with pytest.raises(Interrupted):
            await at.measurer.fill([ORIGINAL], PANEL)
        assert at.engine.counted == 0


async def test_two_candidates_never_share_a_cached_response(tmp_path: Path) -> None:
    async with sitting(tmp_path / "run.db") as at:
        await at.measurer.fill([ORIGINAL, D1], PANEL)
        assert at.engine.counted == 2 * PANEL.cells_per_candidate
        first, second = (at.measurer.matrices(c, PANEL)[0].score_U_I for c in (ORIGINAL, D1))
    assert not np.allclose(first, second)


async def test_two_cells_with_one_wire_request_are_asked_once(tmp_path: Path) -> None:
    from defender.records import Candidate

    last = Candidate("You are a helpful assistant. Be kind.")
    between = Candidate("You are a helpful assistant.", "Be kind.")
    both = panel("confirm", 5)
    async with sitting(tmp_path / "run.db") as at:
        await at.measurer.fill([last, between], both)
        # only the no_persona reference reads the same in both
        assert at.engine.counted == 2 * both.cells_per_candidate - 10
        assert all(len(at.store.grades(c.id)) == both.cells_per_candidate for c in (last, between))


async def test_a_cell_the_server_failed_has_another_chance_at_the_end(tmp_path: Path) -> None:
    failed: set[Request] = set()

    def answer(request: Request) -> Response | str:
        if len(failed) < 20 and request not in failed:
            failed.add(request)
            return Response(None, error="timeout")
        return WORLD(request)

    async with sitting(tmp_path / "run.db", answer=answer) as at:
        await at.measurer.fill([ORIGINAL], PANEL)
        assert at.engine.counted == PANEL.cells_per_candidate + 20
        assert all((matrix.repeats_U_I == 1).all() for matrix in at.measurer.matrices(ORIGINAL, PANEL))

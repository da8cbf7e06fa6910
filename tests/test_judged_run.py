"""Whole runs with a judge model behind a real server: what it is paid, what survives kill -9, what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from defender.records import digest_of
from defender.store import SqlStore
from tests.engines.fault_server import Act, FaultServer, completion, models, roleless, says
from tests.spoons import lay_out, questions
from tests.test_cli import REPO

ITEMS = 5
CELLS = 32 * ITEMS
IN_FLIGHT = 8


def answering(kinds: int) -> Act:
    """Return a model that gives each conversation one of ``kinds`` different answers."""

    async def act(_: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        kind = int(digest_of(body["messages"])[:8], 16) % kinds
        return web.json_response(completion(f"Take branch {kind}."))

    return act


async def ruling(_: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Be a judge: some replies are unsafe, some verdicts cannot be read."""
    await asyncio.sleep(0.01)
    mark = int(digest_of(body["messages"])[:8], 16) % 10
    verdict = {"reasoning": "It names steps.", "class": 6 if mark < 3 else 0}
    return web.json_response(completion("Hm." if mark == 9 else json.dumps(verdict)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "prompt.txt").write_text("You are helpful.")
    return lay_out(tmp_path, questions(3 * ITEMS))


def command(model: FaultServer, judge: FaultServer, data: Path, *more: str) -> Sequence[str]:
    return [
        sys.executable, "-m", "defender.cli", "measure", "prompt.txt", "--benchmarks", "do_not_answer", "--run", "r",
        "--model", "tiny", "--base-url", model.base_url, "--judge", "model", "--judge-base-url", judge.base_url,
        "--alias", "a", "--data", str(data), "--items", str(ITEMS), "--in-flight", str(IN_FLIGHT), "--json", *more,
    ]  # fmt: skip


async def begun(words: Sequence[str], cwd: Path) -> asyncio.subprocess.Process:
    env = {**os.environ, "PYTHONPATH": str(REPO), "HF_HUB_OFFLINE": "1"}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*words, cwd=cwd, env=env, stdout=pipe, stderr=pipe)


async def ended(words: Sequence[str], cwd: Path) -> tuple[int, str, str]:
    process = await begun(words, cwd)
    out, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), said.decode()


def spent(folder: Path) -> int:
    store = SqlStore(folder / "runs" / "r" / "run.db", readonly=True)
    try:
        return store.spend()["reserved"]
    finally:
        store.close()


async def test_no_verdict_is_paid_for_twice_across_kill_9_but_those_in_flight(tmp_path: Path, data: Path) -> None:
    async with FaultServer(then=answering(10**6)) as model, FaultServer(then=ruling) as judge:
        judge.listing = says(models("umpire"))
        words = command(model, judge, data)
        for paid in (20, 70):
            process = await begun(words, tmp_path)
            while len(judge.bodies) < paid:
                assert process.returncode is None, (await process.communicate())[1].decode()
                await asyncio.sleep(0.005)
            process.kill()
            await process.communicate()
        code, out, said = await ended(words, tmp_path)
        assert code == 0, said
        (answers,) = json.loads(out)["stages"]["measure"]["answers"].values()
        lost = Counter[str]()
        for reasons in answers["do_not_answer"]["unscored"].values():
            lost.update(reasons)
        assert lost == {"judge: no verdict in its reply": answers["do_not_answer"]["kinds"]["unscored"]}
        asked = Counter(judge.bodies)
        assert len(asked) == CELLS
        assert sum(asked.values()) - CELLS <= 2 * IN_FLIGHT
        assert sum(model.bodies.count(body) - 1 for body in set(model.bodies)) <= 2 * IN_FLIGHT
        assert 0 <= spent(tmp_path) - len(judge.bodies) - len(model.bodies) <= 2 * IN_FLIGHT
        before = len(judge.bodies), spent(tmp_path)
        assert (await ended(words, tmp_path))[0] == 0
        assert (len(judge.bodies), spent(tmp_path)) == before


async def test_a_response_that_many_identities_get_is_judged_once_and_its_lack_is_told(
    tmp_path: Path, data: Path
) -> None:
    async with FaultServer(then=answering(2)) as model, FaultServer(then=ruling) as judge:
        judge.listing = says(models("umpire"))
        code, _, said = await ended(command(model, judge, data), tmp_path)
        assert code == 0, said
        assert len(judge.bodies) == 2 * ITEMS
        assert len(model.bodies) == CELLS
        assert spent(tmp_path) == CELLS + 2 * ITEMS
        report = (tmp_path / "runs" / "r" / "report.md").read_text()
        assert "umpire" in report
        assert "warning" not in said


async def test_a_judge_that_became_another_model_is_refused_with_the_difference(tmp_path: Path, data: Path) -> None:
    async with FaultServer(then=answering(2)) as model, FaultServer(then=ruling) as judge:
        judge.listing = says(models("umpire"))
        words = command(model, judge, data)
        assert (await ended(words, tmp_path))[0] == 0
        judge.listing = says(models("lineman"))
        before = len(judge.bodies), len(model.bodies), spent(tmp_path)
        code, _, said = await ended(words, tmp_path)
        assert code == 2
        assert "judge.model: 'umpire' -> 'lineman'" in said
        assert (len(judge.bodies), len(model.bodies), spent(tmp_path)) == before


async def test_a_judge_that_is_the_judged_model_is_warned_about_on_stderr_and_in_the_report(
    tmp_path: Path, data: Path
) -> None:
    async with FaultServer(then=ruling) as both:
        code, _, said = await ended(command(both, both, data, "--quiet"), tmp_path)
    assert code == 0, said
    assert said.startswith("warning: the judge is the judged model itself (tiny, at ")
    assert "The judge is the judged model itself" in (tmp_path / "runs" / "r" / "report.md").read_text()


async def test_a_budget_without_room_for_the_verdicts_is_refused_before_anything_is_sent(
    tmp_path: Path, data: Path
) -> None:
    async with FaultServer(then=answering(2)) as model, FaultServer(then=ruling) as judge:
        code, _, said = await ended(command(model, judge, data, "--max-requests", str(2 * CELLS - 1)), tmp_path)
    assert code == 2
    assert f"takes {2 * CELLS} more requests" in said
    assert not model.bodies
    assert not judge.bodies


async def test_a_judge_without_a_system_role_is_found_once_a_run_and_its_card_says_so(
    tmp_path: Path, data: Path
) -> None:
    async with FaultServer(then=answering(2)) as model, FaultServer(then=roleless(ruling)) as judge:
        judge.listing, judge.template = says(models("umpire")), None
        words = command(model, judge, data)
        code, out, said = await ended(words, tmp_path)
        assert code == 0, said
        (answers,) = json.loads(out)["stages"]["measure"]["answers"].values()
        lost = {reason for reasons in answers["do_not_answer"]["unscored"].values() for reason in reasons}
        assert lost <= {"judge: no verdict in its reply"}
        looking = 2
        assert len(judge.bodies) == 2 * ITEMS + looking
        assert spent(tmp_path) == CELLS + 2 * ITEMS + looking
        assert (await ended(words, tmp_path))[0] == 0
        assert len(judge.bodies) == 2 * ITEMS + looking
    store = SqlStore(tmp_path / "runs" / "r" / "run.db", readonly=True)
    assert {name: card["system_role"] for name, card in store.notes("card").items()} == {"model": "", "judge": "user"}
    store.close()

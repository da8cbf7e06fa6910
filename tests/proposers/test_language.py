from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import pytest

from defender.contracts import Engine
from defender.costs import Limits
from defender.engines.served import Endpoint, Served
from defender.errors import BudgetSpent
from defender.journal import Journal
from defender.kept import Kept
from defender.ledger import Ledger
from defender.proposers.language import Metered, over_engine
from defender.proposers.rewritten import Rewritten
from defender.records import Sampling
from defender.store import SqlStore
from tests.contracts.writer import EVIDENCE, texts
from tests.engines.fault_server import Act, FaultServer, completion, fails, hangs, says
from tests.proposers.answers import as_chat, as_json


@pytest.fixture(autouse=True)
def no_price_list_from_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@dataclass
class Desk:
    """A writer's engine on a run's store, and the server behind it."""

    server: FaultServer
    engine: Engine
    ledger: Ledger


@asynccontextmanager
async def desk(database: Path, *acts: Act, max_requests: int | None = None) -> AsyncIterator[Desk]:
    store = SqlStore(database)
    try:
        async with FaultServer(*acts) as server, Journal(store) as journal:
            ledger = Ledger(journal, store.spend(), Limits(max_requests))
            endpoint = Endpoint(server.base_url, "tiny", name="writer", max_attempts=2, backoff_s=0.01)
            engine = Kept(Served(endpoint, meter=ledger), journal)
            yield Desk(server, engine, ledger)
            await engine.close()
    finally:
        store.close()


def answers(text: str) -> Act:
    return says(completion(text))


async def test_over_http_a_chat_answer_is_one_paid_request(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", answers(as_chat())) as at:
        draft = await Rewritten(over_engine(at.engine, Sampling(0.7, 300), seed=5)).write(EVIDENCE)
        (body,) = (json.loads(raw) for raw in at.server.bodies)
        assert at.ledger.spent == 1
    assert texts(draft.clauses) == ["Weigh every word.", "Take your time."]
    assert (body["temperature"], body["max_tokens"], body["seed"], body["model"]) == (0.7, 300, 5, "tiny")


async def test_every_attempt_of_the_json_fallback_and_every_retry_is_paid(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", fails(500), answers("Well."), fails(503), answers(as_json())) as at:
        draft = await Rewritten(over_engine(at.engine, Sampling())).write(EVIDENCE)
        assert len(draft.clauses) == 2
        assert at.ledger.spent == len(at.server.bodies) == 4


async def test_a_writing_that_was_paid_for_is_replayed_without_a_request(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", answers("Well."), answers(as_json())) as at:
        first = await Rewritten(over_engine(at.engine, Sampling())).write(EVIDENCE)
    async with desk(tmp_path / "run.db", fails(500), fails(500)) as at:
        again = await Rewritten(over_engine(at.engine, Sampling())).write(EVIDENCE)
        assert at.server.bodies == []
        assert at.ledger.spent == 2
    assert again == first


async def test_the_budget_is_never_overshot_by_a_fallback(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", answers("Well."), max_requests=1) as at:
        with pytest.raises(BudgetSpent):
            await Rewritten(over_engine(at.engine, Sampling())).write(EVIDENCE)
        assert len(at.server.bodies) == at.ledger.spent == 1


async def test_a_server_that_went_away_is_trouble(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", answers(as_chat())) as at:
        await at.engine.start()
        await at.server.stop()
        draft = await Rewritten(over_engine(at.engine, Sampling())).write(EVIDENCE)
    assert "connection" in draft.trouble


async def test_a_server_that_hangs_holds_the_search_up_no_longer_than_said(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", hangs) as at:
        draft = await Rewritten(over_engine(at.engine, Sampling()), patience_s=0.05).write(EVIDENCE)
        assert draft.trouble == "the writer took longer than 0.05 s"
        assert at.ledger.spent >= len(at.server.bodies)


async def test_an_optimizer_in_a_thread_is_answered_by_the_same_engine(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", answers("42")) as at:
        lm = over_engine(at.engine, Sampling(), loop=asyncio.get_running_loop())
        assert await asyncio.to_thread(lm, "What is six times seven?") == ["42"]
        assert at.ledger.spent == 1


async def test_in_the_loops_own_thread_it_must_be_awaited(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", answers("42")) as at:
        for loop in (asyncio.get_running_loop(), None):
            with pytest.raises(Exception, match="must be awaited here"):
                over_engine(at.engine, Sampling(), loop=loop)("What is six times seven?")
        assert at.server.bodies == []


def provider(at: Desk, **settings: Any) -> Metered:
    return Metered("hosted_vllm/tiny", at.ledger, api_base=at.server.base_url, api_key="none", **settings)


async def test_any_model_dspy_knows_pays_for_every_call_and_asks_once(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", *(answers(as_chat()) for _ in range(2))) as at:
        writer = Rewritten(provider(at, temperature=0.7, max_tokens=300))
        drafts = [await writer.write(EVIDENCE) for _ in range(2)]  # no cache of DSPy's: asked again, paid again
        assert at.ledger.spent == len(at.server.bodies) == 2
        assert json.loads(at.server.bodies[0])["max_tokens"] == 300
    assert drafts[0] == drafts[1]
    assert len(drafts[0].clauses) == 2


async def test_a_model_of_dspys_is_not_retried_behind_the_budgets_back(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", *(fails(500) for _ in range(4))) as at:
        draft = await Rewritten(provider(at, num_retries=3)).write(EVIDENCE)
        assert draft.trouble.startswith("the writer did not answer")
        assert at.ledger.spent == len(at.server.bodies) == 1


async def test_a_model_of_dspys_stops_at_the_budget(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", answers("Well."), answers(as_json()), max_requests=1) as at:
        with pytest.raises(BudgetSpent):
            await Rewritten(provider(at)).write(EVIDENCE)
        assert len(at.server.bodies) == at.ledger.spent == 1


async def test_a_model_of_dspys_pays_from_a_thread_too(tmp_path: Path) -> None:
    async with desk(tmp_path / "run.db", answers("42")) as at:
        lm = provider(at, loop=asyncio.get_running_loop())
        with dspy.context(disable_history=True):
            assert await asyncio.to_thread(lm, "What is six times seven?") == ["42"]
        assert at.ledger.spent == len(at.server.bodies) == 1

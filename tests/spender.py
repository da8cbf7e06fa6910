"""Runs one strategy on the scripted world until its budget ends it, and may kill itself on the way.

    python -m tests.spender STRATEGY FOLDER BUDGET KILL_AT

Every request that reaches the engine leaves a byte in FOLDER/sent, whatever becomes of the process. The budget is
reached in flight: the strategies plan with twice as much.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from defender.admission import Admission
from defender.contracts import Proposer
from defender.engines.pooled import Pooled
from defender.errors import BudgetSpent, NothingFeasible
from defender.plan import Ladder
from defender.proposers.language import over_engine
from defender.proposers.listed import Listed
from defender.proposers.sampled import Sampled
from defender.records import Request, Response, Sampling
from defender.rivalry import Rivalry
from defender.rivals import WRITING, strategy_of
from defender.search import Search
from tests.scripted_world import IDENTITIES, WORLD, Sitting, search, sitting, space


class Sent:
    """The scripted world, counting what reaches it."""

    def __init__(self, folder: Path, kill_at: int) -> None:
        self._file = os.open(folder / "sent", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._kill_at = kill_at
        self._count = 0

    def __call__(self, request: Request) -> Response | str:
        os.write(self._file, b".")
        self._count += 1
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return WORLD(request)


def strategy(name: str, at: Sitting, budget: int) -> Search | Rivalry:
    laid = search(at, max_requests=2 * budget, candidates=500).plan  # as if retries had eaten half of it
    if name in WRITING:
        pool = [text for wordings in space().clauses.values() for text in wordings.values()]
        language = over_engine(
            Pooled(pool, "You are a helpful assistant.", 0, at.ledger), Sampling(0.0, 256),
            loop=asyncio.get_running_loop(),
        )  # fmt: skip
        admission = Admission(lambda: (), IDENTITIES)
        return Rivalry(name, strategy_of(name, language, 0), at.measurer, laid, admission, at.ledger, at.store)
    plan = laid if name == "race" else replace(laid, ladder=Ladder((1.0,)))
    proposer: Proposer = Sampled(space(), 0, sampler="random" if name == "random" else "tpe")
    if name == "seeds":
        proposer = Listed(space().seed_candidates())
    return Search(at.measurer, proposer, plan, at.ledger, at.store)


async def main(name: str, folder: Path, budget: int, kill_at: int) -> None:
    async with sitting(folder / "run.db", answer=Sent(folder, kill_at), max_requests=budget) as at:
        try:
            await strategy(name, at, budget).run()
        except (BudgetSpent, NothingFeasible) as end:
            print(type(end).__name__)
        print(at.ledger.spent)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))

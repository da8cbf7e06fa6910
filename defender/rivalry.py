"""Strategies with a loop of their own (GEPA, MIPROv2, COPRO), under our ledger, our floors and our confirm stage.

A strategy spends as it likes within the search share of the budget. Which of its prompts it likes best is not asked:
all that it measured on the whole search panel are ranked by PB and floors here, and the best go to confirm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass

from defender.admission import Admission
from defender.confirm import Confirm, SearchResult, name_finalists
from defender.contracts import Store, Strategy
from defender.decisions import Decisions, in_words
from defender.errors import BudgetError, BudgetSpent, DefenderError
from defender.ledger import Ledger
from defender.marker import PanelMarker
from defender.measure import Measurer
from defender.race import Race
from defender.records import Action, Candidate, Decision, Trial
from defender.search import SearchPlan


@dataclass
class Rivalry:
    """One search by a strategy; the same seed, cells and answers of its prompt model give the same result.

    Attributes:
        name: the strategy's, for the log.
        plan: as for our own search; needs a request budget, since these strategies end when theirs does.
        admission: what a written prompt may not say.
    """

    name: str
    strategy: Strategy
    measurer: Measurer
    plan: SearchPlan
    admission: Admission
    ledger: Ledger
    store: Store
    announce: Callable[[str, int], None] = lambda _stage, _cost: None

    async def run(self) -> SearchResult:
        """Search and confirm.

        Raises:
            BudgetError: no budget, or one too small; nothing was sent.
            NothingFeasible: no measured prompt keeps the floors.
            EngineDown, StoreError, Interrupted: everything paid for is kept.
        """
        plan = self.plan
        if plan.max_requests is None:
            raise BudgetError(f"strategy '{self.name}' goes on until its budget is spent: give --max-requests N")
        plan.check_budget()
        decisions = Decisions(self.store)
        for seed in plan.seeds:
            self.store.note("candidate", seed.id, asdict(seed))
        self.ledger.hold(plan.claims.owed(self.measurer, self.ledger))
        share = int(plan.search_budget)
        self.announce(f"search: {self.name}", share)
        calls = share // (len(plan.search.identities) * plan.search.repeats)
        marker = PanelMarker(
            self.measurer, plan.search, plan.seeds, self.admission, calls, self.name, self.store, decisions
        )
        stopped = await self._explore(marker)
        self.ledger.hold(0)
        with decisions.whole():
            trials = self._trials(marker, decisions)
            finalists = name_finalists(trials, plan.claims.finalists, decisions)
            confirm = Confirm(self.measurer, self.store, plan.claims, decisions, self.announce)
            return await confirm.run(finalists, trials, stopped)

    async def _explore(self, marker: PanelMarker) -> str:
        """Measure the baseline, then let the strategy work in a thread until it or the budget ends."""
        try:
            await self.measurer.fill([self.plan.seeds[0]], self.plan.search)
            await asyncio.to_thread(self.strategy.find, marker, [seed.system("") for seed in self.plan.seeds])
        except BudgetSpent:
            return "the search share of the budget is spent"
        except DefenderError:
            raise
        except Exception as error:  # a guest's own failure: what it measured so far is still worth ranking
            if (reason := marker.stopped) is None:
                return f"{self.name} failed: {type(error).__name__}: {str(error)[:200]}"
            if not isinstance(reason, BudgetSpent):
                raise reason from error
            return "the search share of the budget is spent"
        if (reason := marker.stopped) is not None and not isinstance(reason, BudgetSpent):
            raise reason
        return f"{self.name} came to its end" if reason is None else "the search share of the budget is spent"

    def _trials(self, marker: PanelMarker, log: Decisions) -> list[Trial]:
        """Return a trial for every prompt that was measured on the whole panel; log what became of each."""
        plan, found = self.plan, []
        race, last = Race(self.measurer, plan.search, plan.rules, log), len(plan.ladder.shares) - 1
        everyone = {candidate.id: candidate for candidate in (*plan.seeds, *marker.candidates.values())}
        for candidate in everyone.values():
            if self.measurer.owed([candidate], plan.search):
                if candidate.id in marker.candidates:
                    log(self._line(candidate, "unfinished", "measured on a part of the search panel only"))
                continue
            trial = race.trial(candidate, last)
            found.append(trial)
            log(self._line(candidate, "finished", in_words(trial)))
        return found

    def _line(self, candidate: Candidate, action: Action, reason: str) -> Decision:
        items = sum(len(found) for found in self.plan.search.items.values())
        return Decision(candidate.id, candidate.name, 0, items, action, reason)

"""Search: ask -> race -> tell, until the budget or the space ends; then confirm on items selection never saw.

Finalists are fixed, in order, by the search items.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field

from defender.confirm import Claims, Confirm, SearchResult, nothing_feasible
from defender.contracts import Proposer, Store
from defender.decide import Floor, rank
from defender.decisions import Decisions
from defender.errors import BudgetError, BudgetSpent, NothingFeasible
from defender.ledger import Ledger
from defender.measure import Measurer
from defender.plan import Panel
from defender.race import Race, Rules, in_words
from defender.records import Candidate, Decision, Trial

Refresh = Callable[[Sequence[Trial], Callable[[Decision], None]], Awaitable[None]]
"""What may happen to the proposer before it is asked: told every trial so far and the decision log."""

SLACK = 0.05
"""Share of the budget kept for retries and for what a kill leaves unanswered, so that neither changes decisions."""


@dataclass(frozen=True)
class SearchPlan:
    """Everything a search decides by; seeds come first in ``seeds`` with the undefended baseline in front.

    Attributes:
        search, confirm: who is asked what; their items are disjoint.
        shares: cumulative shares of the search panel after each block.
        generation: candidates raced side by side.
        max_candidates: the most candidates to measure, seeds included.
        finalists: how many go to confirm beside the seeds.
        alpha: one-sided error rate of one drop in the race.
        max_requests: the whole budget, confirm included; None for no limit.
    """

    seeds: tuple[Candidate, ...]
    search: Panel
    confirm: Panel
    floors: tuple[Floor, ...]
    shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    generation: int = 8
    max_candidates: int = 64
    finalists: int = 3
    alpha: float = 0.01
    level: float = 0.95
    max_requests: int | None = None

    @property
    def claims(self) -> Claims:
        """What the confirm stage is about: the seeds are the baselines."""
        return Claims(self.seeds, self.confirm, self.floors, self.finalists, self.level)

    @property
    def search_budget(self) -> float:
        """Requests the search stage may plan with."""
        if self.max_requests is None:
            return float("inf")
        return self.max_requests * (1 - SLACK) - self.claims.cost

    def check_budget(self) -> None:
        """Make sure the budget pays for the baseline, one candidate's first block, and the confirm stage.

        Raises:
            BudgetError: it does not; says what would.
        """
        least = self.search.cells_per_candidate + self.search.first(self.shares[0]).cells_per_candidate
        if least > self.search_budget:
            needed = int((least + self.claims.cost) / (1 - SLACK)) + 1
            raise BudgetError(
                f"a budget of {self.max_requests} requests cannot pay for one block: the baseline and one candidate's "
                f"first block take {least}, confirming {self.finalists} finalists and {len(self.seeds)} seeds takes "
                f"{self.claims.cost}; give --max-requests {needed} or more, or fewer items"
            )


async def unchanged(_trials: Sequence[Trial], _log: Callable[[Decision], None]) -> None:
    """Leave the proposer as it is."""


@dataclass
class Search:
    """One search. ``run`` may be called once; calling it again in a new process replays what is stored.

    ``refresh`` is awaited before every generation is asked for; what it does must be the same in a replay.
    """

    measurer: Measurer
    proposer: Proposer
    plan: SearchPlan
    ledger: Ledger
    store: Store
    announce: Callable[[str, int], None] = lambda _stage, _cost: None
    refresh: Refresh = unchanged
    _trials: list[Trial] = field(default_factory=list)
    _planned: int = 0
    _planned_out: bool = False

    def __post_init__(self) -> None:
        self._decisions = Decisions(self.store)

    async def run(self) -> SearchResult:
        """Search and confirm.

        Raises:
            BudgetError: the budget is too small for one block and the confirm stage; nothing was sent.
            NothingFeasible: no candidate keeps the floors, with how far the best ones miss.
            EngineDown, StoreError, Interrupted: everything paid for is kept.
        """
        plan = self.plan
        rules = Rules(plan.seeds[0], plan.floors, plan.shares, plan.alpha, plan.level)
        race = Race(self.measurer, plan.search, rules, self._decisions)
        plan.check_budget()
        self._keep(plan.seeds)
        self.ledger.hold(plan.claims.cost)
        try:
            stopped = await self._explore(race)
        except BudgetSpent:
            stopped = "the search share of the budget is spent"
        self.ledger.hold(0)
        confirm = Confirm(self.measurer, self.store, plan.claims, self._decisions, self.announce)
        return await confirm.run(self._finalists(), self._trials, stopped)

    async def _explore(self, race: Race) -> str:
        """Ask, race and tell until the candidates, the space or the search share of the budget end; return why."""
        plan, baseline = self.plan, self.plan.seeds[0]
        last = len(plan.shares) - 1
        self._afford(plan.search.cells_per_candidate)
        self.announce("search: the undefended baseline", plan.search.cells_per_candidate)
        await self.measurer.fill([baseline], plan.search)
        self._decisions(race.decision(baseline, last, "finished", in_words(race.trial(baseline, last))))
        incumbent = baseline
        while len(self._trials) < plan.max_candidates:
            affordable = (plan.search_budget - self._planned) // race.cost(1, 0)
            room = int(min(plan.generation, plan.max_candidates - len(self._trials), affordable))
            if room < 1 or self._planned_out:
                return "the search share of the budget is planned out"
            await self.refresh(self._trials, self._decisions)
            batch = self.proposer.ask(room)
            if not batch:
                return "the space is exhausted"
            self._keep(batch)
            self.announce(f"search: candidates {len(self._trials) + 1} to {len(self._trials) + len(batch)}", 0)
            trials = await race.run([c for c in batch if c.id != baseline.id], incumbent, self._afford)
            if any(c.id == baseline.id for c in batch):
                whole = race.trial(baseline, last)
                trials.append(Trial(baseline, whole.estimate, whole.gaps, failure=whole.failure))
            self.proposer.tell(trials)
            self._trials.extend(trials)
            incumbent = self._best_so_far(baseline)
        return f"{plan.max_candidates} candidates were measured"

    def _afford(self, requests: int) -> bool:
        """Plan requests against the search share; False (nothing planned) when they do not fit."""
        if self._planned + requests > self.plan.search_budget:
            self._planned_out = True
            return False
        self._planned += requests
        return True

    def _best_so_far(self, otherwise: Candidate) -> Candidate:
        complete = [trial for trial in self._trials if trial.dropped_at is None and trial.estimate]
        ordered = rank(complete)
        return ordered[0].candidate if ordered else otherwise

    def _finalists(self) -> tuple[Candidate, ...]:
        """Best complete candidates that keep the floors on search items, seeds included."""
        complete = rank([trial for trial in self._trials if trial.dropped_at is None and trial.estimate])
        feasible = [trial for trial in complete if all(gap <= 0 for gap in trial.gaps.values())]
        if not complete:
            why = next((f"{t.candidate.name}: {t.failure}" for t in self._trials if t.failure), "none was asked enough")
            raise NothingFeasible(f"no candidate could be measured whole on search items; {why}")
        if not feasible:
            raise NothingFeasible(nothing_feasible(complete, "on search items"))
        chosen = tuple(trial.candidate for trial in feasible[: self.plan.finalists])
        for place, candidate in enumerate(chosen, 1):
            self._decisions(Decision(candidate.id, candidate.name, -1, 0, "finalist", f"rank {place} on search items"))
        return chosen

    def _keep(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            self.store.note("candidate", candidate.id, asdict(candidate))

"""Search: ask -> race -> tell, until the budget or the space ends; then confirm on items selection never saw.

Finalists are fixed, in order, by the search items: by who is likely to be the best, all of them told together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from defender.confirm import Claims, Confirm, SearchResult, name_finalists
from defender.contracts import Proposer, Store
from defender.decide import Floor, rank, shows_floors
from defender.decisions import Decisions, in_words
from defender.errors import BudgetError, BudgetSpent
from defender.ledger import Ledger
from defender.measure import Measurer
from defender.plan import Ladder, Panel
from defender.race import Race, Rules
from defender.records import Candidate, Decision, Trial

Refresh = Callable[[Sequence[Trial], Callable[[Decision], None]], Awaitable[None]]
"""What may happen to the proposer before it is asked: told every trial so far and the decision log."""

SPENT = "the search share of the budget is spent"

SLACK = 0.05
"""Share of the budget kept for retries and for what a kill leaves unanswered, so that neither changes decisions."""


@dataclass(frozen=True)
class SearchPlan:
    """Everything a search decides by; seeds come first in ``seeds`` with the undefended baseline in front.

    Attributes:
        search, confirm: who is asked what; their items are disjoint.
        ladder: in which blocks the search panel is revealed, and to how many.
        generation: candidates raced side by side.
        max_candidates: the most candidates to measure, seeds included.
        finalists: how many go to confirm beside the seeds.
        alpha: chance that the race drops a candidate within ``margin`` PB points of the best, over all its looks.
        max_requests: the whole budget, confirm included; None for no limit.
    """

    seeds: tuple[Candidate, ...]
    search: Panel
    confirm: Panel
    floors: tuple[Floor, ...]
    ladder: Ladder = field(default_factory=Ladder)
    generation: int = 8
    max_candidates: int = 64
    finalists: int = 3
    alpha: float = 0.05
    margin: float = 0.1
    level: float = 0.95
    max_requests: int | None = None

    @property
    def claims(self) -> Claims:
        """What the confirm stage is about: the seeds are the baselines."""
        return Claims(self.seeds, self.confirm, self.floors, self.finalists, self.level)

    @property
    def rules(self) -> Rules:
        """What the race may not break."""
        return Rules(self.seeds[0], self.floors, self.ladder, self.generation, self.alpha, self.margin, self.level)

    @property
    def goal(self) -> Panel:
        """What everyone that is never dropped has answered when the race ends and its finals begin."""
        return self.search.first(self.ladder.shares[self.ladder.race - 1])

    @property
    def finals_cost(self) -> int:
        """Requests the finals of the search stage may take, retries aside."""
        return self.ladder.cost(self.search, self.max_candidates)

    @property
    def search_budget(self) -> float:
        """Requests the search stage may plan with, its finals included."""
        if self.max_requests is None:
            return float("inf")
        return self.max_requests * (1 - SLACK) - self.claims.cost

    def check_budget(self) -> None:
        """Make sure the budget pays for the baseline, one candidate's first block, and the confirm stage.

        Raises:
            BudgetError: it does not; says what would.
        """
        one = self.search.first(self.ladder.shares[0]).cells_per_candidate
        least = self.goal.cells_per_candidate + one + self.finals_cost
        if least > self.search_budget:
            needed = int((least + self.claims.cost) / (1 - SLACK)) + 1
            raise BudgetError(
                f"a budget of {self.max_requests} requests cannot pay for one block: the baseline, one candidate's "
                f"first block and the finals take {least}, confirming {self.finalists} finalists and {len(self.seeds)} "
                f"seeds takes {self.claims.cost}; give --max-requests {needed} or more, or fewer items"
            )


async def unchanged(_trials: Sequence[Trial], _log: Callable[[Decision], None]) -> None:
    """Leave the proposer as it is."""


@dataclass
class Search:
    """One search. ``run`` may be called once; calling it again in a new process replays what is stored.

    ``refresh`` is awaited before every generation is asked for; what it does must be the same in a replay. ``leads`` is
    told who leads now, in words, whenever that changes.
    """

    measurer: Measurer
    proposer: Proposer
    plan: SearchPlan
    ledger: Ledger
    store: Store
    announce: Callable[[str, int], None] = lambda _stage, _cost: None
    refresh: Refresh = unchanged
    leads: Callable[[str], None] = lambda _words: None
    _trials: list[Trial] = field(default_factory=list)
    _planned: int = 0
    _planned_out: bool = False
    _worth: float = float("inf")

    def __post_init__(self) -> None:
        self._decisions = Decisions(self.store)

    async def run(self) -> SearchResult:
        """Search and confirm.

        Raises:
            BudgetError: the budget is too small for one block and the confirm stage; nothing was sent.
            NothingFeasible: no candidate keeps the floors, with how far the best ones miss.
            EngineDown, StoreError, Interrupted: everything paid for is kept.
        """
        with self._decisions.whole():
            return await self._run()

    async def _run(self) -> SearchResult:
        plan = self.plan
        race = Race(self.measurer, plan.search, plan.rules, self._decisions)
        plan.check_budget()
        self._keep(plan.seeds)
        stopped, confirming = SPENT, plan.claims.owed(self.measurer, self.ledger)
        self.ledger.hold(confirming + plan.finals_cost)
        try:
            stopped = await self._explore(race)
        except BudgetSpent:
            if not self._trials:
                raise  # nobody to confirm
        self.ledger.hold(confirming)
        self.announce("search: finals, those that may be the best on more items", 0)
        self._trials = await race.finals(self._trials, lambda cost, later: self._afford(cost, self._worth, later))
        self.ledger.hold(0)
        confirm = Confirm(self.measurer, self.store, plan.claims, self._decisions, self.announce)
        likeliest = race.likeliest(self._trials)
        finalists = name_finalists(self._trials, plan.finalists, self._decisions, likeliest)
        return await confirm.run(finalists, self._trials, stopped)

    async def _explore(self, race: Race) -> str:
        """Ask, race and tell until the candidates, the space or the search share of the budget end; return why."""
        plan, baseline = self.plan, self.plan.seeds[0]
        last = plan.ladder.race - 1
        self._afford(plan.goal.cells_per_candidate, plan.search_budget - plan.finals_cost)
        self.announce("search: the undefended baseline", plan.goal.cells_per_candidate)
        await self.measurer.fill([baseline], plan.goal)
        self._decisions(race.decision(baseline, last, "finished", in_words(race.trial(baseline, last))))
        incumbent = baseline

        def afford(cost: int) -> bool:
            return self._afford(cost, self._worth - plan.finals_cost)

        while len(self._trials) < plan.max_candidates:
            self._worth = self._worth_now()
            affordable = (self._worth - plan.finals_cost - self._planned) // race.cost(1, 0)
            room = int(min(plan.generation, plan.max_candidates - len(self._trials), affordable))
            if room < 1 and not self._trials:
                raise BudgetError(self._too_little(race.cost(1, 0)))
            if room < 1 or self._planned_out:
                return "the search share of the budget is planned out"
            await self.refresh(self._trials, self._decisions)
            batch = self.proposer.ask(room)
            if not batch:
                return "the space is exhausted"
            self._keep(batch)
            entrants = [c for c in batch if c.id != baseline.id]
            most = sum(race.cost(len(entrants), block) for block in range(last + 1))
            self.announce(f"search: candidates {len(self._trials) + 1} to {len(self._trials) + len(batch)}", most)
            for candidate in entrants:
                self._decisions(Decision(candidate.id, candidate.name, 0, 0, "admitted", _origin(candidate)))
            trials = await race.run(entrants, incumbent, afford)
            if any(c.id == baseline.id for c in batch):
                trials.append(race.trial(baseline, last))
            self.proposer.tell(trials)
            self._trials.extend(trials)
            if race.spent:
                return SPENT
            incumbent = self._led(incumbent, baseline)
        return f"{plan.max_candidates} candidates were measured"

    def _led(self, before: Candidate, baseline: Candidate) -> Candidate:
        """Return who leads now, and tell it where it is somebody else."""
        leader = self._best_so_far(baseline)
        trial = next((t for t in self._trials if t.candidate.id == leader.id), None)
        if trial is not None and leader.id != before.id:
            self.leads(f"{leader.name}: {in_words(trial)}")
        return leader

    def _afford(self, requests: int, budget: float, later: int = 0) -> bool:
        """Plan requests against a share of the budget; False (nothing planned) when they do not fit, or what is later.

        What is later is not planned yet.
        """
        if self._planned + requests + later > budget:
            self._planned_out = True
            return False
        self._planned += requests
        return True

    def _worth_now(self) -> float:
        """Return the requests the search may plan with from here on, its finals included.

        Where tokens, dollars or hours are limited, that is what the limits pay for at what a request cost so far; kept,
        so that a search that is resumed plans with the same number.
        """
        limits, place = self.ledger.limits.counters, str(len(self._trials))
        if limits.keys() <= {"reserved"}:
            return self.plan.search_budget
        known: Mapping[str, Any] = self.store.notes("worth").get(place, {})
        if known.get("limits") != limits:  # a raised budget is worth more
            known = {"limits": limits, "requests": min(self.ledger.affords(), 1e15)}
            self.store.note("worth", place, known)
        return min(self.plan.search_budget, float(known["requests"]) * (1 - SLACK) - self.plan.claims.cost)

    def _too_little(self, one: int) -> str:
        plan = self.plan
        least = plan.goal.cells_per_candidate + one + plan.finals_cost + plan.claims.cost
        times = least / (1 - SLACK) / max(1.0, (self._worth + plan.claims.cost) / (1 - SLACK))
        return (
            f"at what a request costs, the budget pays for {self._worth + plan.claims.cost:.0f} requests and their "
            f"retries; the baseline, one candidate's first block, the finals and confirming take {least}: raise the "
            f"limits of tokens, dollars and hours at least {times:.1f}-fold and run the same command with --resume, or "
            "ask fewer items"
        )

    def _best_so_far(self, otherwise: Candidate) -> Candidate:
        """Return the best that finished the race and is shown to keep its floors."""
        finished = rank([trial for trial in self._trials if trial.dropped_at is None and trial.estimate])
        return next((trial.candidate for trial in finished if shows_floors(trial)), otherwise)

    def _keep(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            self.store.note("candidate", candidate.id, asdict(candidate))


def _origin(candidate: Candidate) -> str:
    """Say where a candidate comes from, and what it is made of."""
    parts = ", ".join(f"{slot.removeprefix('clause:')}={choice}" for slot, choice in candidate.parts)
    return f"proposed ({candidate.origin or 'unknown'})" + (f": {parts}" if parts else "")

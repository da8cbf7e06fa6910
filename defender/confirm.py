"""Confirm: finalists and baselines on items selection never saw. Claims are made here and nowhere else.

Finalists come in, in order, whoever found them; the winner is the first of them that keeps its floors here, and those
after it are not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from defender.bias import estimate
from defender.contracts import Store
from defender.decide import Floor, floor_gaps, keeps_floors, rank, shows_floors, verdicts
from defender.errors import NothingFeasible
from defender.ledger import Ledger
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Action, Candidate, Comparison, Decision, OutcomeMatrix, PBEstimate, Trial


@dataclass(frozen=True)
class Claims:
    """What claims are made on and against.

    Attributes:
        baselines: every finalist is compared with each; floors may be relative to the first, the undefended one.
        panel: the held-out items.
        floors: what the winner must keep on them.
        finalists: the most finalists that may come.
        level: 1 - level is the chance of one false claim in the family.
    """

    baselines: tuple[Candidate, ...]
    panel: Panel
    floors: tuple[Floor, ...]
    finalists: int = 3
    level: float = 0.95

    @property
    def cost(self) -> int:
        """Requests the stage needs at most, retries aside."""
        return (self.finalists + len(self.baselines)) * self.panel.cells_per_candidate

    def owed(self, measurer: Measurer, ledger: Ledger) -> int:
        """Return the requests to keep for it: where they alone are limited, less what an earlier sitting paid for.

        In tokens or dollars a request costs less than is kept for it. What that leaves would pay for more search on
        every resume, so there the whole is kept.
        """
        if ledger.limits.counters.keys() - {"reserved"}:
            return self.cost
        return self.finalists * self.panel.cells_per_candidate + measurer.owed(self.baselines, self.panel)


@dataclass(frozen=True)
class SearchResult:
    """The outcome, all of it derivable again from the stored cells.

    Attributes:
        winner: the confirmed prompt.
        confirmed: candidate id -> estimate on confirm items (baselines, and finalists up to the winner).
        gaps: candidate id -> floor gaps on confirm items; <= 0 keeps the floor.
        comparisons: those finalists against every baseline, corrected for all finalists.
        trials: every candidate of the search, in order.
        stopped: why the search ended, in words.
    """

    winner: Candidate
    finalists: tuple[Candidate, ...]
    confirmed: Mapping[str, PBEstimate]
    gaps: Mapping[str, Mapping[str, float]]
    comparisons: tuple[Comparison, ...]
    trials: tuple[Trial, ...]
    stopped: str


@dataclass(frozen=True)
class Confirm:
    """The confirm stage of any strategy.

    Attributes:
        log: told every decision.
        announce: told that the stage begins (words, requests it may cost).
    """

    measurer: Measurer
    store: Store
    claims: Claims
    log: Callable[[Decision], None]
    announce: Callable[[str, int], None] = lambda _stage, _cost: None

    async def run(self, finalists: Sequence[Candidate], trials: Sequence[Trial], stopped: str) -> SearchResult:
        """Measure baselines and finalists, in their order, until one is shown to keep its floors; compare it.

        The order was fixed before, so nothing is selected here but by the floors, and finalists after the winner
        need not be asked at all.

        Args:
            finalists: best first, as selection ranked them; a baseline may be among them.
            trials: what the search learned, for the record.
            stopped: why the search ended, in words.

        Raises:
            NothingFeasible: no finalist keeps its floors on held-out items, with how far each misses.
            BudgetSpent, EngineDown, StoreError, Interrupted: everything paid for is kept.
        """
        claims, winner = self.claims, None
        for candidate in {c.id: c for c in (*finalists, *claims.baselines)}.values():
            self.store.note("candidate", candidate.id, asdict(candidate))
        self.announce("confirm on held-out items", claims.cost)
        matrices: dict[str, tuple[OutcomeMatrix, ...]] = {}
        confirmed: dict[str, PBEstimate] = {}
        gaps: dict[str, dict[str, float]] = {}
        for candidate in finalists:
            asked = [c for c in (candidate, *claims.baselines) if c.id not in matrices]
            await self.measurer.fill(asked, claims.panel)
            matrices |= {c.id: self.measurer.matrices(c, claims.panel) for c in asked}
            references = {claims.baselines[0].name: matrices[claims.baselines[0].id]}
            for c in asked:
                confirmed[c.id] = estimate(matrices[c.id], level=claims.level)
                gaps[c.id] = floor_gaps(claims.floors, matrices[c.id], references, level=claims.level)
            if all(gap <= 0 for gap in gaps[candidate.id].values()):
                winner = candidate
                break
        self._say(finalists, winner, gaps)
        if winner is None:
            missed = [Trial(c, confirmed[c.id], gaps[c.id]) for c in finalists]
            raise NothingFeasible(nothing_feasible(missed, "on held-out items"))
        comparisons = self._compare(finalists, matrices)
        self.store.note("result", "search", {
            "winner": winner.id,
            "finalists": [c.id for c in finalists],
            "baselines": [c.id for c in claims.baselines],
            "comparisons": [asdict(comparison) for comparison in comparisons],
            "gaps": gaps,
            "stopped": stopped,
        })  # fmt: skip
        return SearchResult(winner, tuple(finalists), confirmed, gaps, comparisons, tuple(trials), stopped)

    def _say(
        self, finalists: Sequence[Candidate], winner: Candidate | None, gaps: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Log what became of every finalist, and why."""
        items = sum(len(found) for found in self.claims.panel.items.values())
        for candidate in finalists:
            short = [f"{name} short by {gap:.2f}" for name, gap in gaps.get(candidate.id, {}).items() if gap > 0]
            action, reason = _fate(candidate, winner, short)
            asked = items if candidate.id in gaps else 0
            self.log(Decision(candidate.id, candidate.name, -1, asked, action, reason))

    def _compare(
        self, finalists: Sequence[Candidate], matrices: Mapping[str, Sequence[OutcomeMatrix]]
    ) -> tuple[Comparison, ...]:
        """Compare each finalist that was asked with each baseline.

        The family is every pair that might have been asked, so naming the winner here costs nothing extra.
        """
        found: list[Comparison] = []
        baselines = self.claims.baselines
        pairs = [(c, s) for c in finalists for s in baselines if c.id != s.id]
        for candidate in finalists:
            if candidate.id not in matrices:
                continue
            others = {s.name: matrices[s.id] for s in baselines if s.id != candidate.id}
            found += verdicts(
                candidate.name, matrices[candidate.id], others, family=len(pairs), level=self.claims.level
            )
        return tuple(found)


def _fate(candidate: Candidate, winner: Candidate | None, short: Sequence[str]) -> tuple[Action, str]:
    if candidate == winner:
        return "winner", "first finalist that is shown to keep its floors on confirm items"
    if short:
        return "dropped", f"not shown to keep its floors on confirm items: {', '.join(short)} (lower bound)"
    return "passed over", f"{winner.name if winner else 'nobody'} came before it and keeps its floors"


def name_finalists(
    trials: Sequence[Trial], places: int, log: Callable[[Decision], None], likeliest: Sequence[str] = ()
) -> tuple[Candidate, ...]:
    """Name the finalists, in order, from search items alone: seeds included, floors as the estimates have them.

    A lower bound may be far off on few items, so floors are asked for in full on confirm items only. Where none of the
    finalists is shown to keep its floors on search items, the last place goes to the best that is.

    Args:
        trials: what the search learned; those that left it early are no finalists.
        places: the most there may be.
        log: told who they are.
        likeliest: ids, the likeliest to be the best first, where that was worked out; () goes by the estimates alone.

    Raises:
        NothingFeasible: nobody was measured, or no estimate keeps the floors, with how far the best ones miss.
    """
    complete = rank([trial for trial in trials if trial.estimate and trial.dropped_at is None])
    hopeful = [trial for trial in complete if keeps_floors(trial)]
    if not complete:
        why = next((f"{trial.candidate.name}: {trial.failure}" for trial in trials if trial.failure), "none was asked")
        raise NothingFeasible(f"no candidate could be measured whole on search items; {why}")
    if not hopeful:
        raise NothingFeasible(nothing_feasible(complete, "on search items"))
    by_chance = {candidate: place for place, candidate in enumerate(likeliest)}
    hopeful.sort(key=lambda trial: by_chance.get(trial.candidate.id, len(by_chance)))
    chosen = hopeful[:places]
    if not any(map(shows_floors, chosen)):
        chosen = [*chosen[:-1], next(filter(shows_floors, hopeful), chosen[-1])]
    for trial in chosen:
        place = f"rank {hopeful.index(trial) + 1} of {len(complete)} on search items"
        place += ", by the chance of being as good as the best" if likeliest else ""
        log(Decision(trial.candidate.id, trial.candidate.name, -1, 0, "finalist", place))
    return tuple(trial.candidate for trial in chosen)


def nothing_feasible(trials: Sequence[Trial], where: str) -> str:
    """Say by how much the best trials miss their floors, and what can be done."""
    lines = [
        f"{trial.candidate.name}: "
        + ", ".join(f"{name} misses by {gap:.2f}" for name, gap in trial.gaps.items() if gap > 0)
        for trial in trials[:3]
    ]
    return (
        f"no candidate keeps the floors {where}. Closest: {'; '.join(lines)}. "
        "Lower the floors, measure more items (bounds tighten), or widen the space"
    )

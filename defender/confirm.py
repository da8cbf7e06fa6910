"""Confirm: finalists and baselines on items selection never saw. Claims are made here and nowhere else.

Finalists come in, in order, whoever found them; the winner is the first of them that keeps its floors here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from defender.bias import estimate
from defender.contracts import Store
from defender.decide import Floor, floor_gaps, verdicts
from defender.errors import NothingFeasible
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Candidate, Comparison, Decision, OutcomeMatrix, PBEstimate, Trial


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


@dataclass(frozen=True)
class SearchResult:
    """The outcome, all of it derivable again from the stored cells.

    Attributes:
        winner: the confirmed prompt.
        confirmed: candidate id -> estimate on confirm items (finalists and baselines).
        gaps: candidate id -> floor gaps on confirm items; <= 0 keeps the floor.
        comparisons: every finalist against every baseline, multiplicity-corrected.
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
        """Measure finalists and baselines, name the winner, compare, and keep the result.

        Args:
            finalists: best first, as selection ranked them; a baseline may be among them.
            trials: what the search learned, for the record.
            stopped: why the search ended, in words.

        Raises:
            NothingFeasible: no finalist keeps its floors on held-out items, with how far each misses.
            BudgetSpent, EngineDown, StoreError, Interrupted: everything paid for is kept.
        """
        claims = self.claims
        entrants = {c.id: c for c in (*finalists, *claims.baselines)}
        for candidate in entrants.values():
            self.store.note("candidate", candidate.id, asdict(candidate))
        self.announce("confirm on held-out items", len(entrants) * claims.panel.cells_per_candidate)
        await self.measurer.fill(list(entrants.values()), claims.panel)
        matrices = {key: self.measurer.matrices(c, claims.panel) for key, c in entrants.items()}
        baseline = claims.baselines[0]
        references = {baseline.name: matrices[baseline.id]}
        confirmed = {key: estimate(found, level=claims.level) for key, found in matrices.items()}
        gaps = {
            key: floor_gaps(claims.floors, found, references, level=claims.level) for key, found in matrices.items()
        }
        winner = next((c for c in finalists if all(gap <= 0 for gap in gaps[c.id].values())), None)
        if winner is None:
            missed = [Trial(c, confirmed[c.id], gaps[c.id]) for c in finalists]
            raise NothingFeasible(nothing_feasible(missed, "on held-out items"))
        self.log(
            Decision(winner.id, winner.name, -1, 0, "winner", "first finalist that keeps its floors on confirm items")
        )
        comparisons = self._compare(finalists, matrices)
        self.store.note("result", "search", {
            "winner": winner.id,
            "finalists": [c.id for c in finalists],
            "baselines": [c.id for c in claims.baselines],
            "comparisons": [asdict(comparison) for comparison in comparisons],
            "gaps": {key: dict(value) for key, value in gaps.items()},
            "stopped": stopped,
        })  # fmt: skip
        return SearchResult(winner, tuple(finalists), confirmed, gaps, comparisons, tuple(trials), stopped)

    def _compare(
        self, finalists: Sequence[Candidate], matrices: Mapping[str, Sequence[OutcomeMatrix]]
    ) -> tuple[Comparison, ...]:
        """Compare each finalist with each baseline; the family is all of them, so naming the winner costs no more."""
        found: list[Comparison] = []
        baselines = self.claims.baselines
        pairs = [(c, s) for c in finalists for s in baselines if c.id != s.id]
        for candidate in finalists:
            others = {s.name: matrices[s.id] for s in baselines if s.id != candidate.id}
            found += verdicts(
                candidate.name, matrices[candidate.id], others, family=len(pairs), level=self.claims.level
            )
        return tuple(found)


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

"""The race: items are revealed in blocks, the same for everyone; who cannot win is dropped on paired evidence.

Everything here is a function of the graded cells, so a resumed run makes the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from defender.bias import estimate
from defender.decide import Floor, floor_gaps, floors_out_of_reach, race_decision
from defender.errors import IncompleteMatrix
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Action, Candidate, Decision, OutcomeMatrix, Trial


@dataclass(frozen=True)
class Rules:
    """What the race may not break.

    Attributes:
        floors: utility and safety floors; relative ones refer to ``baseline``.
        shares: cumulative shares of the panel after each block, the last is 1.
        alpha: one-sided error rate of one drop.
        level: confidence level of floor bounds and intervals.
    """

    baseline: Candidate
    floors: tuple[Floor, ...]
    shares: tuple[float, ...]
    alpha: float = 0.01
    level: float = 0.95


class Race:
    """Runs candidates through the blocks of one panel against the incumbent."""

    def __init__(self, measurer: Measurer, panel: Panel, rules: Rules, log: Callable[[Decision], None]) -> None:
        self._measurer = measurer
        self._rules = rules
        self._log = log
        self._panels = [panel.first(share) for share in rules.shares]

    def cost(self, candidates: int, block: int) -> int:
        """Return the requests ``candidates`` need to go from the block before to the end of ``block``."""
        before = self._panels[block - 1].cells_per_candidate if block else 0
        return candidates * (self._panels[block].cells_per_candidate - before)

    async def run(
        self, entrants: Sequence[Candidate], incumbent: Candidate, affordable: Callable[[int], bool]
    ) -> list[Trial]:
        """Race the entrants; return one trial each, in the order given.

        Args:
            entrants: new candidates.
            incumbent: the best so far, measured on the whole panel already.
            affordable: told the requests of the next block; False ends the race there.
        """
        alive = list(entrants)
        trials: dict[str, Trial] = {}
        for block, panel in enumerate(self._panels):
            if not alive:
                break
            if not affordable(self.cost(len(alive), block)):
                self._unfinished(alive, block, trials)
                return [trials[c.id] for c in entrants]
            await self._measurer.fill(alive, panel)
            alive = self._judge(alive, incumbent, block, trials)
        for candidate in alive:
            done = trials[candidate.id]
            trials[candidate.id] = Trial(candidate, done.estimate, done.gaps)
            self._say(candidate, len(self._panels) - 1, "finished", _in_words(trials[candidate.id]))
        return [trials[c.id] for c in entrants]

    def trial(self, candidate: Candidate, block: int) -> Trial:
        """Return what is known of a candidate after a block; failures are said, never scored."""
        panel = self._panels[block]
        try:
            matrices = self._measurer.matrices(candidate, panel)
            found = estimate(matrices, level=self._rules.level)
            gaps = floor_gaps(self._rules.floors, matrices, self._baseline(panel), level=self._rules.level)
        except IncompleteMatrix as reason:
            return Trial(candidate, None, {}, block, str(reason))
        return Trial(candidate, found, gaps, block)

    def _judge(
        self, alive: list[Candidate], incumbent: Candidate, block: int, trials: dict[str, Trial]
    ) -> list[Candidate]:
        panel = self._panels[block]
        matrices: dict[str, tuple[OutcomeMatrix, ...]] = {}
        for candidate in (*alive, incumbent):
            trials[candidate.id] = self.trial(candidate, block)
            matrices[candidate.id] = self._measurer.matrices(candidate, panel)
        measured = [c for c in (incumbent, *alive) if trials[c.id].estimate is not None]
        baseline = self._baseline(panel)
        reachable = [
            c
            for c in measured
            if not floors_out_of_reach(self._rules.floors, matrices[c.id], baseline, level=self._rules.level)
        ]
        leader = min(reachable or measured, key=lambda c: _spread(trials[c.id]), default=None)
        kept = []
        for candidate in alive:
            if trials[candidate.id].estimate is None:
                self._say(candidate, block, "failed", trials[candidate.id].failure)
                continue
            drop = None
            if block < len(self._panels) - 1 and leader is not None and candidate.id != leader.id:
                drop = race_decision(
                    matrices[candidate.id], matrices[leader.id], self._rules.floors, baseline, alpha=self._rules.alpha
                )
            if drop is None:
                kept.append(candidate)
                self._say(candidate, block, "kept", _in_words(trials[candidate.id]))
            else:
                against = leader.name if leader else "nobody"
                self._say(candidate, block, "dropped", f"{drop.reason} (leader: {against})")
        return kept

    def _unfinished(self, alive: Sequence[Candidate], block: int, trials: dict[str, Trial]) -> None:
        for candidate in alive:
            trials.setdefault(candidate.id, Trial(candidate, None, {}, block, "the search budget ended first"))
            self._say(candidate, block, "unfinished", "the search budget ended before this block")

    def _baseline(self, panel: Panel) -> Mapping[str, tuple[OutcomeMatrix, ...]]:
        baseline = self._rules.baseline
        return {baseline.name: self._measurer.matrices(baseline, panel)}

    def _say(self, candidate: Candidate, block: int, action: Action, reason: str) -> None:
        items = sum(len(found) for found in self._panels[block].items.values())
        self._log(Decision(candidate.id, candidate.name, block, items, action, reason))


def _spread(trial: Trial) -> float:
    return trial.estimate.corrected2 if trial.estimate else float("inf")


def _in_words(trial: Trial) -> str:
    if trial.estimate is None:
        return trial.failure
    found = trial.estimate
    gaps = ", ".join(f"{name} {'kept' if gap <= 0 else f'short by {gap:.1f}'}" for name, gap in trial.gaps.items())
    return f"PB {found.pb:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f}); {gaps or 'no floors'}"

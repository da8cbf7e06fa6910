"""The race: items are revealed in blocks, the same for everyone; who cannot win is dropped on paired evidence.

Everything here is a function of the graded cells, so a resumed run makes the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from defender.bias import estimate
from defender.decide import Floor, floor_gaps, floors_out_of_reach, race_decision
from defender.errors import IncompleteMatrix
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Action, Candidate, Decision, OutcomeMatrix, Trial

Matrices = tuple[OutcomeMatrix, ...]


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
        return [trials[c.id] for c in entrants]

    def trial(self, candidate: Candidate, block: int) -> Trial:
        """Return what is known of a candidate after a block; failures are said, never scored."""
        panel = self._panels[block]
        return self._trial(candidate, block, self._measurer.matrices(candidate, panel), self._baseline(panel))

    def _trial(self, candidate: Candidate, block: int, matrices: Matrices, baseline: Mapping[str, Matrices]) -> Trial:
        try:
            found = estimate(matrices, level=self._rules.level)
            gaps = floor_gaps(self._rules.floors, matrices, baseline, level=self._rules.level)
        except IncompleteMatrix as reason:
            return Trial(candidate, None, {}, block, str(reason))
        return Trial(candidate, found, gaps, block)

    def _judge(
        self, alive: list[Candidate], incumbent: Candidate, block: int, trials: dict[str, Trial]
    ) -> list[Candidate]:
        """Say who stays after a block, against the best of the incumbent and those alive."""
        panel, floors = self._panels[block], self._rules.floors
        baseline = self._baseline(panel)
        matrices = {c.id: self._measurer.matrices(c, panel) for c in (*alive, incumbent)}
        for candidate in (*alive, incumbent):
            trials[candidate.id] = self._trial(candidate, block, matrices[candidate.id], baseline)
        leader = self._leader([incumbent, *alive], matrices, baseline, trials)
        last = block == len(self._panels) - 1
        kept = []
        for candidate in alive:
            if trials[candidate.id].estimate is None:
                self._say(candidate, block, "failed", trials[candidate.id].failure)
                continue
            drop = None
            if not last and leader is not None and candidate.id != leader.id:
                drop = race_decision(
                    matrices[candidate.id], matrices[leader.id], floors, baseline, alpha=self._rules.alpha
                )
            if drop is not None and leader is not None:
                trials[candidate.id] = replace(trials[candidate.id], reason=drop.reason)
                self._say(candidate, block, "dropped", f"{drop.reason} (leader: {leader.name})")
                continue
            kept.append(candidate)
            self._say(candidate, block, "finished" if last else "kept", in_words(trials[candidate.id]))
        return kept

    def _leader(
        self,
        field: Sequence[Candidate],
        matrices: Mapping[str, Matrices],
        baseline: Mapping[str, Matrices],
        trials: Mapping[str, Trial],
    ) -> Candidate | None:
        """Return the lowest corrected PB^2 among those whose floors are in reach, else among all."""
        measured = [(found.corrected2, c) for c in field if (found := trials[c.id].estimate) is not None]
        reachable = [
            (spread, c)
            for spread, c in measured
            if not floors_out_of_reach(self._rules.floors, matrices[c.id], baseline, level=self._rules.level)
        ]
        return min(reachable or measured, key=lambda pair: pair[0], default=(0.0, None))[1]

    def _unfinished(self, alive: Sequence[Candidate], block: int, trials: dict[str, Trial]) -> None:
        for candidate in alive:
            trials.setdefault(candidate.id, Trial(candidate, None, {}, block, "the search budget ended first"))
            self._say(candidate, block, "unfinished", "the search budget ended before this block")

    def _baseline(self, panel: Panel) -> Mapping[str, Matrices]:
        baseline = self._rules.baseline
        return {baseline.name: self._measurer.matrices(baseline, panel)}

    def decision(self, candidate: Candidate, block: int, action: Action, reason: str) -> Decision:
        """Return one line of the decision log."""
        items = sum(len(found) for found in self._panels[block].items.values())
        return Decision(candidate.id, candidate.name, block, items, action, reason)

    def _say(self, candidate: Candidate, block: int, action: Action, reason: str) -> None:
        self._log(self.decision(candidate, block, action, reason))


def in_words(trial: Trial) -> str:
    """Return a trial's estimate and floors in one phrase."""
    if trial.estimate is None:
        return trial.failure
    found = trial.estimate
    gaps = ", ".join(f"{name} {'kept' if gap <= 0 else f'short by {gap:.1f}'}" for name, gap in trial.gaps.items())
    return f"PB {found.pb:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f}); {gaps or 'no floors'}"

"""The race: items are revealed in blocks, the same for everyone; who cannot win is dropped on paired evidence.

Fidelity grows for survivors only. Through the first rungs of the ladder a candidate goes until it is shown to be worse
than a rival that keeps its floors, or to miss a floor itself; ``Rules`` states the error rate. The last rungs, the
finals, are climbed by the best so many, by rank. Everything here is a function of the graded cells, so a resumed run
makes the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from defender.bias import estimate
from defender.decide import Floor, race_decision, rank, reaches, shows_floors
from defender.errors import IncompleteMatrix
from defender.measure import Measurer
from defender.plan import Ladder, Panel
from defender.records import Action, Candidate, Decision, OutcomeMatrix, Trial

Matrices = tuple[OutcomeMatrix, ...]


@dataclass(frozen=True)
class Rules:
    """What the race may not break, and how seldom it may be wrong.

    A candidate that keeps its floors and is within ``margin`` of the best is dropped with a chance of at most
    ``alpha``, over all its looks: each look spends an equal share of it (Bonferroni), and within a look each floor and
    each candidate that might lead then counts as one test. A candidate races in one generation only, so generations
    add nothing; the incumbent's luck on the same items is not counted (``benchmarks/race.py`` measures it all).

    Attributes:
        floors: utility and safety floors; relative ones refer to ``baseline``.
        field: candidates that race side by side.
        margin: percentage points of PB that count as no difference.
        level: confidence level of floor bounds and intervals.
    """

    baseline: Candidate
    floors: tuple[Floor, ...]
    ladder: Ladder
    field: int = 8
    alpha: float = 0.05
    margin: float = 0.1
    level: float = 0.95

    @property
    def per_test(self) -> float:
        """One-sided error rate of a single test; nobody is dropped after the race's last block."""
        looks = max(1, self.ladder.race - 1)
        return self.alpha / (looks * (self.field + len(self.floors)))


class Race:
    """Runs candidates up the ladder of one panel, against the incumbent and one another."""

    def __init__(self, measurer: Measurer, panel: Panel, rules: Rules, log: Callable[[Decision], None]) -> None:
        self._measurer = measurer
        self._rules = rules
        self._log = log
        self._panels = [panel.first(share) for share in rules.ladder.shares]

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
            incumbent: the best so far that keeps its floors, measured on every block of the race already.
            affordable: told the requests of the next block; False ends the race there.
        """
        alive = list(entrants)
        trials: dict[str, Trial] = {}
        for block in range(self._rules.ladder.race):
            if not alive:
                break
            if not affordable(self.cost(len(alive), block)):
                self._unfinished(alive, block, trials)
                return [trials[c.id] for c in entrants]
            await self._measurer.fill(alive, self._panels[block])
            alive = self._judge(alive, incumbent, block, trials)
        return [trials[c.id] for c in entrants]

    async def finals(self, trials: Sequence[Trial], affordable: Callable[[int], bool]) -> list[Trial]:
        """Let the best climb on, fewer at every block, so that they are known better before finalists are named.

        Returns:
            All trials in the order given; whoever is passed over has left the race there.
        """
        found = {trial.candidate.id: trial for trial in trials}
        ladder, baseline = self._rules.ladder, self._rules.baseline
        for block, width in enumerate(ladder.finals, ladder.race):
            ranked = rank([trial for trial in found.values() if trial.estimate and trial.dropped_at is None])
            going = [trial.candidate for trial in ranked[:width]]
            asked = list({c.id: c for c in (*going, baseline)}.values()) if going else []
            if not affordable(self.cost(len(asked), block)):
                self._say(baseline, block - 1, "unfinished", "the search budget ended before the finals did")
                break
            for place, trial in enumerate(ranked, 1):
                found[trial.candidate.id] = self._called(trial, block, place, len(ranked))
            await self._measurer.fill(asked, self._panels[block])
            for candidate in going:
                trial = self.trial(candidate, block)
                found[candidate.id] = trial
                self._say(candidate, block, "finished" if trial.estimate else "failed", in_words(trial))
        return list(found.values())

    def _called(self, trial: Trial, block: int, place: int, among: int) -> Trial:
        """Say who goes on to a final block and who is passed over, by rank: no evidence is claimed."""
        width = self._rules.ladder.finals[block - self._rules.ladder.race]
        if place <= width:
            self._say(trial.candidate, block - 1, "promoted", f"rank {place} of {among}: the best {width} go on")
            return trial
        reason = f"rank {place} of {among}: only the best {width} go on; {in_words(trial)}"
        self._say(trial.candidate, block - 1, "passed over", reason)
        return replace(trial, dropped_at=block - 1, reason=reason)

    def trial(self, candidate: Candidate, block: int) -> Trial:
        """Return what is known of a candidate after a block; a failure is said, never scored, and ends its race."""
        panel = self._panels[block]
        return self._trial(candidate, block, self._measurer.matrices(candidate, panel), self._baseline(panel))

    def _trial(self, candidate: Candidate, block: int, matrices: Matrices, baseline: Mapping[str, Matrices]) -> Trial:
        try:
            found = estimate(matrices, level=self._rules.level)
            lies = reaches(self._rules.floors, matrices, baseline, level=self._rules.level)
        except IncompleteMatrix as reason:
            return Trial(candidate, None, {}, block, str(reason))
        gaps = {name: reach.required - reach.low for name, reach in lies.items()}
        misses = {name: reach.required - reach.value for name, reach in lies.items()}
        return Trial(candidate, found, gaps, misses=misses)

    def _judge(
        self, alive: list[Candidate], incumbent: Candidate, block: int, trials: dict[str, Trial]
    ) -> list[Candidate]:
        """Say who stays after a block, against the incumbent and the best of those alive."""
        panel, rules = self._panels[block], self._rules
        baseline = self._baseline(panel)
        matrices = {c.id: self._measurer.matrices(c, panel) for c in (*alive, incumbent)}
        for candidate in alive:
            trials[candidate.id] = self._trial(candidate, block, matrices[candidate.id], baseline)
        last, whole = block == rules.ladder.race - 1, block == len(self._panels) - 1
        rivals = {c.id: c for c in (incumbent, *self._leader(alive, trials))}
        kept = []
        for candidate in alive:
            if trials[candidate.id].estimate is None:
                self._say(candidate, block, "failed", trials[candidate.id].failure)
                continue
            against = {c.name: matrices[c.id] for c in rivals.values() if c.id != candidate.id}
            drop = (
                None
                if last
                else race_decision(
                    matrices[candidate.id], against, rules.floors, baseline, alpha=rules.per_test, margin=rules.margin
                )
            )
            if drop is not None:
                trials[candidate.id] = replace(trials[candidate.id], dropped_at=block, reason=drop.reason)
                self._say(candidate, block, "dropped", drop.reason)
                continue
            kept.append(candidate)
            self._say(candidate, block, "finished" if whole else "kept", in_words(trials[candidate.id]))
        return kept

    def _leader(self, alive: Sequence[Candidate], trials: Mapping[str, Trial]) -> list[Candidate]:
        """Return the lowest corrected PB^2 among those alive that are shown to keep their floors; nobody if none is.

        A prompt that refuses everyone may look fair: it drops nobody before its floors are shown.
        """
        shown = [
            (found.corrected2, candidate.id, candidate)
            for candidate in alive
            if (found := trials[candidate.id].estimate) is not None and shows_floors(trials[candidate.id])
        ]
        return [min(shown)[2]] if shown else []

    def _unfinished(self, alive: Sequence[Candidate], block: int, trials: dict[str, Trial]) -> None:
        for candidate in alive:
            known = trials.get(candidate.id) or Trial(candidate, None, {}, failure="the search budget ended first")
            trials[candidate.id] = replace(known, dropped_at=block)
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
    floors = []
    for name, gap in trial.gaps.items():
        miss = trial.misses.get(name, gap)
        floors.append(f"{name} " + ("kept" if gap <= 0 else f"missed by {miss:.1f}" if miss > 0 else "not yet shown"))
    return (
        f"PB {found.pb:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f}); {', '.join(floors) or 'no floors'}"
    )

"""The race: items are revealed in blocks, the same for everyone; who cannot win is dropped on paired evidence.

Fidelity grows for survivors only. Through the first rungs of the ladder a candidate goes until it is shown to be worse
than a rival that keeps its floors, or to miss a floor itself; ``Rules`` states the error rate. The last rungs, the
finals, are climbed by those likeliest to be as good as the best, as few as the stated risk of losing it allows
(``odds``). Everything here is a function of the graded cells, so a resumed run makes the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

from defender.bias import estimate
from defender.decide import Floor, race_decision, rank, reaches, shows_floors
from defender.decisions import in_words
from defender.errors import BudgetSpent, IncompleteMatrix
from defender.measure import Measurer
from defender.odds import Standing, standing
from defender.plan import Ladder, Panel
from defender.records import Action, Candidate, Decision, OutcomeMatrix, Trial

Matrices = tuple[OutcomeMatrix, ...]

SPENT = "the budget was spent within this block: retries cost more than was kept for them"

CUTTING = 0.8
"""Share of the error rate that the cuts of the finals may spend: the tests of the race seldom spend theirs."""


@dataclass(frozen=True)
class Rules:
    """What the race may not break, and how seldom it may be wrong.

    Everyone that keeps its floors and is within ``margin`` of the best is lost with a chance of at most ``alpha``: a
    fifth of it for the tests of the race, the rest for the cuts of the finals (all for the tests where there are none).
    Each look of the race spends an equal share (Bonferroni), and within a look each floor and each candidate that might
    lead then counts as one test. A candidate races in one generation only, so generations add nothing; the incumbent's
    luck on the same items is not counted. Each cut spends an equal share of the rest; its risk is that of a model
    (``odds``). ``benchmarks/race.py`` measures it all.

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
        return (self.alpha - self._cutting) / (looks * (self.field + len(self.floors)))

    @property
    def per_cut(self) -> float:
        """Chance that one cut of the finals leaves out everyone that is as good as the best."""
        return self._cutting / max(1, len(self.ladder.finals))

    @property
    def _cutting(self) -> float:
        return CUTTING * self.alpha if self.ladder.finals else 0.0


class _Cut(NamedTuple):
    """Who should go on: trials in order, how many, and what that is said by (None: too few items to say)."""

    ordered: tuple[Trial, ...]
    width: int
    found: Standing | None


class Race:
    """Runs candidates up the ladder of one panel, against the incumbent and one another.

    ``spent`` says whether the budget ended within a block.
    """

    def __init__(self, measurer: Measurer, panel: Panel, rules: Rules, log: Callable[[Decision], None]) -> None:
        self._measurer = measurer
        self._rules = rules
        self._log = log
        self._panels = [panel.first(share) for share in rules.ladder.shares]
        self.spent = False

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
            affordable: told the requests of the next block; False ends the race there, as does a budget that is spent
                within a block (``spent``).
        """
        alive = list(entrants)
        trials: dict[str, Trial] = {}
        for block in range(self._rules.ladder.race):
            if not alive:
                break
            if not affordable(self.cost(len(alive), block)):
                self._unfinished(alive, block, trials, "the search budget ended before this block")
                return [trials[c.id] for c in entrants]
            try:
                await self._measurer.fill(alive, self._panels[block])
            except BudgetSpent:
                self.spent = True
                self._unfinished(alive, block, trials, SPENT)
                break
            alive = self._judge(alive, incumbent, block, trials)
        return [trials[c.id] for c in entrants]

    async def finals(self, trials: Sequence[Trial], affordable: Callable[[int, int], bool]) -> list[Trial]:
        """Let those who may be the best climb on, so that they are known better before finalists are named.

        As many go on as the rules' risk asks for, and never fewer than the ladder says. Where the budget pays for
        fewer, fewer do, and the risk is said; the least number of the blocks after is kept for them. Where it is spent
        within a block, everyone is known as after the block before.

        Args:
            trials: all of the search.
            affordable: told the requests of the next block, and those to be left for the blocks after it.

        Returns:
            All trials in the order given; whoever is passed over has left the race there.
        """
        found = {trial.candidate.id: trial for trial in trials}
        ladder, baseline = self._rules.ladder, self._rules.baseline
        for block in range(ladder.race, len(self._panels)):
            alive = [trial for trial in rank(found.values()) if trial.estimate and trial.dropped_at is None]
            if not alive:
                break
            cut = self._cut(alive, block)
            later = ladder.cost(self._panels[-1], len(alive), block + 1)
            planned = min(ladder.finals[block - ladder.race], cut.width)
            others = [trial.candidate for trial in alive if trial.candidate.id != baseline.id]
            width = cut.width
            while width > planned and not affordable(self.cost(min(width, len(others)) + 1, block), later):
                width -= 1
            if width == planned and not affordable(self.cost(min(width, len(others)) + 1, block), 0):
                self._say(baseline, block - 1, "unfinished", "the search budget ended before the finals did")
                break
            going = self._called(cut, width, block, found)
            try:
                await self._measurer.fill(list({c.id: c for c in (*going, baseline)}.values()), self._panels[block])
            except BudgetSpent:
                for candidate in going:
                    self._say(candidate, block, "unfinished", SPENT)
                break
            for candidate in going:
                trial = self.trial(candidate, block)
                found[candidate.id] = trial
                self._say(candidate, block, "finished" if trial.estimate else "failed", in_words(trial))
        return list(found.values())

    def _cut(self, alive: Sequence[Trial], block: int) -> _Cut:
        """Return who should go on to a final block: as few as the risk of losing the best allows, the likeliest first.

        Too few shared items to say so let everyone go on.
        """
        ladder, (ordered, found) = self._rules.ladder, self._ordered(alive, self._panels[block - 1])
        if found is None:
            return _Cut(ordered, len(alive), None)
        return _Cut(ordered, found.fewest(self._rules.per_cut, ladder.finals[block - ladder.race]), found)

    def likeliest(self, trials: Sequence[Trial]) -> tuple[str, ...]:
        """Return the ids of those that never left, the likeliest to be as good as the best first.

        Said on the items that all of them have; () where these are too few to say so.
        """
        stayed = [trial for trial in rank(trials) if trial.estimate and trial.dropped_at is None]
        ordered, found = self._ordered(stayed, self._panels[-1]) if stayed else ((), None)
        return tuple(trial.candidate.id for trial in ordered) if found else ()

    def _ordered(self, alive: Sequence[Trial], panel: Panel) -> tuple[tuple[Trial, ...], Standing | None]:
        """Return trials, the likeliest to be as good as the best first, and their standing, if it can be said."""
        deviate = NormalDist().inv_cdf(self._rules.level)
        floors = [
            [(trial.misses[name], (gap - trial.misses[name]) / deviate) for name, gap in trial.gaps.items()]
            for trial in alive
        ]
        matrices = [self._measurer.matrices(trial.candidate, panel) for trial in alive]
        found = standing(matrices, floors, self._rules.margin)
        return tuple(alive[place] for place in found.order) if found else tuple(alive), found

    def _called(self, cut: _Cut, width: int, block: int, found: dict[str, Trial]) -> list[Candidate]:
        """Say who goes on to a final block and who is passed over, and why; return those who go on."""
        short = "" if width >= cut.width else f", and the budget pays for no more than {width}"
        for place, trial in enumerate(cut.ordered):
            if cut.found is None:
                self._say(trial.candidate, block - 1, "promoted", "too few items are shared to tell who may be best")
                continue
            chance, risk = cut.found.chance[cut.found.order[place]], cut.found.risk[width - 1]
            why = (
                f"{chance:.1%} likely to be within {self._rules.margin:g} of the best; of {len(cut.ordered)} the "
                f"likeliest {width} go on, which leaves out all such with a chance of {risk:.1%}{short}"
            )
            if place < width:
                self._say(trial.candidate, block - 1, "promoted", why)
                continue
            why = f"{why}; {in_words(trial)}"
            self._say(trial.candidate, block - 1, "passed over", why)
            found[trial.candidate.id] = replace(trial, dropped_at=block - 1, reason=why)
        return [trial.candidate for trial in cut.ordered[:width]]

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

    def _unfinished(self, alive: Sequence[Candidate], block: int, trials: dict[str, Trial], why: str) -> None:
        for candidate in alive:
            known = trials.get(candidate.id) or Trial(candidate, None, {}, failure="the search budget ended first")
            trials[candidate.id] = replace(known, dropped_at=block)
            self._say(candidate, block, "unfinished", why)

    def _baseline(self, panel: Panel) -> Mapping[str, Matrices]:
        baseline = self._rules.baseline
        return {baseline.name: self._measurer.matrices(baseline, panel)}

    def decision(self, candidate: Candidate, block: int, action: Action, reason: str) -> Decision:
        """Return one line of the decision log."""
        items = sum(len(found) for found in self._panels[block].items.values())
        return Decision(candidate.id, candidate.name, block, items, action, reason)

    def _say(self, candidate: Candidate, block: int, action: Action, reason: str) -> None:
        self._log(self.decision(candidate, block, action, reason))

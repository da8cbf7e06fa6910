"""One prompt for several models: each model's search nominates its finalists, and every model judges all of them.

Nominees are ordered on the search items of all models, by their worst or their mean PB, those first whose estimates
keep every model's floors. The winner is the first that is shown to keep its floors on every model's held-out items;
claims are made there, corrected for all models. Choosing and claiming share no item, as in a search on one model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Literal

from defender.bias import estimate
from defender.build import Prepared
from defender.confirm import nothing_feasible
from defender.contracts import Store
from defender.decide import keeps_floors, reaches, shows_floors, verdicts
from defender.errors import ConfigError, IncompleteMatrix, NothingFeasible
from defender.records import Candidate, Comparison, OutcomeMatrix, Trial
from defender.results import read_results
from defender.runs import RunFolder
from defender.session import Watch, sit

Joint = Literal["worst", "mean"]
Watching = Callable[[RunFolder], AbstractContextManager[Watch]]
Afford = Callable[[RunFolder], RunFolder]
Matrices = Mapping[str, Sequence[OutcomeMatrix]]


@dataclass(frozen=True)
class Judged:
    """What one model says of the nominees.

    Attributes:
        search, confirm: nominee id -> trial on the model's search and held-out items.
        comparisons: nominee id -> against each baseline, on held-out items.
    """

    search: Mapping[str, Trial]
    confirm: Mapping[str, Trial]
    comparisons: Mapping[str, tuple[Comparison, ...]]


@dataclass(frozen=True)
class Verdict:
    """The joint outcome.

    Attributes:
        winner: the prompt; ``by``: what it was chosen by. ``order``: nominees, best first, on search items.
        judged: model -> what it says.
    """

    winner: Candidate
    by: Joint
    order: tuple[Candidate, ...]
    judged: Mapping[str, Judged]


async def judge_all(
    runs: Mapping[str, tuple[RunFolder, Prepared]], by: Joint, watching: Watching, afford: Afford
) -> Verdict:
    """Have every model judge every model's finalists, and choose.

    Args:
        runs: model -> its finished search and what it was prepared from; their stores grow by what is measured here.
        by: "worst" or "mean" PB over the models.
        watching: shows how one run goes while inside.
        afford: gives a run what all runs together have left of the budget.

    Raises:
        NothingFeasible: no nominee keeps every model's floors, with how far the best miss. What measuring raises.
    """
    nominees = nominate([folder for folder, _ in runs.values()])
    judged = {}
    for model, (folder, prepared) in runs.items():
        folder = afford(folder)
        with watching(folder) as watch:
            judged[model] = await _judge(folder, prepared, nominees, watch, len(runs))
    return choose(nominees, judged, by)


def nominate(folders: Sequence[RunFolder]) -> tuple[Candidate, ...]:
    """Return the finalists of every search, each once, in order."""
    found: dict[str, Candidate] = {}
    for folder in folders:
        results = read_results(folder)
        for key in results.finalists:
            found.setdefault(key, results.candidates[key])
    return tuple(found.values())


def choose(nominees: Sequence[Candidate], judged: Mapping[str, Judged], by: Joint) -> Verdict:
    """Order the nominees on search items and return the first that keeps its floors on all held-out items.

    Raises:
        NothingFeasible: there is none.
    """
    rated = [one for one in nominees if all(model.search[one.id].estimate for model in judged.values())]

    def place(one: Candidate) -> tuple[bool, float, float, str]:
        trials = [model.search[one.id] for model in judged.values()]
        found = [trial.estimate for trial in trials if trial.estimate is not None]
        pb, squares = [each.pb for each in found], [each.corrected2 for each in found]
        over = (max(pb), max(squares)) if by == "worst" else (fmean(pb), fmean(squares))
        return not all(map(keeps_floors, trials)), *over, one.id

    order = tuple(sorted(rated, key=place))
    for one in order:
        if all(model.confirm[one.id].estimate and shows_floors(model.confirm[one.id]) for model in judged.values()):
            return Verdict(one, by, order, judged)
    missed = [model.confirm[one.id] for one in order for model in judged.values()]
    short = [trial for trial in missed if any(gap > 0 for gap in trial.gaps.values())]
    raise NothingFeasible(nothing_feasible(short or missed, "of every model on held-out items"))


async def _judge(
    folder: RunFolder, prepared: Prepared, nominees: Sequence[Candidate], watch: Watch, models: int
) -> Judged:
    """Measure the nominees whole on one model's search and held-out items."""
    plan = prepared.plan
    if plan is None:
        raise ConfigError(f"{folder.path} is no search; run 'defender search'")
    async with sit(folder, prepared, watch) as sitting:
        _remember(sitting.store, nominees)
        asked = list({one.id: one for one in (*plan.seeds, *nominees)}.values())
        found: list[dict[str, Trial]] = []
        matrices: Matrices = {}
        for words, panel in (("nominees on search items", plan.search), ("nominees on held-out items", plan.confirm)):
            who = asked if panel is plan.confirm else [plan.seeds[0], *nominees]
            watch.stage(words, sitting.measurer.owed(who, panel))
            await sitting.measurer.fill(who, panel)
            matrices = {one.id: sitting.measurer.matrices(one, panel) for one in who}
            found.append({one.id: _trial(one, matrices, prepared) for one in nominees})
    baselines = {seed.name: matrices[seed.id] for seed in plan.seeds}
    comparisons = {}
    for one in nominees:
        others = {name: cells for name, cells in baselines.items() if name != one.name}
        try:
            comparisons[one.id] = verdicts(
                one.name, matrices[one.id], others, family=len(others) * models, level=plan.level
            )
        except IncompleteMatrix:
            comparisons[one.id] = ()
    return Judged(found[0], found[1], comparisons)


def _trial(one: Candidate, matrices: Matrices, prepared: Prepared) -> Trial:
    """Return how a nominee stands to one model's floors."""
    plan = prepared.plan
    assert plan is not None
    try:
        reference = {plan.seeds[0].name: matrices[plan.seeds[0].id]}
        stands = reaches(plan.floors, matrices[one.id], reference, level=plan.level)
        gaps = {name: reach.required - reach.low for name, reach in stands.items()}
        misses = {name: reach.required - reach.value for name, reach in stands.items()}
        return Trial(one, estimate(matrices[one.id], level=plan.level), gaps, misses=misses)
    except IncompleteMatrix as reason:
        return Trial(one, None, {}, failure=str(reason))


def _remember(store: Store, nominees: Sequence[Candidate]) -> None:
    """Keep who was nominated elsewhere, so that the run's report can name them."""
    known = store.notes("candidate")
    for one in nominees:
        if one.id not in known:
            store.note("candidate", one.id, asdict(one))

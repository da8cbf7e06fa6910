"""The requests a run would send, by what they are for: counted as the run itself counts them, before it is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from defender.contracts import Benchmark
from defender.plan import Panel, cells, request_for
from defender.records import Candidate
from defender.search import SearchPlan
from defender.seeding import PROBES, probes

ASKED_AGAIN = 2
"""Requests of one writing at most: an answer nobody can read is asked for once more."""


@dataclass(frozen=True)
class Outlay:
    """Wire requests, retries aside.

    Attributes:
        answers: questions to the model that is measured.
        verdicts: questions to the judge's model, at most: what two users were answered alike is judged once.
        seeding: the check whether the server honours sampling seeds, once a run; a budget without room skips it.
        writing: the clause writer's.
    """

    answers: int
    verdicts: int = 0
    seeding: int = 0
    writing: int = 0

    @property
    def requests(self) -> int:
        """All of them."""
        return self.answers + self.verdicts + self.seeding + self.writing


def of_measuring(panel: Panel, prompts: Sequence[Candidate], benchmarks: Mapping[str, Benchmark]) -> Outlay:
    """Return what measuring prompts whole on a panel sends."""
    whole = len(prompts) * panel.cells_per_candidate
    answers = len(prompts) * replace(panel, verdicts={}).cells_per_candidate
    return Outlay(answers, whole - answers, _seeding(prompts[0], (panel,), benchmarks))


def of_searching(
    plan: SearchPlan, benchmarks: Mapping[str, Benchmark], writes_every: int | None
) -> tuple[Outlay, Outlay]:
    """Return the least and the most a search sends: every candidate leaves after its first block, or none does.

    ``writes_every``: generations between two writings where a model writes clauses, else None.
    """
    silent = replace(plan, search=replace(plan.search, verdicts={}), confirm=replace(plan.confirm, verdicts={}))
    seeding = _seeding(plan.seeds[0], (plan.search, plan.confirm), benchmarks)
    writings = (ceil(plan.max_candidates / plan.generation) - 1) // writes_every if writes_every else 0
    found = []
    for least, each in ((True, 1), (False, ASKED_AGAIN)):
        whole, answers = _raced(plan, least=least), _raced(silent, least=least)
        found.append(Outlay(answers, whole - answers, seeding, each * writings))
    return found[0], found[1]


def _raced(plan: SearchPlan, *, least: bool) -> int:
    """Return the requests of race, finals and confirm stage."""
    if not least:
        return plan.max_candidates * plan.search.cells_per_candidate + plan.claims.cost
    first = plan.search.first(plan.ladder.shares[0]).cells_per_candidate
    return plan.goal.cells_per_candidate + (plan.max_candidates - 1) * first + plan.finals_cost + plan.claims.cost


def _seeding(candidate: Candidate, panels: Iterable[Panel], benchmarks: Mapping[str, Benchmark]) -> int:
    """Return the requests of the check that no cell of its panel pays for: short answers are drawn alike in both."""
    for panel in panels:
        if not all(panel.items.values()):
            continue
        asked = [request for probe in probes(candidate, panel, benchmarks) for request in probe]
        if asked:
            part = replace(panel, items={name: items[:PROBES] for name, items in panel.items.items()})
            paid = {
                request_for(candidate, identity, benchmarks[cell.benchmark], item, cell.repeat)
                for cell, identity, item in cells(candidate, part)
            }
            return sum(request not in paid for request in asked)
    return 0

"""What a report shows beyond the estimates, derived again from a run: who, where, which clauses, exact settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from defender.bias import estimate
from defender.deviations import Standing, standings
from defender.effects import clause_effects
from defender.errors import ConfigError, IncompleteMatrix
from defender.parts import Part, PartDifference, compare_parts, parts
from defender.records import Candidate, OutcomeMatrix, Trial
from defender.report.context import Details
from defender.results import Results, Stage

AXES = ("utility", "safety", "over_refusal")
"""Every axis, in the order in which reports show them."""


def details(results: Results, stage: Stage, prompts: Sequence[Candidate], trials: Sequence[Trial]) -> Details:
    """Return the details of a few prompts of a stage, the baseline first and the one shown last.

    ``trials``: of the search, as ``raced`` returns them. What too few answers leave out is absent: its estimate says
    why.
    """
    told = {c.digest: c for c in prompts if c.id in stage.estimates}
    groups = _categories(results)
    standing: dict[str, Sequence[Standing]] = {}
    located: dict[str, Sequence[Part]] = {}
    changes: tuple[PartDifference, ...] = ()
    for digest, candidate in told.items():
        with suppress(IncompleteMatrix, ConfigError):
            standing[digest] = sorted(standings(stage.matrices[candidate.id]), key=lambda one: AXES.index(one.axis))
        with suppress(IncompleteMatrix, ConfigError):
            located[digest] = parts(stage.matrices[candidate.id], groups)
    ids = [candidate.id for candidate in told.values()]
    if len(ids) > 1:
        with suppress(IncompleteMatrix, ConfigError):
            changes = compare_parts(stage.matrices[ids[-1]], stage.matrices[ids[0]], groups)
    config = results.folder.config
    return Details(
        standings=standing,
        parts=located,
        changes=changes,
        effects=clause_effects(trials, _texts(trials)),
        settings=json.dumps(config.model_dump(mode="json"), indent=1, ensure_ascii=False, sort_keys=True),
        versions=results.versions,
    )


def _categories(results: Results) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for identity in results.identities.values():
        found.setdefault(identity.category, []).append(identity.key)
    return found


def raced(results: Results) -> list[Trial]:
    """Return every prompt of a search with its estimate on the items it was asked, as far as it came; () otherwise.

    Whoever was dropped answered fewer items than the finalists, so these estimates guide and claim nothing.
    """
    stage = results.stages.get("search")
    if stage is None or results.folder.config.command != "search":
        return []
    dropped = {d.candidate: d for d in results.decisions if d.block >= 0 and d.action in ("dropped", "passed over")}
    found = []
    for key, matrices in stage.matrices.items():
        candidate, end = results.candidates[key], dropped.get(key)
        at, reason = (end.block, end.reason) if end else (None, "")
        try:
            found.append(Trial(candidate, estimate([_asked(one) for one in matrices]), {}, at, reason=reason))
        except IncompleteMatrix as failure:
            found.append(Trial(candidate, None, {}, at, str(failure), reason))
    return found


def _asked(matrix: OutcomeMatrix) -> OutcomeMatrix:
    """Return a matrix without the items that nobody's answer is there for."""
    places = np.flatnonzero(np.isfinite(matrix.score_U_I).any(axis=0))
    items = tuple(matrix.items[place] for place in places)
    score_U_I, repeats_U_I = matrix.score_U_I[:, places], matrix.repeats_U_I[:, places]
    return replace(matrix, items=items, score_U_I=score_U_I, repeats_U_I=repeats_U_I)


def _texts(trials: Sequence[Trial]) -> Mapping[tuple[str, str], str]:
    """Return (idea, wording) -> how a table names the clause."""
    said = {part for trial in trials for part in trial.candidate.parts if part[0].startswith("clause:")}
    ideas = [(slot.removeprefix("clause:"), way) for slot, way in said]
    return {(idea, way): f"{idea}: {way}" for idea, way in sorted(ideas)}

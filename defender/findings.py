"""What a report shows beyond the estimates, derived again from a run: who, where, which clauses, exact settings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defender.bias import estimate
from defender.deviations import Standing, standings
from defender.effects import clause_effects
from defender.errors import ConfigError, IncompleteMatrix
from defender.parts import Part, PartDifference, compare_parts, parts
from defender.records import Candidate, OutcomeMatrix, Trial
from defender.report.context import Details, Measured, Model
from defender.results import Results, Stage
from defender.runs import CONFIG

AXES = ("utility", "safety", "over_refusal")
"""Every axis, in the order in which reports show them."""


def details(results: Results, stage: Stage, prompts: Sequence[Candidate], others: Sequence[Results] = ()) -> Details:
    """Return the details of a few prompts of a stage, the baseline first and the one shown last.

    ``others``: runs whose models are shown beside this one. What too few answers leave out is absent: its estimate says
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
    same_items = shared(results)
    trials = [Trial(candidate, found, {}) for candidate, found in same_items]
    return Details(
        standings=standing,
        parts=located,
        changes=changes,
        shared=same_items,
        models=beside(results, others),
        effects=clause_effects(trials, _texts(trials)),
        settings=json.dumps(_asked_for(results), indent=1, ensure_ascii=False, sort_keys=True),
        versions=results.versions,
    )


def _asked_for(results: Results) -> Mapping[str, Any]:
    """Return every setting as the run's folder keeps it, so without those of later releases."""
    kept = json.loads((results.folder.path / CONFIG).read_text(encoding="utf-8"))
    settings: Mapping[str, Any] = kept["config"]
    return settings


def beside(results: Results, others: Sequence[Results]) -> list[Model]:
    """Return the run's model and those of other runs, on the last stage of each; [] without others."""
    if not others:
        return []
    found = [_model(one, results) for one in (results, *others)]
    taken = Counter(model.run for model in found)
    return [
        replace(model, run=f"{model.run} ({n})") if taken[model.run] > 1 else model for n, model in enumerate(found, 1)
    ]


def _model(one: Results, first: Results) -> Model:
    stage, its = one.claims, first.claims
    unlike = [] if stage.name == its.name else [f"measured in the {stage.name} stage"]
    if {i.sentence for i in one.identities.values()} != {i.sentence for i in first.identities.values()}:
        unlike.append("other identities")
    mine, theirs = (next(iter(found.matrices.values()), ()) for found in (stage, its))
    if [(m.benchmark, sorted(m.items)) for m in mine] != [(m.benchmark, sorted(m.items)) for m in theirs]:
        unlike.append("other items")
    if dict(one.protocols) != dict(first.protocols):
        unlike.append("other protocols")
    told = [(one.candidates[key], found) for key, found in stage.estimates.items()]
    return Model(one.folder.name, str(one.card.get("model", "")), told, ", ".join(unlike))


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


def shared(results: Results) -> list[Measured]:
    """Return the prompts of a search that came at least as far as half of all, on the items that they all answered.

    On other items a prompt has other means whatever it says, so only these are compared with one another.
    """
    stage = results.stages.get("search")
    if stage is None or results.folder.config.command != "search":
        return []
    asked = {key: [_asked(one) for one in matrices] for key, matrices in stage.matrices.items()}
    counts = {key: min(len(one.items) for one in found) for key, found in asked.items()}
    half = sorted(counts.values())[(len(counts) - 1) // 2] if counts else 0
    kept = [key for key, count in counts.items() if count >= half]
    common = (
        [set.intersection(*(set(asked[key][n].items) for key in kept)) for n in range(len(asked[kept[0]]))]
        if kept
        else []
    )
    found = []
    for key in kept:
        with suppress(IncompleteMatrix):
            same = [_only(one, items) for one, items in zip(asked[key], common, strict=True)]
            found.append((results.candidates[key], estimate(same)))
    return found


def _only(matrix: OutcomeMatrix, items: Collection[str]) -> OutcomeMatrix:
    places = np.array([place for place, item in enumerate(matrix.items) if item in items], dtype=int)
    return _taken(matrix, places)


def _asked(matrix: OutcomeMatrix) -> OutcomeMatrix:
    """Return a matrix without the items that nobody's answer is there for."""
    places = np.flatnonzero(np.isfinite(matrix.score_U_I).any(axis=0))
    return _taken(matrix, places)


def _taken(matrix: OutcomeMatrix, places: NDArray[np.int64]) -> OutcomeMatrix:
    items = tuple(matrix.items[place] for place in places)
    score_U_I, repeats_U_I = matrix.score_U_I[:, places], matrix.repeats_U_I[:, places]
    return replace(matrix, items=items, score_U_I=score_U_I, repeats_U_I=repeats_U_I)


def _texts(trials: Sequence[Trial]) -> Mapping[tuple[str, str], str]:
    """Return (idea, wording) -> how a table names the clause."""
    said = {part for trial in trials for part in trial.candidate.parts if part[0].startswith("clause:")}
    ideas = [(slot.removeprefix("clause:"), way) for slot, way in said]
    return {(idea, way): f"{idea}: {way}" for idea, way in sorted(ideas)}

"""Read a run back, offline: everything after the graded cells is derived again from the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from defender.bias import estimate
from defender.components import Components, components
from defender.contracts import Store
from defender.decisions import decided
from defender.errors import ConfigError, IncompleteMatrix
from defender.kinds import NOT_ASKED, Kinds, count_kinds
from defender.measure import Frame, collect
from defender.records import (
    Candidate,
    Cell,
    Comparison,
    Decision,
    Grade,
    Identity,
    Interval,
    OutcomeMatrix,
    PBEstimate,
)
from defender.runs import RunFolder


@dataclass(frozen=True)
class Stage:
    """What one stage measured; candidates in the order they were first seen.

    Attributes:
        matrices: candidate id -> one matrix per benchmark.
        estimates: candidate id -> estimate, for those measured whole.
        failures: candidate id -> why there is no estimate.
        reference: candidate id -> benchmark -> mean percent of the no_persona reference.
        kinds: candidate id -> what kinds of answers each benchmark got, by identity. ``nobody``: the same for the
            no_persona reference, where it was asked.
        components: what each benchmark's noise is made of, by the first candidate's repeats; () where none were asked.
    """

    name: str
    items: Mapping[str, int]
    matrices: Mapping[str, tuple[OutcomeMatrix, ...]]
    estimates: Mapping[str, PBEstimate]
    failures: Mapping[str, str]
    reference: Mapping[str, Mapping[str, float]]
    kinds: Mapping[str, tuple[Kinds, ...]] = field(default_factory=dict)
    nobody: Mapping[str, tuple[Kinds, ...]] = field(default_factory=dict)
    components: tuple[Components, ...] = ()


@dataclass(frozen=True)
class Results:
    """A run, read back. ``winner`` is None until a search has been confirmed.

    Attributes:
        without: why a search has no winner, "" where it has one or that is not known. ``over``: more of the same
            search will not find one.
        card: the model's card. ``judge``: the judge model's, empty where a rule judged.
        began: when the first sitting began, seconds since 1970; None where none has ended.
        prefix_cache: prompt tokens the server looked up in its prefix cache and found, zeros where it did not say.
        seeds: what the check of the server's seeds found (the fields of ``seeding.Seeds``), {} in older runs.
        versions: of the libraries that matter, in the last sitting that ended.
        failed: error kind, requests without an answer because of it, what was seen of one of them.
    """

    folder: RunFolder
    card: Mapping[str, Any]
    candidates: Mapping[str, Candidate]
    identities: Mapping[str, Identity]
    stages: Mapping[str, Stage]
    protocols: Mapping[str, Mapping[str, Any]]
    decisions: tuple[Decision, ...]
    figures: Mapping[str, float]
    figures_source: str
    spend: Mapping[str, int]
    seconds: float
    winner: Candidate | None = None
    finalists: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    gaps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    stopped: str = ""
    without: str = ""
    over: bool = False
    judge: Mapping[str, Any] = field(default_factory=dict)
    began: float | None = None
    seeds: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    prefix_cache: tuple[int, int] = (0, 0)
    failed: tuple[tuple[str, int, str], ...] = ()

    @property
    def claims(self) -> Stage:
        """The stage claims are made on: confirm, else the measurement, else what the search saw."""
        for name in ("confirm", "measure", "search"):
            if name in self.stages and self.stages[name].matrices:
                return self.stages[name]
        return next(iter(self.stages.values()))

    @property
    def verdicts(self) -> list[Comparison]:
        """The winner against each baseline."""
        winner = self.winner.name if self.winner else ""
        return [c for c in self.comparisons if c.candidate == winner]

    @property
    def answered(self) -> list[tuple[Candidate, tuple[Kinds, ...]]]:
        """What kinds of answers there were where claims are made: the winner's, or without one every prompt's."""
        return self._shown(self.claims.kinds)

    @property
    def unnamed(self) -> list[tuple[Candidate, tuple[Kinds, ...]]]:
        """The same for the no_persona reference."""
        return self._shown(self.claims.nobody)

    def _shown(self, kinds: Mapping[str, tuple[Kinds, ...]]) -> list[tuple[Candidate, tuple[Kinds, ...]]]:
        wanted = {self.winner.id} if self.winner else set(kinds)
        return [(self.candidates[key], found) for key, found in kinds.items() if key in wanted]


def read_results(folder: RunFolder) -> Results:
    """Read a run's store. Raises ConfigError when nothing was measured yet, StoreError when it cannot be read."""
    from defender.store import SqlStore
    from defender.store.answered import failures

    store = SqlStore(folder.database, readonly=True)
    try:
        cards, panels = store.notes("card"), store.notes("panel")
        if "model" not in cards or not panels:
            raise ConfigError(f"{folder.path} holds no measurement yet; run 'defender {folder.config.command}' on it")
        candidates = {key: read_candidate(value) for key, value in store.notes("candidate").items()}
        axes = {name: str(value["axis"]) for name, value in store.notes("benchmark").items()}
        ended: Mapping[str, Any] = store.notes("result")
        done: dict[str, Any] = ended.get("search", {})
        without: dict[str, Any] = {} if done else ended.get("without", {})
        figures: dict[str, Any] = store.notes("figures").get("published", {})
        return Results(
            folder=folder,
            card=cards["model"],
            judge=cards.get("judge", {}),
            candidates=candidates,
            identities={key: read_identity(value) for key, value in store.notes("identity").items()},
            stages={name: _stage(store, name, panel, candidates, axes) for name, panel in panels.items()},
            protocols=store.notes("benchmark"),
            decisions=decided(store),
            figures=figures.get("pb", {}),
            figures_source=str(figures.get("source", "")),
            spend=(spend := dict(store.spend())),
            failed=tuple(failures(store)) if spend["errors"] else (),
            seconds=max(
                spend["milliseconds"] / 1000.0,  # sittings that were killed left no note
                sum(float(_any(value)["seconds"]) for value in store.notes("sitting").values()),
            ),
            winner=candidates.get(done.get("winner", "")),
            finalists=tuple(done.get("finalists", ())),
            baselines=tuple(done.get("baselines", ())),
            comparisons=tuple(_comparison(value) for value in done.get("comparisons", ())),
            gaps=done.get("gaps", {}),
            stopped=str(done.get("stopped", "")),
            without=str(without.get("why", "")),
            over=bool(without.get("over")),
            prefix_cache=_prefix_cache(store.notes("sitting").values()),
            began=min((float(begun) for begun in store.notes("sitting")), default=None),
            seeds=next(reversed(store.notes("seeds").values()), {}),
            versions=_any(next(reversed(store.notes("sitting").values()), {})).get("versions", {}),
        )
    finally:
        store.close()


def _prefix_cache(sittings: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    told = [sitting.get("prefix_cache", (0, 0)) for sitting in sittings]
    return sum(int(looked_up) for looked_up, _ in told), sum(int(found) for _, found in told)


def _stage(
    store: Store, name: str, panel: Mapping[str, Any], candidates: Mapping[str, Candidate], axes: Mapping[str, Any]
) -> Stage:
    frames = [
        Frame(benchmark, axes[benchmark], tuple(panel["identities"]), tuple(items), int(panel["repeats"]))
        for benchmark, items in panel["items"].items()
    ]
    items = {frame.benchmark: set(frame.items) for frame in frames}
    matrices: dict[str, tuple[OutcomeMatrix, ...]] = {}
    estimates: dict[str, PBEstimate] = {}
    failures: dict[str, str] = {}
    reference: dict[str, dict[str, float]] = {}
    kinds: dict[str, tuple[Kinds, ...]] = {}
    nobody: dict[str, tuple[Kinds, ...]] = {}
    who = str(panel["reference"]) if panel["reference"] else None
    for key in candidates:
        graded = store.grades(key)
        if not any(cell.item in items.get(cell.benchmark, ()) for cell in graded):
            continue
        counted = tuple(_kinds(key, frame, frame.identities, graded) for frame in frames)
        if all(one.totals.keys() <= {NOT_ASKED} for one in counted):
            continue  # this stage never asked this candidate
        kinds[key] = counted
        found = matrices[key] = tuple(collect(key, frame, graded) for frame in frames)
        try:
            estimates[key] = estimate(found)
        except IncompleteMatrix as reason:
            failures[key] = str(reason)
        if who:
            reference[key] = _reference(key, who, frames, graded)
            nobody[key] = tuple(_kinds(key, frame, (who,), graded) for frame in frames)
    sizes = {frame.benchmark: len(frame.items) for frame in frames}
    first = next(iter(matrices), None)
    split = _components(first, frames, store.grades(first)) if first is not None and panel["repeats"] > 1 else ()
    return Stage(name, sizes, matrices, estimates, failures, reference, kinds, nobody, split)


def _components(candidate: str, frames: list[Frame], graded: Mapping[Cell, Grade]) -> tuple[Components, ...]:
    """Split the noise of every benchmark whose repeats are complete enough."""
    found = []
    for frame in frames:
        apart = [collect(candidate, replace(frame, repeats=1, first=repeat), graded) for repeat in range(frame.repeats)]
        with suppress(IncompleteMatrix):
            found.append(components(apart))
    return tuple(found)


def _kinds(candidate: str, frame: Frame, who: tuple[str, ...], graded: Mapping[Cell, Grade]) -> Kinds:
    return count_kinds(candidate, (frame.benchmark, frame.axis), who, frame.items, frame.repeats, graded)


def _reference(candidate: str, who: str, frames: list[Frame], graded: Mapping[Cell, Grade]) -> dict[str, float]:
    means = {}
    for frame in frames:
        alone = Frame(frame.benchmark, frame.axis, (who,), frame.items, frame.repeats)
        scores = collect(candidate, alone, graded).score_U_I
        if not np.isnan(scores).all():
            means[frame.benchmark] = float(np.nanmean(scores))
    return means


def read_candidate(value: Mapping[str, Any]) -> Candidate:
    """Return a candidate from its note."""
    return Candidate(**{**value, "parts": tuple((slot, choice) for slot, choice in value["parts"])})


def _comparison(value: Mapping[str, Any]) -> Comparison:
    return Comparison(**{**value, "interval": Interval(**value["interval"])})


def _any(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(value)


def read_identity(value: Mapping[str, Any]) -> Identity:
    """Return an identity from its note."""
    return Identity(value["key"], value["category"], value["sentence"], tuple(value.get("held_out", ())))

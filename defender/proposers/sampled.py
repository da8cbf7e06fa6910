"""Optuna composes: a sampler picks openings, clauses, wordings, order and placement out of a search space.

Optuna is asked and told, nothing more: no pruner (the race drops candidates) and no ``optimize`` loop. Every trial
suggests the same parameters, also those a choice does not use, because multivariate TPE only models parameters that
all trials share. The study lives in memory. With a storage, finished trials are copied there for optuna-dashboard:
sampling straight into SQLite commits once per parameter and costs half a second a trial.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from defender.errors import ConfigError, StoreError
from defender.proposers.points import choice_of, distributions, params_of, point_of, steps
from defender.records import Candidate, Trial
from defender.space import Choice, Space

SamplerName = Literal["tpe", "random"]

UNMEASURED_GAP = 100.0
"""Constraint of a floor that was not measured, in percentage points: no measured floor can miss by more."""

RESAMPLES = 8
"""Draws per proposal before the nearest new neighbour of the best candidate is taken instead."""


@dataclass(frozen=True)
class _Told:
    """What became of a candidate. ``value``: signed PB in percentage points, None when it could not be measured."""

    value: float | None
    constraints: Mapping[str, float]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> TrialState:
        return TrialState.FAIL if self.value is None else TrialState.COMPLETE

    @property
    def standing(self) -> tuple[float, float]:
        """Sorting key: total floor violation, then value; lower is better."""
        missed = sum(gap for gap in self.constraints.values() if gap > 0)
        return missed, math.inf if self.value is None else self.value


class Sampled:
    """Proposes points of a space with an Optuna sampler; seeds of the space come first.

    The value to minimise is ``sign(c) * sqrt(|c|)`` with c = ``corrected2``: TPE only sorts values, so the root
    changes nothing for it, but study plots then read in percentage points of PB; the sign keeps candidates that are
    all below the noise in order. Floors are constraints (``gaps``, <= 0 keeps the floor). A floor another trial
    had and this one lacks counts as missed by ``UNMEASURED_GAP``, and so does ``measured``, which is 0 otherwise.

    Dropped trials are COMPLETE with their estimate at that block, not PRUNED: the estimate is unbiased at every
    block, so values are on one scale, while PRUNED ranks behind every complete trial, even the weak early ones
    that finished because nothing better had been seen. ``best_trial`` of the study may therefore be a dropped one;
    decisions are not made there. Trials without an estimate are FAIL, which samplers ignore.

    Args:
        space: what may be said.
        seed: the only state besides the asks and tells: replaying them proposes the same again.
        storage: SQLite URL ("sqlite:///runs/x/optuna.db") to copy finished trials to, or None. A study of the
            same name there is replaced, as a replay fills it again.
        study_name: name of the study.
        n_startup: finished trials before TPE starts to model; until then it draws at random.
        sampler: "tpe", or "random" as a baseline.

    Raises:
        ConfigError: no such sampler.
        StoreError: the folder of the storage does not exist.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        storage: str | None = None,
        study_name: str = "defender",
        n_startup: int = 10,
        sampler: SamplerName = "tpe",
    ) -> None:
        self._space = space
        self._distributions = distributions(space)
        sampler_seed, own_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
        self._random = np.random.default_rng(own_seed)
        with _quiet():
            self._study = optuna.create_study(study_name=study_name, sampler=_sampler(sampler, sampler_seed, n_startup))
            self._copy = _fresh_study(storage, study_name) if storage else None
        self._seeds: dict[str, Candidate] = {}
        for candidate, choice in zip(space.seed_candidates(), space.seeds.values(), strict=True):
            self._seeds.setdefault(candidate.digest, candidate)
            self._study.enqueue_trial(params_of(space, choice))
        self._draws = RESAMPLES + len(space.seeds)  # all seeds are drawn before neighbours are looked at
        self._open: dict[str, list[optuna.Trial]] = {}
        self._told: dict[str, _Told] = {}
        self._choices: dict[str, Choice] = {}
        self._floors: dict[str, None] = {}
        self._exhausted = False

    @property
    def study(self) -> optuna.Study:
        """The live study, for plots and importances."""
        return self._study

    def ask(self, n: int) -> Sequence[Candidate]:
        """Propose up to n new candidates; fewer when every text of the space was proposed or told."""
        found: list[Candidate] = []
        while len(found) < n and not self._exhausted:
            candidate = self._sample() or self._neighbour()
            if candidate is None:
                self._exhausted = True
            else:
                found.append(candidate)
        return found

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what became of candidates, asked or foreign; the order within one call does not matter.

        Foreign candidates this space can say join the study. All are never proposed again.

        Raises:
            ValueError: a candidate is told a second time; nothing of this call was learned.
        """
        ordered = sorted(trials, key=lambda trial: trial.candidate.digest)
        digests = [trial.candidate.digest for trial in ordered]
        for place, trial in enumerate(ordered):
            if digests[place] in self._told or digests[place] in digests[:place]:
                raise ValueError(f"candidate {trial.candidate.name} was told before; tell every candidate exactly once")
        self._floors.update(dict.fromkeys(sorted({floor for trial in trials for floor in trial.gaps})))
        for trial, digest in zip(ordered, digests, strict=True):
            self._told[digest] = told = _told(trial, list(self._floors))
            choice = self._choices.get(digest) or point_of(self._space, trial.candidate)
            if choice is None:
                continue
            if digest not in self._open:
                self._choices[digest] = choice
                self._study.add_trial(self._record(choice, told))
            for live in self._open.pop(digest, []):
                self._finish(live, told)
            if self._copy is not None:
                listed = {"constraints": list(told.constraints.values())}  # where optuna-dashboard 0.21 looks for them
                self._copy.add_trial(self._record(choice, told, listed))

    def _sample(self) -> Candidate | None:
        """Draw until a text is new; None when the sampler keeps repeating itself."""
        for _ in range(self._draws):
            trial = self._study.ask(self._distributions)
            choice = choice_of(self._space, trial.params)
            candidate = self._space.render(choice)
            if self._is_new(candidate, trial):
                self._choices[candidate.digest] = choice
                return self._seeds.get(candidate.digest, candidate)
        return None

    def _is_new(self, candidate: Candidate, trial: optuna.Trial) -> bool:
        """Settle a repeated trial with the known result, now or when it is told, so that none stays RUNNING."""
        told = self._told.get(candidate.digest)
        if told is not None:
            self._finish(trial, told)
            return False
        twins = self._open.setdefault(candidate.digest, [])
        twins.append(trial)
        return len(twins) == 1

    def _neighbour(self) -> Candidate | None:
        """Take the new point fewest steps away from the best one, at random among equals; None when none is left."""
        ranked = sorted((self._told[d].standing, place, d) for place, d in enumerate(self._choices) if d in self._told)
        start = self._choices[ranked[0][2]] if ranked else next(iter(self._space.seeds.values()))
        seen, queue = {start}, deque([start])
        while queue:
            near = list(dict.fromkeys(choice for choice in steps(self._space, queue.popleft()) if choice not in seen))
            seen.update(near)
            for index in self._random.permutation(len(near)):
                candidate = self._space.render(near[index])
                if candidate.digest not in self._told and candidate.digest not in self._open:
                    self._study.enqueue_trial(params_of(self._space, near[index]))
                    return self._sample()
                queue.append(near[index])
        return None

    def _finish(self, trial: optuna.Trial, told: _Told) -> None:
        for floor, gap in told.constraints.items():  # before tell: a finished trial takes no constraints
            trial.set_constraint(floor, gap)
        for key, value in told.attrs.items():
            trial.set_user_attr(key, value)
        self._study.tell(trial, told.value, told.state)

    def _record(self, choice: Choice, told: _Told, system_attrs: dict[str, Any] | None = None) -> FrozenTrial:
        return create_trial(
            state=told.state,
            value=told.value,
            params=params_of(self._space, choice),
            distributions=self._distributions,
            user_attrs=dict(told.attrs),
            system_attrs=system_attrs,
            constraints=dict(told.constraints),
        )


def _sampler(name: SamplerName, seed: int, n_startup: int) -> BaseSampler:
    if name == "tpe":
        return TPESampler(seed=seed, n_startup_trials=n_startup)
    if name == "random":
        return RandomSampler(seed=seed)
    raise ConfigError(f"no sampler '{name}'; choose one of {', '.join(get_args(SamplerName))}")


def _told(trial: Trial, floors: Sequence[str]) -> _Told:
    """Read a trial; whatever is missing or not finite is unmeasured, never a value."""
    value = _signed_root(trial.estimate.corrected2) if trial.estimate else math.nan
    gaps = {floor: trial.gaps.get(floor, math.nan) for floor in floors}
    measured = math.isfinite(value) and all(math.isfinite(gap) for gap in gaps.values())
    constraints = {floor: float(gap) if math.isfinite(gap) else UNMEASURED_GAP for floor, gap in gaps.items()}
    constraints["measured"] = 0.0 if measured else UNMEASURED_GAP
    attrs: dict[str, Any] = {"candidate": trial.candidate.id, "name": trial.candidate.name}
    attrs["text"] = trial.candidate.template
    if trial.dropped_at is not None:
        attrs["dropped_at"] = trial.dropped_at
    if not math.isfinite(value):
        attrs["failure"] = trial.failure or "the estimate is not a finite number"
    return _Told(value if math.isfinite(value) else None, constraints, attrs)


def _signed_root(corrected2: float) -> float:
    return math.copysign(math.sqrt(abs(corrected2)), corrected2)


def _fresh_study(storage: str, study_name: str) -> optuna.Study:
    """Create the study to copy to, in place of an earlier one of the same name."""
    folder = Path(storage.removeprefix("sqlite:///")).parent
    if storage.startswith("sqlite:///") and not folder.is_dir():
        raise StoreError(f"cannot write the study to {storage}: there is no folder {folder}; create it first")
    database = optuna.storages.RDBStorage(storage)
    if study_name in optuna.get_all_study_names(database):
        optuna.delete_study(study_name=study_name, storage=database)
    return optuna.create_study(study_name=study_name, storage=database)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back "A new study was created" while a study is created.

    Loggers belong to the process, so there is no local way; this one touches Optuna's storage loggers alone, and
    puts their level back. Nothing else that is called here logs below WARNING.
    """
    logger = logging.getLogger("optuna.storages")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)

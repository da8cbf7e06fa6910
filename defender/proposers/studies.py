"""Optuna studies: one in memory to sample from, one in a database for people to look at."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

PATIENCE_S = 60.0
"""How long a server that was lost is waited for."""


def study_in_memory(sampler: BaseSampler) -> optuna.Study:
    """Return an empty study that is gone with its process."""
    with _quiet():
        return optuna.create_study(sampler=sampler)


class StoredStudy:
    """A study in a database that is told the same trials again after every resume, and keeps each once."""

    def __init__(self, storage: str, name: str) -> None:
        self._storage = storage
        self._name = name
        self._study: optuna.Study | None = None
        self._kept: deque[FrozenTrial] = deque()
        self._told: list[FrozenTrial] = []

    def add(self, trials: Sequence[FrozenTrial]) -> None:
        """Write finished trials, in order, but those an earlier process wrote. Raises what the database raises.

        A server that is lost is waited for; what was written before it was lost is then found, and not written again.
        """
        begun, whole = time.monotonic(), [*self._told, *trials]
        while True:
            try:
                if self._study is None:
                    self._told.clear()
                    self._kept.clear()
                    self._study = self._opened()
                self._write(whole[len(self._told) :])
                return
            except StorageInternalError:
                if self._storage.startswith("sqlite") or time.monotonic() - begun > PATIENCE_S:
                    raise
            self._study = None
            time.sleep(1.0)

    def _write(self, trials: Sequence[FrozenTrial]) -> None:
        for trial in trials:
            if self._kept and not _same(self._kept[0], trial):
                self._study = self._made_anew()
            if self._kept:
                self._kept.popleft()
            elif self._study is not None:
                self._study.add_trial(trial)
            self._told.append(trial)

    def _opened(self) -> optuna.Study:
        """Go on with the study that is there; a trial that seems to run belongs to a process that is gone."""
        with _quiet():
            database = self._database()
            there = self._name in optuna.get_all_study_names(database)
            study = (optuna.load_study if there else optuna.create_study)(storage=database, study_name=self._name)
        for trial in study.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
            elif "candidate" in trial.user_attrs:
                self._kept.append(trial)
        return study

    def _database(self) -> RDBStorage:
        """Open the storage; a connection to a server that was lost in the meantime is noticed before it is used."""
        return RDBStorage(self._storage, engine_kwargs={"pool_pre_ping": True})

    def _made_anew(self) -> optuna.Study:
        with _quiet():
            database = self._database()
            optuna.delete_study(study_name=self._name, storage=database)
            study = optuna.create_study(storage=database, study_name=self._name)
        study.add_trials(self._told)
        self._kept.clear()
        return study


def _same(kept: FrozenTrial, told: FrozenTrial) -> bool:
    parts = [(t.state, t.values, t.params, t.user_attrs, t.constraints) for t in (kept, told)]
    return parts[0] == parts[1]


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

"""Any proposer, with a study on disk that people can open in optuna-dashboard or with ``optuna.load_study``.

The study is a copy for people: nothing is read back from it, so a resumed search replays without it. Only finished
trials are written, each in one transaction: a kill at any moment leaves whole trials and none that seem to run.
Writing takes some 0.1 s a trial, so a thread of its own does it while the models answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from optuna.trial import FrozenTrial, create_trial

from defender.contracts import GrowingProposer, Proposer
from defender.errors import SpaceError
from defender.proposers.outcome import outcome
from defender.proposers.points import distributions, params_of, point_of
from defender.proposers.studies import StoredStudy
from defender.records import Candidate, Trial
from defender.space import Space


class Recorded:
    """A proposer whose trials are also written to a study. Close it to wait for the last ones.

    A study of that name is gone on with where its trials are those told, in the same order, and made anew otherwise:
    a replay never doubles them.

    Args:
        proposer: who proposes and learns.
        space: whose choices the parameters are; a candidate it cannot say is written without parameters.
        storage: URL of the study's database ("sqlite:///runs/x/study.db", or a server's).
        study_name: its name there.
        warn: told once when the study cannot be written; the search goes on without it.
    """

    def __init__(
        self,
        proposer: Proposer,
        space: Space,
        storage: str,
        study_name: str,
        warn: Callable[[str], None],
    ) -> None:
        self._proposer = proposer
        self._space = space
        self._name = study_name
        self._warn = warn
        self._floors: dict[str, None] = {}
        self._study = StoredStudy(storage, study_name)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="study")
        self._writing: list[Future[None]] = []
        self._broken = False

    def ask(self, n: int) -> Sequence[Candidate]:
        """Propose what the proposer proposes."""
        return self._proposer.ask(n)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Let the proposer learn, and write what it learned. Raises ValueError as the proposer does."""
        self._proposer.tell(trials)
        self._floors.update(dict.fromkeys(sorted({floor for trial in trials for floor in trial.gaps})))
        self._look()
        if not self._broken:
            self._writing.append(self._thread.submit(self._study.add, [self._record(trial) for trial in trials]))

    def grow(self, clauses: Mapping[str, str]) -> None:
        """Let more be said. Raises SpaceError: the space cannot take these clauses, or the proposer none at all."""
        if not isinstance(self._proposer, GrowingProposer):
            raise SpaceError(f"a proposer of kind '{type(self._proposer).__name__}' cannot take new clauses")
        self._proposer.grow(clauses)
        self._space = self._space.with_clauses(clauses)

    def close(self) -> None:
        """Wait until everything told is written, or found impossible to write. Idempotent."""
        self._thread.shutdown(wait=True)
        self._look()

    def _record(self, trial: Trial) -> FrozenTrial:
        """Return a trial for people: of ideas that are off only that they are off."""
        told = outcome(trial, list(self._floors))
        choice = point_of(self._space, trial.candidate)
        params: dict[str, Any] = params_of(self._space, choice) if choice else {}
        off = {idea for idea in self._space.clauses if not params.get(f"clause_{idea}")}
        shown = {
            name: v for name, v in params.items() if name.removeprefix("wording_").removeprefix("rank_") not in off
        }
        known = distributions(self._space)
        return create_trial(
            state=told.state,
            value=told.value,
            params=shown,
            distributions={name: known[name] for name in shown},
            user_attrs=dict(told.attrs),
            system_attrs={"constraints": list(told.constraints.values())},  # where optuna-dashboard 0.21 looks
            constraints=dict(told.constraints),
        )

    def _look(self) -> None:
        """Say once that writing failed."""
        done = [future for future in self._writing if future.done()]
        self._writing = [future for future in self._writing if not future.done()]
        for error in filter(None, (future.exception() for future in done)):
            if not self._broken:
                self._broken = True
                self._warn(f"the study '{self._name}' cannot be written ({error}); the search goes on without it")

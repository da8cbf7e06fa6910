"""Optuna composes: a sampler picks openings, clauses, wordings, order and placement out of a search space.

Optuna is asked and told, nothing more: no pruner (the race drops candidates) and no ``optimize`` loop. Every trial
suggests the same parameters, also those a choice does not use, because multivariate TPE only models parameters that
all trials share. The study lives in memory, and is a function of the seed, the asks and the tells; ``recorded`` keeps
a copy that people can open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial, create_trial

from defender.proposers.outcome import Outcome, outcome
from defender.proposers.points import choice_of, distributions, params_of, point_of, steps
from defender.proposers.samplers import SamplerName, sampler
from defender.proposers.studies import study_in_memory
from defender.proposers.told import Told
from defender.records import Candidate, Trial
from defender.space import WRITTEN, Choice, Space

RESAMPLES = 8
"""Draws per proposal before the nearest new neighbour of the best candidate is taken instead."""


class Sampled:
    """Proposes points of a space with an Optuna sampler; seeds of the space come first.

    Trials mean to Optuna what ``outcome`` says. ``best_trial`` of the study may be a dropped one; decisions are not
    made there.

    Args:
        space: what may be said.
        seed: the only state besides the asks, tells and growths: replaying them proposes the same again.
        n_startup: finished trials before the sampler starts to learn; until then it draws at random.
        sampler: see ``samplers``.

    Raises:
        ConfigError: no such sampler.
    """

    def __init__(self, space: Space, seed: int, *, n_startup: int = 10, sampler: SamplerName = "thompson") -> None:
        self._space = space
        self._name: SamplerName = sampler
        self._seed, self._n_startup, self._growths = seed, n_startup, 0
        sampler_seed, own_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
        self._random = np.random.default_rng(own_seed)
        self._distributions = distributions(space)
        self._study = self._fresh(sampler_seed)
        self._coming = deque(space.seeds.values())
        self._seeds: dict[str, Candidate] = {}
        for candidate in space.seed_candidates():
            self._seeds.setdefault(candidate.digest, candidate)
        self._open: dict[str, list[optuna.Trial]] = {}
        self._told = Told()
        self._outcomes: dict[str, Outcome] = {}
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
        digests = self._told.take(ordered)
        self._floors.update(dict.fromkeys(sorted({floor for trial in trials for floor in trial.gaps})))
        for trial, digest in zip(ordered, digests, strict=True):
            self._outcomes[digest] = told = outcome(trial, list(self._floors))
            choice = self._choices.get(digest) or point_of(self._space, trial.candidate)
            if choice is None:
                continue
            if digest not in self._open:
                self._choices[digest] = choice
                self._study.add_trial(self._record(choice, told))
            for live in self._open.pop(digest, []):
                self._finish(live, told)

    def grow(self, clauses: Mapping[str, str]) -> None:
        """Let more be said: idea -> text. Each is proposed next, said after the best prompt told so far.

        Optuna's distributions cannot grow within a study, and a parameter that some trials lack is modelled by no
        joint sampler. So the study is made anew: in every trial so far the new ideas are off, which is what was
        measured. Candidates asked and not yet told stay open.

        Raises:
            SpaceError: the space cannot take these clauses; nothing changed.
        """
        self._space = self._space.with_clauses(clauses)
        self._distributions = distributions(self._space)
        self._growths += 1
        (sampler_seed,) = np.random.SeedSequence([self._seed, self._growths]).generate_state(1)
        before, self._study = self._study, self._fresh(int(sampler_seed))
        for trial in before.get_trials(deepcopy=False):
            if trial.state.is_finished():
                self._study.add_trial(self._widened(trial))
        for digest in self._open:
            self._open[digest] = [self._drawn(self._choices[digest])]
        best = self._best()
        for idea in clauses if self._space.max_clauses else ():
            kept = best.clauses[: self._space.max_clauses - 1]
            self._coming.append(Choice(best.opening, (*kept, (idea, WRITTEN)), best.placement))
        self._exhausted = False

    def _fresh(self, seed: int) -> optuna.Study:
        return study_in_memory(sampler(self._name, self._space, seed, self._n_startup))

    def _drawn(self, choice: Choice) -> optuna.Trial:
        """Return a live trial at a point of our choosing."""
        self._study.enqueue_trial(params_of(self._space, choice))
        return self._study.ask(self._distributions)

    def _sample(self) -> Candidate | None:
        """Draw until a text is new; None when the sampler keeps repeating itself."""
        for _ in range(RESAMPLES + len(self._coming)):  # all that is coming is drawn before neighbours are looked at
            trial = self._drawn(self._coming.popleft()) if self._coming else self._study.ask(self._distributions)
            choice = choice_of(self._space, trial.params)
            candidate = self._space.render(choice)
            if self._is_new(candidate, trial):
                self._choices[candidate.digest] = choice
                return self._seeds.get(candidate.digest, candidate)
        return None

    def _is_new(self, candidate: Candidate, trial: optuna.Trial) -> bool:
        """Settle a repeated trial with the known result, now or when it is told, so that none stays RUNNING."""
        told = self._outcomes.get(candidate.digest)
        if told is not None:
            self._finish(trial, told)
            return False
        twins = self._open.setdefault(candidate.digest, [])
        twins.append(trial)
        return len(twins) == 1

    def _best(self) -> Choice:
        """Return the best point told so far, or the first seed."""
        known = self._outcomes
        ranked = sorted((known[d].standing, place, d) for place, d in enumerate(self._choices) if d in known)
        return self._choices[ranked[0][2]] if ranked else next(iter(self._space.seeds.values()))

    def _neighbour(self) -> Candidate | None:
        """Take the new point fewest steps away from the best one, at random among equals; None when none is left."""
        start = self._best()
        seen, queue = {start}, deque([start])
        while queue:
            near = list(dict.fromkeys(choice for choice in steps(self._space, queue.popleft()) if choice not in seen))
            seen.update(near)
            for index in self._random.permutation(len(near)):
                candidate = self._space.render(near[index])
                if candidate.digest not in self._told and candidate.digest not in self._open:
                    self._coming.append(near[index])
                    return self._sample()
                queue.append(near[index])
        return None

    def _finish(self, trial: optuna.Trial, told: Outcome) -> None:
        for floor, gap in told.constraints.items():  # before tell: a finished trial takes no constraints
            trial.set_constraint(floor, gap)
        for key, value in told.attrs.items():
            trial.set_user_attr(key, value)
        self._study.tell(trial, told.value, told.state)

    def _record(self, choice: Choice, told: Outcome) -> FrozenTrial:
        return create_trial(
            state=told.state,
            value=told.value,
            params=params_of(self._space, choice),
            distributions=self._distributions,
            user_attrs=dict(told.attrs),
            constraints=dict(told.constraints),
        )

    def _widened(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a finished trial with the parameters of new ideas, off; a breeder's generations stay known."""
        off = params_of(self._space, next(iter(self._space.seeds.values())))
        return create_trial(
            state=trial.state,
            value=trial.value,
            params={**off, **trial.params},
            distributions=self._distributions,
            user_attrs=trial.user_attrs,
            system_attrs={key: value for key, value in trial.system_attrs.items() if key.endswith(":generation")},
            constraints=trial.constraints,
        )

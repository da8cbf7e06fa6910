"""Thompson sampling: every proposal is the best prompt under one draw of what its clauses may do.

A race measures many prompts on few items. One such estimate says little, all of them together say much about the
clauses they share: log PB is taken for a sum of what opening, placement, ideas and wordings do (a clause damps a
bias by a factor), a floor's value likewise, and both are known as far as ``regression`` tells. A draw from that is
optimised exactly enough, so that what may still be good is tried and what is known to be bad is not (Thompson 1933;
linear bandits: Agrawal and Goyal 2013).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from defender.proposers.outcome import UNMEASURED_GAP
from defender.proposers.points import choice_of, distributions, params_of
from defender.proposers.regression import Posterior, posterior
from defender.records import FloatArray
from defender.space import Choice, Space

LEAST = 4
"""Prompts that are drawn at random before there is anything to model."""
CLAIMS: Mapping[str, float] = {"count": 0.3, "opening": 0.15, "placement": 0.15, "idea": 0.25, "wording": 0.15}
"""The usual width of effects on log PB: of saying one clause more, and of each kind of choice."""
MISFIT = 0.07
"""The usual distance of log PB from the sum of its effects."""
SHORT = 5.0
"""What a point below a floor weighs, in log PB^2."""
STARTS = 3
TINY = 1e-6
CLAUSE = "clause:"

Option = tuple[str, str]
"""A slot and a name, as in the parts of a candidate."""
NOTHING: Option = ("", "")


@dataclass(frozen=True, eq=False)
class _Terms:
    """The effects a space has, by number; the first is the constant."""

    width_K: FloatArray
    of: Mapping[Option, tuple[int, ...]]

    @classmethod
    def read(cls, space: Space) -> _Terms:
        widths, of = [1.0, CLAIMS["count"]], dict[Option, tuple[int, ...]]()

        def term(kind: str) -> int:
            widths.append(CLAIMS[kind])
            return len(widths) - 1

        of |= {("opening", name): (term("opening"),) for name in space.openings}
        of |= {("placement", name): (term("placement"),) for name in space.placements}
        for idea, wordings in space.clauses.items():
            whole = term("idea")
            of |= {(CLAUSE + idea, way): (1, whole, term("wording")) for way in wordings}
        return cls(np.array(widths), of)

    def row(self, choice: Choice) -> FloatArray:
        """Return which effects a choice has, and how often."""
        row_K = np.zeros(len(self.width_K))
        row_K[0] = 1.0
        for option in choice.parts:
            for place in self.of[option]:
                row_K[place] += 1.0
        return row_K


class Thompson(BaseSampler):
    """Proposes points of a space; reads the trials of ``outcome``.

    Args:
        space: what may be said; the trials' parameters are its own.
        seed: all randomness comes from here.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._terms = _Terms.read(space)
        self._distributions = distributions(space)
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._known: tuple[int, list[Posterior]] = (-1, [])

    def infer_relative_search_space(self, _study: optuna.Study, _trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all parameters: they are drawn together."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, _trial: FrozenTrial, _search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the best point under one draw; nothing while too little is known, so that a random one is drawn."""
        told = _told(study)
        if len(told) < LEAST:
            return {}
        if self._known[0] != len(told):
            self._known = len(told), self._learned(told)
        best = self._best([found.draw(self._rng) for found in self._known[1]])
        said = tuple(best.clauses[place] for place in self._rng.permutation(len(best.clauses)))
        return params_of(self._space, Choice(best.opening, said, best.placement))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _learned(self, told: Sequence[FrozenTrial]) -> list[Posterior]:
        """Return what is known of the effects on log PB, then of those on each floor's gap."""
        design_N_K = np.stack([self._terms.row(choice_of(self._space, trial.params)) for trial in told])
        pb_N, noise_N = np.array([_log_pb(trial) for trial in told]).T
        found = [posterior(design_N_K, pb_N, noise_N, self._terms.width_K, MISFIT)]
        for floor in sorted({name for trial in told for name in trial.constraints} - {"measured"}):
            gap_N = np.array([trial.constraints.get(floor, UNMEASURED_GAP) for trial in told])
            has_N = gap_N < UNMEASURED_GAP
            if has_N.sum() >= LEAST:
                unit = max(float(gap_N[has_N].std()), TINY)  # points
                width_K = self._terms.width_K * unit / CLAIMS["idea"]
                found.append(posterior(design_N_K[has_N], gap_N[has_N], np.zeros(has_N.sum()), width_K, 0.5 * unit))
        return found

    def _best(self, drawn: Sequence[FloatArray]) -> Choice:
        """Return the best choice if the effects were those drawn, by the best single change from several starts."""
        objective = _Objective.read(self._terms, drawn)
        ends = [self._climbed(self._anywhere(), objective) for _ in range(STARTS)]
        best = min(ends, key=objective.value)
        said = tuple((slot.removeprefix(CLAUSE), name) for slot, name in best if slot.startswith(CLAUSE))
        kept = dict(best)
        placement = next(known for known in self._space.placements if known == kept["placement"])
        return Choice(kept["opening"], said, placement)

    def _anywhere(self) -> list[Option]:
        """Return a random choice's options."""
        space, rng = self._space, self._rng
        ideas = list(space.clauses)
        count = int(rng.integers(min(space.max_clauses, len(ideas)) + 1))
        said = [ideas[place] for place in rng.permutation(len(ideas))[:count]]
        return [
            ("opening", str(rng.choice(list(space.openings)))),
            ("placement", str(rng.choice(list(space.placements)))),
            *((CLAUSE + idea, str(rng.choice(list(space.clauses[idea])))) for idea in said),
        ]

    def _climbed(self, options: list[Option], objective: _Objective) -> list[Option]:
        """Take the best change until none helps."""
        while True:
            moves = list(self._moves(options))
            place, gain = objective.best_move(options, moves)
            if gain <= TINY:
                return options
            gone, come = moves[place]
            options = [option for option in (*options, come) if option not in (gone, NOTHING)]

    def _moves(self, options: Sequence[Option]) -> Iterator[tuple[Option, Option]]:
        """Yield every single change: the option that goes and the one that comes, either may be nothing."""
        space, said = self._space, [option for option in options if option[0].startswith(CLAUSE)]
        for slot, names in (("opening", list(space.openings)), ("placement", list(space.placements))):
            now = next(option for option in options if option[0] == slot)
            yield from ((now, (slot, name)) for name in names if name != now[1])
        yield from ((clause, NOTHING) for clause in said)
        for idea, wordings in space.clauses.items():
            same = [clause for clause in said if clause[0] == CLAUSE + idea]
            leaving = same or (said if len(said) >= space.max_clauses else [*said, NOTHING])
            yield from ((gone, come) for gone in leaving for way in wordings if (come := (CLAUSE + idea, way)) != gone)


@dataclass(frozen=True, eq=False)
class _Objective:
    """Log PB^2 and what floors are missed by, as a sum of what options are worth; lower is better."""

    constant_F: FloatArray
    worth_F: Mapping[Option, FloatArray]

    @classmethod
    def read(cls, terms: _Terms, drawn: Sequence[FloatArray]) -> _Objective:
        drawn_F_K = np.stack(drawn)
        worth_F = {option: drawn_F_K[:, list(places)].sum(axis=1) for option, places in terms.of.items()}
        return cls(drawn_F_K[:, 0], {**worth_F, NOTHING: np.zeros(len(drawn))})

    def value(self, options: Sequence[Option]) -> float:
        return float(self._values(self._lies(options)))

    def best_move(self, options: Sequence[Option], moves: Sequence[tuple[Option, Option]]) -> tuple[int, float]:
        """Return the place of the best move, and what it gains; (-1, 0) without moves."""
        if not moves:
            return -1, 0.0
        now_F = self._lies(options)
        change_M_F = np.array([self.worth_F[come] - self.worth_F[gone] for gone, come in moves])
        value_M = self._values(now_F + change_M_F)
        place = int(value_M.argmin())
        return place, float(self._values(now_F) - value_M[place])

    def _lies(self, options: Sequence[Option]) -> FloatArray:
        found: FloatArray = self.constant_F + np.sum([self.worth_F[option] for option in options], axis=0)
        return found

    @staticmethod
    def _values(lies_F: FloatArray) -> FloatArray:
        found: FloatArray = 2.0 * lies_F[..., 0] + SHORT * np.maximum(lies_F[..., 1:], 0.0).sum(axis=-1)
        return found


def _told(study: optuna.Study) -> list[FrozenTrial]:
    """Return the measured trials, each prompt once: a sampler that repeats itself learns nothing by it."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return list({str(trial.user_attrs["candidate"]): trial for trial in done}.values())


def _log_pb(trial: FrozenTrial) -> tuple[float, float]:
    """Return log PB and the variance of that, by the delta method.

    S2 - C may be 0 or less by luck; PB^2 may then be about the size of its standard error. Its variance is that of a
    variance of U normal means with noise C, 2/U (C^2 + 2 C PB^2); what items do to all prompts alike cancels anyway.
    """
    value, noise2 = float(trial.values[0]), float(trial.user_attrs["noise_floor"]) ** 2
    corrected2, fair = value * abs(value), 2.0 / max(2, int(trial.user_attrs["users"]))
    square = 0.5 * (corrected2 + float(np.sqrt(corrected2**2 + 8.0 * fair * noise2**2 + TINY)))
    variance = fair * (noise2**2 + 2.0 * noise2 * square)
    return 0.5 * float(np.log(square)), variance / (4.0 * square**2)

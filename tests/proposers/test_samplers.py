from __future__ import annotations

import math

import numpy as np
import pytest

from defender.errors import ConfigError
from defender.proposers.sampled import Sampled
from defender.proposers.samplers import SamplerName
from defender.records import Trial
from tests.contracts.proposer import estimate
from tests.proposers.spaces import SMALL, WIDE, point


def test_an_unknown_sampler_is_named() -> None:
    with pytest.raises(ConfigError, match="no sampler 'cma'; choose one of thompson, tpe, nsga2, random"):
        Sampled(SMALL, 0, sampler="cma")  # type: ignore[arg-type]


def best_found(sampler: SamplerName, world: int, n: int = 72) -> float:
    """Search a synthetic world and return the true PB^2 of the best candidate that keeps its floor.

    Every wording moves PB^2 by its own amount, later clauses count less, measurements are noisy, and helping fairness
    may cost utility. Both samplers face the same worlds and the same noise.
    """
    drawn = np.random.default_rng(world)
    effects = {(i, w): drawn.normal(0, 1.4) for i, wordings in WIDE.clauses.items() for w in wordings}
    costs = {key: drawn.normal(0, 0.5) for key in effects}
    openings = {name: drawn.normal(0, 0.7) for name in WIDE.openings}
    noise = np.random.default_rng(world + 1000)
    proposer = Sampled(WIDE, seed=world, sampler=sampler)
    best = math.inf
    for _ in range(n // 8):
        trials = []
        for candidate in proposer.ask(8):
            opening, said = point(candidate)
            true = 8 + openings[opening] + sum(effects[key] * 0.9**place for place, key in enumerate(said))
            gap = -1.0 + sum(costs[key] for key in said)
            trials.append(Trial(candidate, estimate(true + noise.normal()), {"utility": gap}))
            best = min(best, true) if gap <= 0 else best
        proposer.tell(trials)
    return best


def test_tpe_finds_fairer_prompts_than_random_search() -> None:
    found = {sampler: [best_found(sampler, world) for world in range(4)] for sampler in ("random", "tpe")}
    assert np.mean(found["tpe"]) < np.mean(found["random"]) - 0.3, found


def test_thompson_sampling_finds_fairer_prompts_than_tpe_from_the_same_few_measurements() -> None:
    found = {sampler: [best_found(sampler, world, 40) for world in range(8)] for sampler in ("tpe", "thompson")}
    assert np.mean(found["thompson"]) < np.mean(found["tpe"]) - 0.3, found


def test_a_breeding_sampler_finds_fairer_prompts_than_random_search() -> None:
    found = {sampler: [best_found(sampler, world) for world in range(4)] for sampler in ("random", "nsga2")}
    assert np.mean(found["nsga2"]) < np.mean(found["random"]) - 0.3, found

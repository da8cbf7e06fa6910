"""The samplers that can compose prompts, by name: Optuna's, and ours."""

from __future__ import annotations

from typing import Literal, get_args

from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from defender.errors import ConfigError
from defender.proposers.thompson import Thompson
from defender.space import Space

SamplerName = Literal["thompson", "tpe", "nsga2", "random"]


def sampler(name: SamplerName, space: Space, seed: int, n_startup: int) -> BaseSampler:
    """Return a fresh sampler; all its randomness comes from ``seed``. All but "random" honour constraints.

    Args:
        name: "thompson" models what every choice does, "tpe" the good and the bad prompts, "nsga2" breeds the best,
            "random" learns nothing (a baseline).
        space: what may be said.
        seed: 32 bits.
        n_startup: trials drawn at random before anything is learned; for "nsga2" the size of every
            population; "thompson" learns from the first.

    Raises:
        ConfigError: no such sampler.
    """
    if name == "thompson":
        return Thompson(space, seed)
    if name == "tpe":
        return TPESampler(seed=seed, n_startup_trials=n_startup)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=max(2, n_startup))
    if name == "random":
        return RandomSampler(seed=seed)
    raise ConfigError(f"no sampler '{name}'; choose one of {', '.join(get_args(SamplerName))}")

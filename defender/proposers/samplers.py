"""The samplers of Optuna that can compose prompts, by name."""

from __future__ import annotations

from typing import Literal, get_args

from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from defender.errors import ConfigError

SamplerName = Literal["tpe", "nsga2", "random"]


def sampler(name: SamplerName, seed: int, n_startup: int) -> BaseSampler:
    """Return a fresh sampler; all its randomness comes from ``seed``. All but "random" honour constraints.

    Args:
        name: "tpe" models the good and the bad, "nsga2" breeds the best, "random" learns nothing (a baseline).
        seed: 32 bits.
        n_startup: trials drawn at random before anything is learned; for "nsga2" the size of every population.

    Raises:
        ConfigError: no such sampler.
    """
    if name == "tpe":
        return TPESampler(seed=seed, n_startup_trials=n_startup)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=max(2, n_startup))
    if name == "random":
        return RandomSampler(seed=seed)
    raise ConfigError(f"no sampler '{name}'; choose one of {', '.join(get_args(SamplerName))}")

"""Bayesian linear regression: what many rough measurements together say about each choice. Pure.

Effects are normal around 0, each with its usual width; how much wider or narrower they all are, and how far truth is
from adding up, are read from the measurements themselves (empirical Bayes: the pair of the grid with the highest
evidence under a mild preference for the usual one). Where nothing adds up, effects shrink to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defender.records import FloatArray

WIDER = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Times the usual width of effects."""
MISFIT = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Times the usual distance of a truth from the sum of its effects."""
DOUBT = 0.7
"""Width, in natural logarithms, of the preference for the usual."""
LEVEL = 100.0
"""Width of the constant term beside the effects': it is known by the data alone."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of K effects: normal, with its mean and a square root of its covariance."""

    mean_K: FloatArray
    root_K_K: FloatArray

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Return effects as they may be."""
        found: FloatArray = self.mean_K + self.root_K_K @ rng.standard_normal(len(self.mean_K))
        return found


def posterior(
    design_N_K: FloatArray, value_N: FloatArray, noise_N: FloatArray, width_K: FloatArray, misfit: float
) -> Posterior:
    """Return what N measurements say about K effects.

    Args:
        design_N_K: which effects each measurement has; the first column is the constant.
        value_N: the measurements.
        noise_N: their variances.
        width_K: the usual standard deviation of each effect.
        misfit: the usual standard deviation of a truth around the sum of its effects; > 0.
    """
    level = float(np.average(value_N, weights=1.0 / (noise_N + misfit**2)))
    centred_N = value_N - level
    best: tuple[float, Posterior] | None = None
    for wider in WIDER:
        prior_K = np.concatenate(([LEVEL * width_K.max()], wider * width_K[1:]))
        for more in MISFIT:
            weight_N = 1.0 / (noise_N + (more * misfit) ** 2)
            evidence, found = _known(design_N_K, centred_N, weight_N, prior_K)
            evidence -= 0.5 * (np.log([wider, more]) ** 2).sum() / DOUBT**2
            if best is None or evidence > best[0]:
                best = evidence, found
    assert best is not None
    best[1].mean_K[0] += level
    return best[1]


def _known(
    design_N_K: FloatArray, value_N: FloatArray, weight_N: FloatArray, width_K: FloatArray
) -> tuple[float, Posterior]:
    """Return the log evidence (less what all priors share) and the posterior under one prior."""
    # In units of the prior widths the precision is I + something: its Cholesky factor always exists.
    scaled_N_K = design_N_K * width_K
    precision_K_K = np.eye(len(width_K)) + (scaled_N_K.T * weight_N) @ scaled_N_K
    lower_K_K = np.linalg.cholesky(precision_K_K)
    told_K = scaled_N_K.T @ (weight_N * value_N)
    half_K = np.linalg.solve(lower_K_K, told_K)
    root_K_K = width_K[:, None] * np.linalg.inv(lower_K_K).T
    fit = half_K @ half_K - (weight_N * value_N**2).sum()
    evidence = 0.5 * float(fit + np.log(weight_N).sum() - 2.0 * np.log(np.diag(lower_K_K)).sum())
    return evidence, Posterior(root_K_K @ half_K, root_K_K)

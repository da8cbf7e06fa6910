"""What each clause did in the trials so far, from all of them at once, with its uncertainty.

Bayesian ridge regression (MacKay, Bayesian interpolation, 1992): effects are drawn from one normal distribution, whose
width in units of the noise is averaged over by marginal likelihood. With few trials effects shrink to 0 and their
errors stay wide, so the tables say little rather than something false. Which clauses are tried is no random draw (a
sampler prefers what worked), so these are hints for whoever writes or samples next; claims are made on confirm items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from defender.evidence import Effect
from defender.records import FloatArray, Trial

LEAST = 4
"""Measured trials below which nothing is said."""

RATIOS = np.geomspace(1e-2, 1e4, 49)
"""Noise variance over effect variance, as tried; the last leaves next to no effect."""


def clause_effects(trials: Sequence[Trial], texts: Mapping[tuple[str, str], str]) -> tuple[Effect, ...]:
    """Estimate what every clause did to PB^2 and to the axis means.

    Args:
        trials: those with an estimate count; more items, more weight.
        texts: (idea, wording) -> clause; others are part of the model and not returned.

    Returns:
        Effects on "PB^2" (squared percentage points), "utility" and "safety" (points), each clause that was ever
        said and ever left out; those that lower PB^2 most come first. Nothing below ``LEAST`` measured trials.
    """
    measured = [trial for trial in trials if trial.estimate is not None]
    slots = sorted({part for trial in measured for part in _slots(trial)})
    flags_T_F = np.array([[part in _slots(trial) for part in slots] for trial in measured], dtype=float)
    if len(measured) < LEAST:
        return ()
    varied = [f for f in range(len(slots)) if 0 < flags_T_F[:, f].sum() < len(measured)]
    if not varied:
        return ()
    flags_T_F = flags_T_F[:, varied]
    weight_T = _weights(measured)
    told: dict[str, list[Effect]] = {}
    for name in ("PB^2", "utility", "safety"):
        values = [_value(trial, name) for trial in measured]
        if any(value is None for value in values):
            continue
        mean_F, error_F = ridge(flags_T_F, np.array(values, dtype=float), weight_T)
        for f, mean, error in zip(range(len(varied)), mean_F, error_F, strict=True):
            slot, way = slots[varied[f]]
            key = (slot.removeprefix("clause:"), way)
            if slot.startswith("clause:") and key in texts:
                said = int(flags_T_F[:, f].sum())
                told.setdefault(texts[key], []).append(Effect(texts[key], name, float(mean), float(error), said))
    ordered = sorted(told.items(), key=lambda pair: (pair[1][0].difference, pair[0]))
    return tuple(effect for _, effects in ordered for effect in effects)


def ridge(flags_T_F: FloatArray, value_T: FloatArray, weight_T: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the posterior mean and standard deviation of every flag's effect on a value.

    Args:
        flags_T_F: trials x flags, 0 or 1.
        value_T: what was measured.
        weight_T: > 0, inversely proportional to the variance of the measurement.
    """
    weight_T = weight_T / weight_T.mean()
    root_T = np.sqrt(weight_T)[:, None]
    x_T_F = root_T * (flags_T_F - np.average(flags_T_F, axis=0, weights=weight_T))
    y_T = root_T[:, 0] * (value_T - np.average(value_T, weights=weight_T))
    if not y_T.any():
        return np.zeros(x_T_F.shape[1]), np.zeros(x_T_F.shape[1])
    fits = [_fit(x_T_F, y_T, ratio) for ratio in RATIOS]
    likelihood_R = np.array([fit[0] for fit in fits])
    share_R = np.exp(likelihood_R - likelihood_R.max())
    share_R /= share_R.sum()
    mean_R_F, var_R_F = np.array([fit[1] for fit in fits]), np.array([fit[2] for fit in fits])
    mean_F = share_R @ mean_R_F
    return mean_F, np.sqrt(share_R @ (var_R_F + (mean_R_F - mean_F) ** 2))


def _fit(x_T_F: FloatArray, y_T: FloatArray, ratio: float) -> tuple[float, FloatArray, FloatArray]:
    """Return log marginal likelihood (noise integrated out), posterior mean and variance for one ratio."""
    freedom, flags = len(y_T) - 1, x_T_F.shape[1]
    total = float(y_T @ y_T)
    gram_F_F = x_T_F.T @ x_T_F + ratio * np.eye(flags)
    mean_F = np.asarray(np.linalg.solve(gram_F_F, x_T_F.T @ y_T), dtype=np.float64)
    left = max(total - float(y_T @ x_T_F @ mean_F), 1e-12 * total)
    likelihood = -0.5 * (freedom * np.log(left) + np.linalg.slogdet(gram_F_F)[1] - flags * np.log(ratio))
    return float(likelihood), mean_F, left / max(freedom - 2, 1) * np.diag(np.linalg.inv(gram_F_F))


def _slots(trial: Trial) -> set[tuple[str, str]]:
    return set(trial.candidate.parts)


def _value(trial: Trial, name: str) -> float | None:
    if trial.estimate is None:
        return None
    if name == "PB^2":
        return trial.estimate.corrected2
    axis = trial.estimate.axes.get("utility" if name == "utility" else "safety")
    return axis.mean if axis else None


def _weights(trials: Sequence[Trial]) -> FloatArray:
    """Return the items behind each estimate: the variance of what they measure falls as their number."""
    counts = [sum(axis.items for axis in t.estimate.axes.values()) if t.estimate else 0 for t in trials]
    return np.array([max(count, 1) for count in counts], dtype=np.float64)

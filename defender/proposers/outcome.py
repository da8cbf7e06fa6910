"""What a trial means to Optuna: a value to minimise, constraints on every path, and words for people.

The value is ``sign(c) * sqrt(|c|)`` with c = ``corrected2``: samplers only sort values, so the root changes nothing
for them, but plots then read in percentage points of PB; the sign keeps candidates that are all below the noise in
order. A floor another trial had and this one lacks counts as missed by ``UNMEASURED_GAP``, and so does ``measured``,
which is 0 otherwise: Optuna takes a trial without constraints for feasible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState

from defender.records import Trial

UNMEASURED_GAP = 100.0
"""Constraint of a floor that was not measured, in percentage points: no measured floor can miss by more."""


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate.

    Dropped trials are COMPLETE with their estimate at that block, not PRUNED: the estimate is unbiased at every
    block, so values are on one scale, while PRUNED ranks behind every complete trial, even the weak early ones that
    finished because nothing better had been seen. Trials without an estimate are FAIL, which samplers ignore.

    Attributes:
        value: signed PB in percentage points, None when it could not be measured.
        constraints: floor name -> gap in percentage points, <= 0 keeps it.
        attrs: what people are shown, as plain JSON values.
    """

    value: float | None
    constraints: Mapping[str, float]
    attrs: Mapping[str, Any]

    @property
    def state(self) -> TrialState:
        """COMPLETE where there is a value."""
        return TrialState.FAIL if self.value is None else TrialState.COMPLETE

    @property
    def standing(self) -> tuple[float, float]:
        """Sorting key: total floor violation, then value; lower is better."""
        missed = sum(gap for gap in self.constraints.values() if gap > 0)
        return missed, math.inf if self.value is None else self.value


def outcome(trial: Trial, floors: Sequence[str]) -> Outcome:
    """Read a trial; whatever is missing or not finite is unmeasured, never a value.

    Args:
        trial: what became of a candidate.
        floors: every floor any trial had so far.
    """
    value = _signed_root(trial.estimate.corrected2) if trial.estimate else math.nan
    # The estimate guides, not its bound: on a race's few items a bound says more about the items than the prompt.
    gaps = {floor: (trial.misses or trial.gaps).get(floor, math.nan) for floor in floors}
    measured = math.isfinite(value) and all(math.isfinite(gap) for gap in gaps.values())
    constraints = {floor: float(gap) if math.isfinite(gap) else UNMEASURED_GAP for floor, gap in gaps.items()}
    constraints["measured"] = 0.0 if measured else UNMEASURED_GAP
    attrs: dict[str, Any] = {"candidate": trial.candidate.id, "name": trial.candidate.name}
    attrs |= {"text": trial.candidate.template, "seat": trial.candidate.seat, "decision": _decision(trial)}
    if trial.estimate is not None:
        interval = trial.estimate.interval
        attrs |= {"pb": trial.estimate.pb, "interval": [interval.low, interval.high], "level": interval.level}
        attrs |= {"noise_floor": trial.estimate.noise_floor, "gaps": dict(trial.gaps)}
        attrs |= {"users": max((len(axis.by_identity) for axis in trial.estimate.axes.values()), default=0)}
        attrs |= {axis: found.mean for axis, found in trial.estimate.axes.items()}
    if trial.dropped_at is not None:
        attrs["dropped_at"] = trial.dropped_at
    if not math.isfinite(value):
        attrs["failure"] = trial.failure or "the estimate is not a finite number"
    return Outcome(value if math.isfinite(value) else None, constraints, _plain(attrs))


def _decision(trial: Trial) -> str:
    if trial.estimate is None:
        return f"not measured: {trial.failure}" if trial.failure else "not measured"
    if trial.dropped_at is None:
        return "measured on the whole panel"
    return f"dropped after block {trial.dropped_at + 1}" + (f": {trial.reason}" if trial.reason else "")


def _signed_root(corrected2: float) -> float:
    return math.copysign(math.sqrt(abs(corrected2)), corrected2)


def _plain(value: Any) -> Any:
    """Return JSON values without NaN and infinities, which databases refuse."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

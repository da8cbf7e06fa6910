"""What each change does to a prompt: paired with it on the same items, with what was looked for counted. Pure.

Differences are corrected PB^2 of the changed prompt less the prompt's (below 0 the change is fairer), and axis means.
p-values are Holm's over all changes of one kind; what is said to lie within the margin is shown step by step (Holm's
thresholds, by intervals), so the chance of one false word of either sort is 1 - level in a kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from defender.bias import PairedDifference, compare, compare_means, estimate
from defender.decide import holm
from defender.records import Axis, OutcomeMatrix, PBEstimate

Matrices = Sequence[OutcomeMatrix]

Fate = Literal[
    "needed", "helps", "no detectable loss", "better without", "adds nothing", "better as it is", "better changed",
    "no detectable difference", "not distinguishable",
]  # fmt: skip
"""Of a clause left out: needed (PB is shown to grow by more than the margin), helps (shown to grow, or an axis to
fall), no detectable loss (shown not to grow by the margin), better without. Of a clause added: helps, better without,
adds nothing. Of any other change: better as it is, better changed, no detectable difference."""

GUARDED: tuple[Axis, ...] = ("utility", "safety", "over_refusal")


@dataclass(frozen=True)
class Margin:
    """What counts as no difference: ``points`` of PB above a prompt's, as squares on a given prompt.

    ``loss2`` is the growth of PB^2 by which a PB grows by the margin; ``gain2`` its fall by which PB falls by it. Both
    are taken at the lower end of the prompt's own interval, where they are smallest: nothing is shown by luck there.
    """

    points: float
    loss2: float
    gain2: float

    @classmethod
    def of(cls, prompt: PBEstimate, points: float) -> Margin:
        """Return the margin around a prompt's estimate."""
        low = prompt.interval.low
        return cls(points, points * (2.0 * low + points), min(low, points) * (2.0 * low - min(low, points)))


@dataclass(frozen=True)
class Finding:
    """One change against the prompt itself.

    Attributes:
        name: the change. ``first`` is the changed prompt's PB^2 in ``difference``, ``second`` the prompt's.
        p_adjusted: Holm's, within the kind.
        no_loss, no_gain: shown to lie within the margin on that side.
        falls: axis -> points lost, where shown (Holm's, within the kind and over its axes).
        fate, reason: the verdict, and why in words.
        losable: a clause left out that is missed nowhere: neither PB nor an axis is shown to lose by it.
    """

    name: str
    difference: PairedDifference
    p_adjusted: float
    no_loss: bool
    no_gain: bool
    means: Mapping[Axis, PairedDifference]
    falls: Mapping[Axis, float]
    fate: Fate
    reason: str

    @property
    def losable(self) -> bool:
        """Whether a clause whose absence this is may be left out."""
        return self.fate in ("no detectable loss", "better without") and not self.falls


def findings(
    kind: str,
    changed: Mapping[str, Matrices],
    prompt: Matrices,
    *,
    margin: float,
    level: float = 0.95,
) -> tuple[Finding, ...]:
    """Judge all changes of one kind.

    Args:
        kind: "left out" and "added" have words of their own.
        changed: name -> the changed prompt's matrices, on the items of ``prompt``.
        prompt: the prompt's matrices.
        margin: points of PB that count as no difference.
        level: 1 - level is the chance of one false verdict among them.

    Raises:
        IncompleteMatrix: as ``bias.compare``.
    """
    own = estimate(prompt, level=level, max_missing=1.0)
    allowed = Margin.of(own, margin)
    paired = {name: compare(found, prompt, level=level) for name, found in changed.items()}
    adjusted = holm([one.p for one in paired.values()])
    no_loss = _within(changed, prompt, paired, allowed.loss2, 1, level)
    no_gain = _within(changed, prompt, paired, allowed.gain2, -1, level)
    axes = [axis for axis in GUARDED if any(matrix.axis == axis for matrix in prompt)]
    means = {
        name: {axis: compare_means(found, prompt, axis, level=level) for axis in axes}
        for name, found in changed.items()
    }
    lost = iter(holm([means[name][axis].p for name in changed for axis in axes]))
    doubts = {name: {axis: next(lost) for axis in axes} for name in changed}
    found = []
    for (name, one), p in zip(paired.items(), adjusted, strict=True):
        falls: dict[Axis, float] = {
            axis: -mean.difference
            for axis, mean in means[name].items()
            if mean.difference < 0.0 and doubts[name][axis] < 1.0 - level
        }
        told = p < 1.0 - level
        beyond = told and one.interval.low > allowed.loss2
        fate = _fate(kind, one.difference if told else 0.0, beyond, (name in no_loss, name in no_gain), bool(falls))
        reason = _reason(one, p, allowed, fate, falls)
        within = (name in no_loss, name in no_gain)
        found.append(Finding(name, one, p, *within, means[name], falls, fate, reason))
    return tuple(found)


def _within(
    changed: Mapping[str, Matrices],
    prompt: Matrices,
    paired: Mapping[str, PairedDifference],
    bound2: float,
    side: Literal[1, -1],
    level: float,
) -> set[str]:
    """Return the changes shown to lie below the bound on one side: Holm's steps, each by an interval of its level."""
    if bound2 <= 0.0:
        return set()
    waiting = sorted(paired, key=lambda name: _standing(paired[name], bound2, side), reverse=True)
    shown: set[str] = set()
    for place, name in enumerate(waiting):
        tail = (1.0 - level) / (len(waiting) - place)
        interval = compare(changed[name], prompt, level=1.0 - 2.0 * tail).interval
        if (interval.high if side > 0 else -interval.low) >= bound2:
            break
        shown.add(name)
    return shown


def _standing(one: PairedDifference, bound2: float, side: int) -> float:
    """Return how many standard errors a difference lies within a bound."""
    return (bound2 - side * one.difference) / max(one.se, 1e-12)


def _fate(kind: str, told: float, beyond: bool, within: tuple[bool, bool], falls: bool) -> Fate:
    """Return the verdict; ``told`` is the difference where it is beyond doubt, else 0."""
    no_loss, no_gain = within
    if kind == "left out":
        if told > 0.0 or falls:
            return "needed" if beyond else "helps"
        if told < 0.0:
            return "better without"
        return "no detectable loss" if no_loss else "not distinguishable"
    if kind == "added":
        if told < 0.0:
            return "helps"
        if told > 0.0 or falls:
            return "better without"
        return "adds nothing" if no_gain else "not distinguishable"
    if told > 0.0 or (falls and not told):
        return "better as it is"
    if told < 0.0:
        return "better changed"
    return "no detectable difference" if no_loss and no_gain else "not distinguishable"


def _reason(one: PairedDifference, p: float, allowed: Margin, fate: Fate, falls: Mapping[Axis, float]) -> str:
    """Say what the verdict rests on."""
    interval = one.interval
    said = (
        f"PB {_root(one.first):.2f} changed, {_root(one.second):.2f} as it is; difference of squares "
        f"{one.difference:+.3f} ({interval.level:.0%} {interval.low:+.3f} to {interval.high:+.3f}), Holm p {p:.2g}"
    )
    if falls:
        said += "; " + ", ".join(f"{axis} falls by {points:.1f} points" for axis, points in falls.items())
    if fate == "no detectable loss":
        said += f"; shown to cost less than {allowed.points:g} points of PB"
    elif fate == "adds nothing":
        said += f"; shown to gain less than {allowed.points:g} points of PB"
    elif fate == "no detectable difference":
        said += f"; shown to move PB by less than {allowed.points:g} points"
    elif fate == "needed":
        said += f"; by more than the margin of {allowed.points:g} points"
    elif fate == "not distinguishable":
        said += f"; neither a difference nor one below the margin of {allowed.points:g} points is shown: more items may"
        if one.se == 0.0 and one.difference == 0.0:
            said += f" (on the {one.items} items of the smallest benchmark nothing differed at all)"
    return said


def _root(corrected2: float) -> float:
    return float(max(0.0, corrected2) ** 0.5)

"""Gates that a deployed prompt must keep, read after every look at more items. Pure.

A gate is *kept* once a confidence bound shows it and *broken* once the other bound does; until then it is *open*. A
check looks several times, and each look spends a share of the error rate alpha, equal for all planned looks
(Bonferroni over looks: no joint law of the looks is assumed, so it holds for any estimate). So

- a broken prompt is let through with a chance of at most alpha, however many gates there are: the gate that is broken
  would have to be shown kept, at one of the looks;
- a prompt that keeps all its gates fails with a chance of at most alpha: every look shares its part among the gates.

What a look decided stays decided. PB is bounded by ``bounds.one_sided``, means as floors are (``decide``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, repeat, takewhile
from typing import Literal

from defender.bias import PB_AXES, pb_bounds
from defender.errors import ConfigError, IncompleteMatrix
from defender.records import Axis, OutcomeMatrix
from defender.samples import complete
from defender.spread import mean_interval

On = Literal["pb", "utility", "safety", "over_refusal"]
Status = Literal["kept", "broken", "open"]
Verdict = Literal["kept", "failed", "cannot tell"]

EXIT: Mapping[Verdict, int] = {"kept": 0, "failed": 5, "cannot tell": 6}


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing a prompt may not break.

    Attributes:
        on: PB, or an axis.
        limit: the most PB (points) or refused harmless requests (percent); the least utility or safety (percent).
    """

    on: On
    limit: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.limit <= 100.0:
            raise ConfigError(f"gate on {self.on}: expected 0 to 100, got {self.limit:g}; correct it")

    def __str__(self) -> str:
        names = {"pb": "PB <=", "over_refusal": "over-refusal <="}
        return f"{names.get(self.on, f'{self.on} >=')} {self.limit:g}"

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes whose answers it needs."""
        return PB_AXES if self.on == "pb" else (self.on,)


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a gate stands after a look.

    Attributes:
        gate: in words.
        value: the estimate, in the gate's own unit (over-refusal: percent refused); None where nothing can be said.
        low, high: confidence bounds at the look's error rates; ``kept`` and ``broken`` rest on them.
        status: what they show.
        items: complete items of the smallest benchmark read.
        reason: why nothing can be said, else "".
    """

    gate: str
    value: float | None
    low: float | None
    high: float | None
    status: Status
    items: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look: so many items a benchmark (all, where it has fewer), and the error rate it spends."""

    items: int
    alpha: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a check looks: ``sizes`` in items a benchmark, ascending; ``alpha`` over all of them."""

    sizes: tuple[int, ...]
    alpha: float

    @classmethod
    def growing(cls, most: int, first: int, growth: float, alpha: float) -> Schedule:
        """Look at ``first`` items, at ``growth`` times as many, and so on, at last at all ``most``.

        A step that would leave less than half a step to the end goes to the end.
        """
        steps = accumulate(repeat(growth), lambda size, factor: size * factor, initial=float(first))
        before = takewhile(lambda size: size * (1.0 + growth) / 2.0 <= most, steps)
        return cls((*dict.fromkeys(round(size) for size in before if round(size) < most), most), alpha)

    def after(self, done: Sequence[Look]) -> Look | None:
        """Return the next look, with what is left of its share; None after the last."""
        at = done[-1].items if done else 0
        size = next((size for size in self.sizes if size > at), None)
        if size is None:
            return None
        before = max((size for size in self.sizes if size <= at), default=0)
        spent = sum(look.alpha for look in done if look.items > before)
        return Look(size, self.alpha / len(self.sizes) - spent)


def cut(look: Look, items: int) -> Look:
    """Return a look at fewer items than planned; it spends half, so that the look itself may still come."""
    return replace(look, items=items, alpha=look.alpha / 2.0)


def read(
    gates: Sequence[Gate], matrices: Sequence[OutcomeMatrix], alpha: float, known: Mapping[str, Reading] | None = None
) -> dict[str, Reading]:
    """Read every gate that is not decided yet.

    Args:
        gates: all gates of the prompt; a look shares its alpha among them for what it shows broken.
        matrices: graded cells, one matrix a benchmark.
        alpha: the error rate of this look.
        known: what earlier looks read; what they decided stays.

    Returns:
        gate in words -> reading.

    Raises:
        ConfigError: no benchmark measures a gate's axis.
    """
    known = known or {}
    found = {}
    for gate in gates:
        before = known.get(str(gate))
        found[str(gate)] = before if before and before.status != "open" else _read(gate, matrices, alpha, len(gates))
    return found


def verdict(readings: Mapping[str, Reading]) -> Verdict:
    """Return what the readings come to: failed once one gate is broken, kept once all are."""
    statuses = {reading.status for reading in readings.values()}
    if "broken" in statuses:
        return "failed"
    return "kept" if statuses == {"kept"} else "cannot tell"


def open_axes(gates: Sequence[Gate], readings: Mapping[str, Reading]) -> frozenset[Axis]:
    """Return the axes that gates still open need more items of."""
    undecided = [gate for gate in gates if str(gate) not in readings or readings[str(gate)].status == "open"]
    return frozenset(axis for gate in undecided for axis in gate.axes)


def _read(gate: Gate, matrices: Sequence[OutcomeMatrix], alpha: float, gates: int) -> Reading:
    mine = [matrix for matrix in matrices if matrix.axis in gate.axes]
    if not mine:
        raise ConfigError(f"the gate '{gate}' has no benchmark that measures it; add one with --benchmarks")
    kept, broken = alpha, alpha / gates  # chances of being wrong
    try:
        items = min(sample.score_U_I.shape[1] for sample in complete(mine, None))
        if gate.on == "pb":
            value, low, high = pb_bounds(mine, (broken, kept))
        else:
            value, low, high = _mean(mine, gate.on == "over_refusal", (broken, kept))
    except IncompleteMatrix as reason:
        return Reading(str(gate), None, None, None, "open", reason=str(reason))
    ceiling = gate.on in ("pb", "over_refusal")
    shown = high <= gate.limit if ceiling else low >= gate.limit
    missed = low > gate.limit if ceiling else high < gate.limit
    return Reading(str(gate), value, low, high, "kept" if shown else "broken" if missed else "open", items)


def _mean(matrices: Sequence[OutcomeMatrix], refused: bool, tails: tuple[float, float]) -> tuple[float, float, float]:
    """Return an axis mean with its bounds; where answered requests are counted, the share that was refused.

    ``tails``: the chance that the bound against the gate is wrong, and that the one for it is.
    """
    samples = complete(matrices, None)
    value = sum(s.weight * float(s.score_U_I.mean()) for s in samples)
    against, favour = (mean_interval(samples, 1.0 - 2.0 * tail) for tail in tails)
    if refused:
        return 100.0 - value, 100.0 - against.high, 100.0 - favour.low
    return value, favour.low, against.high

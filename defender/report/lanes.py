"""The race as the page draws it: a lane a prompt, how far it came and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defender.report.context import Step
from defender.report.scales import Scale, scale


@dataclass(frozen=True)
class Lane:
    """One prompt in the race: how far it came and how it ended. ``stops`` are where it was judged."""

    name: str
    y: float
    end: float
    stops: Sequence[tuple[float, str, str]]


@dataclass(frozen=True)
class Timeline:
    """The race: a lane a prompt, the items it had answered across."""

    lanes: Sequence[Lane]
    x: Scale
    width: int
    height: int


SIGNS = {"kept": "·", "dropped": "✕", "finished": "■", "promoted": "▲", "passed over": "▽", "finalist": "◆",
         "winner": "★", "failed": "!", "unfinished": "…", "refused": "⊘", "admitted": "+"}  # fmt: skip
"""What happened at a stop, as a sign; the legend and the words say the same."""


def timeline(steps: Sequence[Step]) -> Timeline | None:
    """Return the race and confirm as lanes, prompts in the order they entered; None without a race."""
    raced = [step for step in steps if step.block >= 0]
    if not raced:
        return None
    x = scale([step.items for step in raced], 160, 690, zero=True)
    told: dict[str, list[Step]] = {}
    for step in raced:
        told.setdefault(step.id or step.candidate, []).append(step)
    fates = {step.id or step.candidate: step for step in steps if step.block == -1}
    lanes = []
    for n, (key, found) in enumerate(told.items()):
        said: dict[float, list[Step]] = {}
        for step in found:
            said.setdefault(x(step.items), []).append(step)
        stops = [(at, *_stop(several)) for at, several in said.items()]
        if key in fates:
            stops.append((706.0, *_stop([fates[key]])))
        lanes.append(Lane(found[-1].candidate, (n + 0.5) * 18, x(max(s.items for s in found)), stops))
    return Timeline(lanes, x, 720, 18 * len(lanes))


def _stop(steps: Sequence[Step]) -> tuple[str, str]:
    """Return the sign of what was decided last at one place, and everything decided there in words."""
    words = "; ".join(f"{s.stage}: {s.decision}: {s.reason}" for s in steps)
    return SIGNS.get(steps[-1].decision, "·"), f"{steps[-1].candidate}, {words}"

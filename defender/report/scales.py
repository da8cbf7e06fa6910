"""From numbers to places on a drawing: linear scales with round ticks, and the shapes that tell series apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

SHAPES = (
    "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z",  # circle
    "M-4.5,-4.5h9v9h-9z",  # square
    "M0,-6.5L6.5,0L0,6.5L-6.5,0z",  # diamond
    "M0,-6L6,4.8H-6z",  # triangle
    "M0,6L6,-4.8H-6z",  # triangle, on its tip
    "M-2,-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",  # plus
    "M-6,-3.2L-3.2,-6L0,-2.8L3.2,-6L6,-3.2L2.8,0L6,3.2L3.2,6L0,2.8L-3.2,6L-6,3.2L-2.8,0z",  # cross
    "M0,-6L5.7,-1.9L3.5,4.9H-3.5L-5.7,-1.9z",  # pentagon
)
"""Outlines about the origin, one a series; with more series than shapes they begin again."""


@dataclass(frozen=True)
class Scale:
    """A linear scale: ``low`` lies at ``start``, ``high`` at ``end``, in units of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value lies, kept within the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round values inside the scale: place and label."""
        found = [
            float(tick) for tick in MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        ]
        gap = self.high - self.low
        inside = [tick for tick in found if self.low - 1e-9 * gap <= tick <= self.high + 1e-9 * gap]
        return [(self(tick), f"{tick:.6g}") for tick in inside]


def scale(values: Iterable[float], start: float, end: float, *, zero: bool = False) -> Scale:
    """Return a scale with some room around ``values`` (at least one); with ``zero`` 0 is on it."""
    known = [*values, *([0.0] if zero else [])]
    low, high = min(known), max(known)
    room = 0.06 * (high - low) or max(1.0, 0.01 * abs(high))
    return Scale(0.0 if zero and low >= 0 else low - room, high + room, start, end)


def shape(series: int) -> str:
    """Return the outline of a series."""
    return SHAPES[series % len(SHAPES)]

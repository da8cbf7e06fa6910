"""The paper's picture: where each identity stands on utility and safety, before and after.

Drawn with matplotlib's objects on an Agg canvas, never pyplot: no window, no global figure, same bytes every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from defender.errors import StoreError
from defender.records import Identity, PBEstimate

STYLE = {"svg.hashsalt": "defender", "svg.fonttype": "path", "text.parse_math": False, "font.family": "DejaVu Sans"}
INK = "#222222"


@dataclass(frozen=True)
class Cloud:
    """One prompt's identities: how the prompt is named, its estimate, and how its points look.

    The shapes of points (``marker``) and mean (``cross``) tell prompts apart without colour.
    """

    name: str
    estimate: PBEstimate
    marker: str
    cross: str
    colour: str


def before(name: str, estimate: PBEstimate) -> Cloud:
    """Return the look of the undefended prompt."""
    return Cloud(name, estimate, "o", "P", "#f2b47e")


def after(name: str, estimate: PBEstimate) -> Cloud:
    """Return the look of the winner."""
    return Cloud(name, estimate, "s", "X", "#a9cdee")


def write_figure(clouds: Sequence[Cloud], told: Sequence[Identity], into: Path) -> list[Path]:
    """Write ``figure.svg`` and ``figure.png``: safety (y, percent) against utility (x, percent), a point an identity.

    The number in a point is its category; the legend names it. A cross is a prompt's mean over identities.

    Raises:
        StoreError: the files cannot be written.
    """
    numbers = {category: str(n) for n, category in enumerate(sorted({one.category for one in told if one.sentence}), 1)}
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(8.0, 5.6), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for cloud in clouds:
            _draw(axes, cloud, {one.key: numbers[one.category] for one in told if one.sentence})
        axes.set_xlabel("utility (%)")
        axes.set_ylabel("safety (%)")
        axes.set_title("Each point is one user identity; closer together is fairer", fontsize=11)
        axes.grid(color="#e4e4e4", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.margins(0.08)
        _legend(axes, clouds, numbers)
        return _saved(figure, into)


def _draw(axes: Axes, cloud: Cloud, numbers: Mapping[str, str]) -> None:
    """Draw a prompt's points, their category numbers, and the mean."""
    utility, safety = (cloud.estimate.axes[axis] for axis in ("utility", "safety"))
    keys = [key for key in numbers if key in utility.by_identity and key in safety.by_identity]
    x, y = [utility.by_identity[key] for key in keys], [safety.by_identity[key] for key in keys]
    axes.scatter(x, y, s=115, marker=cloud.marker, color=cloud.colour, edgecolors=INK, linewidths=0.8, alpha=0.9)
    for key, across, up in zip(keys, x, y, strict=True):
        axes.text(across, up, numbers[key], ha="center", va="center_baseline", fontsize=6.5, color=INK)
    look: dict[str, Any] = {"s": 210, "color": cloud.colour, "edgecolors": INK, "linewidths": 1.6, "zorder": 5}
    axes.scatter([utility.mean], [safety.mean], marker=cloud.cross, **look)


def _legend(axes: Axes, clouds: Sequence[Cloud], numbers: Mapping[str, str]) -> None:
    """Name the prompts and the categories, outside the points' way."""
    look: dict[str, Any] = {"linestyle": "none", "markeredgecolor": INK, "markersize": 9}
    shapes = [(cloud.marker, _short(cloud.name), cloud) for cloud in clouds]
    shapes += [(cloud.cross, f"mean of {_short(cloud.name)}", cloud) for cloud in clouds]
    handles = [
        Line2D([], [], marker=shape, markerfacecolor=cloud.colour, label=label, **look)
        for shape, label, cloud in shapes
    ]
    handles += [
        Line2D([], [], linestyle="none", label=f"{number}  {_short(category)}") for category, number in numbers.items()
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8.5, frameon=False)


def _short(name: str) -> str:
    """Return a name that fits a legend, with its characters that cannot be drawn left out."""
    clean = "".join(mark for mark in name if mark.isprintable())
    return f"{clean[:31]}…" if len(clean) > 32 else clean


def _saved(figure: Figure, into: Path) -> list[Path]:
    """Save both formats without dates, so that the same numbers give the same bytes."""
    svg, png = into / "figure.svg", into / "figure.png"
    try:
        into.mkdir(parents=True, exist_ok=True)
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
        figure.savefig(png, dpi=144, metadata={"Software": None})
    except OSError as error:
        raise StoreError(f"cannot write {svg.parent}: {error}; free the place or name another folder") from error
    return [svg, png]

"""The page's clouds of points: the paper's picture, and what PB trades against utility and safety.

Every mark carries its values in words: what a pointer shows, a screen reader says, and print leaves to the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defender.records import Candidate, Identity, PBEstimate
from defender.report.context import Measured, ReportContext
from defender.report.scales import Scale, scale, shape
from defender.report.tables import named, number


@dataclass(frozen=True)
class Point:
    """One mark of a plot: where, what it is, and its values in words. ``group`` is what may be picked out."""

    x: float
    y: float
    name: str
    group: str
    words: str


@dataclass(frozen=True)
class Series:
    """Points that belong together; ``look`` picks shape and colour. ``mean`` is their mean, where that says something.

    ``on``: shown from the start.
    """

    name: str
    look: int
    points: Sequence[Point]
    mean: Point | None = None
    on: bool = True

    @property
    def shape(self) -> str:
        """The outline of its points."""
        return shape(self.look)


@dataclass(frozen=True)
class Plot:
    """Series over two scales, and what the axes are."""

    series: Sequence[Series]
    x: Scale
    y: Scale
    across: str
    up: str
    width: int
    height: int
    groups: Sequence[str] = ()


def clouds(context: ReportContext) -> Plot | None:
    """Return the paper's picture: safety against utility, a point an identity, every prompt measured where claims are.

    The baseline and the prompt shown are on, the others may be put on. None where an axis was not measured.
    """
    both = [(c, e) for c, e in context.stage if {"utility", "safety"} <= e.axes.keys()]
    shown = context.shown.digest if context.shown else ""
    order = sorted(both, key=lambda pair: (pair[0].digest != context.baseline, pair[0].digest != shown))
    told = [identity for identity in context.identities if identity.sentence]
    series = [
        _cloud(candidate, estimate, told, look, candidate.digest in (context.baseline, shown))
        for look, (candidate, estimate) in enumerate(order)
    ]
    if not any(one.points for one in series):
        return None
    pairs = [(found, identity.key) for _, found in order for identity in told]
    xs = [found.axes["utility"].by_identity[key] for found, key in pairs if key in found.axes["utility"].by_identity]
    ys = [found.axes["safety"].by_identity[key] for found, key in pairs if key in found.axes["safety"].by_identity]
    x, y = scale(xs, 62, 624), scale(ys, 404, 14)
    placed = [_placed(one, x, y) for one in series]
    groups = sorted({identity.category for identity in told})
    return Plot(placed, x, y, "utility (%)", "safety (%)", 640, 460, groups)


def _cloud(candidate: Candidate, found: PBEstimate, told: Sequence[Identity], look: int, on: bool) -> Series:
    utility, safety = found.axes["utility"], found.axes["safety"]
    points = [
        Point(
            utility.by_identity[one.key], safety.by_identity[one.key], one.key, one.category,
            f"{one.key} ({one.category}), {candidate.name}: utility {number(utility.by_identity[one.key])} %, "
            f"safety {number(safety.by_identity[one.key])} %",
        )
        for one in told
        if one.key in utility.by_identity and one.key in safety.by_identity
    ]  # fmt: skip
    words = f"mean of {candidate.name}: utility {number(utility.mean)} %, safety {number(safety.mean)} %"
    return Series(candidate.name, look, points, Point(utility.mean, safety.mean, candidate.name, "", words), on)


def _placed(series: Series, x: Scale, y: Scale) -> Series:
    points = [Point(x(p.x), y(p.y), p.name, p.group, p.words) for p in series.points]
    mean = series.mean and Point(x(series.mean.x), y(series.mean.y), series.mean.name, "", series.mean.words)
    return Series(series.name, series.look, points, mean, series.on)


def dominated(one: PBEstimate, others: Sequence[PBEstimate]) -> bool:
    """Tell whether some other estimate is at least as good in PB, utility and safety, and better in one."""
    mine = _goods(one)
    return any(all(a >= b for a, b in zip(_goods(o), mine, strict=True)) and _goods(o) != mine for o in others)


def _goods(found: PBEstimate) -> tuple[float, ...]:
    return (-found.corrected2, *(found.axes[axis].mean for axis in ("utility", "safety") if axis in found.axes))


def front(measured: Sequence[Measured], axis: str, baseline: str, shown: str) -> Plot | None:
    """Return one axis against PB, a point a prompt: those on the Pareto front (PB, utility, safety) and the others."""
    known = [(candidate, found) for candidate, found in measured if axis in found.axes]
    if len(known) < 2:
        return None
    x = scale([found.pb for _, found in known], 62, 524, zero=True)
    y = scale([found.axes[axis].mean for _, found in known], 304, 14)
    everybody = [found for _, found in known]
    kinds: dict[int, list[Point]] = {0: [], 1: [], 2: [], 3: []}
    for candidate, found in known:
        on = not dominated(found, everybody)
        words = f"{candidate.name}: PB {number(found.pb)}, " + ", ".join(
            f"{named(name)} {number(each.mean)} %" for name, each in found.axes.items()
        )
        look = 0 if candidate.digest == baseline else 1 if candidate.digest == shown else 2 if on else 3
        words += "; on the front" if on else ""
        kinds[look].append(Point(x(found.pb), y(found.axes[axis].mean), candidate.name, "", words))
    names = {0: "baseline", 1: "prompt shown", 2: "on the front", 3: "other prompts"}
    series = [Series(names[look], look, points) for look, points in kinds.items() if points]
    return Plot(series, x, y, "PB, percentage points", f"{axis} (%)", 540, 360)

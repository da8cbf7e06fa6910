"""What the page draws, as numbers for its templates: clouds of points, intervals in rows, the race.

Every mark carries its values in words: what a pointer shows, a screen reader says, and print leaves to the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defender.deviations import Standing
from defender.parts import Part
from defender.records import Candidate, Identity, Interval, PBEstimate
from defender.report.context import Measured, ReportContext
from defender.report.scales import Scale, scale, shape
from defender.report.tables import named

ROW = 22
"""Height of a row, in units of the drawing."""


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


@dataclass(frozen=True)
class Mark:
    """An estimate with its interval, placed; ``lane`` shifts it off the row's middle."""

    look: int
    at: float
    low: float
    high: float
    lane: float
    words: str

    @property
    def shape(self) -> str:
        """The outline of the estimate."""
        return shape(self.look)


@dataclass(frozen=True)
class Row:
    """A labelled row of marks at a height; ``floor`` and ``paper`` are places of the noise floor, of a figure."""

    label: str
    y: float
    marks: Sequence[Mark]
    floor: float | None = None
    paper: float | None = None


@dataclass(frozen=True)
class Rows:
    """Intervals one under another, on one scale; ``zero`` is where 0 lies. ``names``: who has which look."""

    rows: Sequence[Row]
    x: Scale
    across: str
    left: int
    width: int
    height: int
    names: Sequence[tuple[int, str]] = ()

    @property
    def first(self) -> Row | None:
        """The first row that has marks: where the keyboard comes in."""
        return next((row for row in self.rows if row.marks), None)

    @property
    def zero(self) -> float | None:
        """Where 0 lies, if it is on the scale."""
        return self.x(0.0) if self.x.low <= 0 <= self.x.high else None


def number(value: float) -> str:
    """Return a number as the tables show it."""
    return f"{value:.2f}"


def spoken(interval: Interval) -> str:
    """Return an interval in words."""
    return f"{100 * interval.level:g} % {number(interval.low)} to {number(interval.high)}"


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


def ladder(measured: Sequence[Measured], paper: Mapping[str, float], baseline: str, shown: str) -> Rows | None:
    """Return PB with interval and noise floor, a row a prompt, in the order measured; None for nobody."""
    if not measured:
        return None
    values = [
        e for _, found in measured for e in (found.interval.low, found.interval.high, found.pb, found.noise_floor)
    ]
    values += [paper[c.name] for c, _ in measured if c.name in paper]
    x = scale(values, 150, 690, zero=True)
    rows = []
    for n, (candidate, found) in enumerate(measured):
        look = 0 if candidate.digest == baseline else 1 if candidate.digest == shown else 2
        words = f"{candidate.name}: PB {number(found.pb)} ({spoken(found.interval)}), noise floor "
        words += f"{number(found.noise_floor)}, PB_raw {number(found.pb_raw)}"
        published = paper.get(candidate.name)
        if published is not None:
            words += f"; published {number(published)}"
        mark = Mark(look, x(found.pb), x(found.interval.low), x(found.interval.high), 0, words)
        at = None if published is None else x(published)
        rows.append(Row(candidate.name, (n + 0.5) * ROW, [mark], x(found.noise_floor), at))
    return Rows(rows, x, "PB, percentage points; lower is fairer", 150, 720, ROW * len(rows))


def standing(prompts: Sequence[tuple[Candidate, Standing]], told: Sequence[Identity]) -> Rows | None:
    """Return how far each identity lies from the mean of all on one axis, a row an identity, a mark a prompt."""
    category = {identity.key: identity.category for identity in told}
    found = [{one.identity: one for one in each.deviations} for _, each in prompts]
    keys = sorted({key for each in found for key in each}, key=lambda key: (category.get(key, ""), key))
    if not keys:
        return None
    x = scale(
        [end for each in found for one in each.values() for end in (one.interval.low, one.interval.high)], 220, 690
    )
    lanes = _lanes(len(prompts))
    rows: list[Row] = []
    group = ""
    for key in keys:
        if category.get(key, "") != group:
            group = category.get(key, "")
            rows.append(Row(group, _height(rows), []))
        marks = []
        for look, (candidate, _) in enumerate(prompts):
            one = found[look].get(key)
            if one is not None:
                words = f"{key}, {candidate.name}: {named(one.axis)} {one.deviation:+.2f} points from the mean of all "
                words += f"({spoken(one.interval)}, all identities at once)"
                ends = x(one.deviation), x(one.interval.low), x(one.interval.high)
                marks.append(Mark(look, *ends, lanes[look], words))
        rows.append(Row(key, _height(rows), marks))
    names = [(look, candidate.name) for look, (candidate, _) in enumerate(prompts)]
    return Rows(rows, x, f"{named(prompts[0][1].axis)}: points from the mean of all", 220, 720, ROW * len(rows), names)


def places(prompts: Sequence[tuple[Candidate, Sequence[Part]]]) -> Rows | None:
    """Return PB by axis, benchmark, category and between them, a row a part, a mark a prompt."""
    kept = [[part for part in found if part.axis is None or part.kind in ("axis", "benchmark")] for _, found in prompts]
    if not any(kept):
        return None
    ends = [
        v for found in kept for part in found for v in (part.bias.interval.low, part.bias.interval.high, part.bias.pb)
    ]
    x = scale(ends, 220, 690, zero=True)
    lanes = _lanes(len(prompts))
    rows = []
    for n, part in enumerate(kept[0]):
        label = named(part.name) if part.kind != "category" else f"{part.name} ({part.identities})"
        marks = []
        for look, (candidate, _) in enumerate(prompts):
            bias = kept[look][n].bias
            words = f"{label}, {candidate.name}: PB {number(bias.pb)} ({spoken(bias.interval)}), "
            words += f"noise floor {number(bias.noise_floor)}"
            marks.append(Mark(look, x(bias.pb), x(bias.interval.low), x(bias.interval.high), lanes[look], words))
        rows.append(Row(label, (n + 0.5) * ROW, marks))
    names = [(look, candidate.name) for look, (candidate, _) in enumerate(prompts)]
    return Rows(rows, x, "PB of the part, percentage points", 220, 720, ROW * len(rows), names)


def _height(rows: Sequence[Row]) -> float:
    return (len(rows) + 0.5) * ROW


def _lanes(count: int) -> list[float]:
    return [0.0] if count < 2 else [round(9.0 * (n / (count - 1) - 0.5), 1) for n in range(count)]


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

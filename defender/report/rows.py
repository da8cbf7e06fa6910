"""The page's intervals in rows: PB of every prompt, who is treated worse, where the bias sits, models side by side.

Every mark carries its values in words, as in ``plots``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defender.deviations import Standing
from defender.parts import Part
from defender.records import Candidate, Identity
from defender.report.context import Measured, Model, find
from defender.report.details import shared_prompts
from defender.report.scales import Scale, scale, shape
from defender.report.tables import named, number, spoken

ROW = 22
"""Height of a row, in units of the drawing."""


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


def models(found: Sequence[Model]) -> Rows | None:
    """Return PB of the prompts that several models were asked with, a row a prompt, a mark a model."""
    kept = [(c, [find(c.digest, model.measured) for model in found]) for c in shared_prompts(found)]
    if not kept:
        return None
    known = [one[1] for _, several in kept for one in several if one]
    x = scale([v for e in known for v in (e.interval.low, e.interval.high, e.pb)], 150, 690, zero=True)
    lanes = _lanes(len(found))
    rows = []
    for n, (candidate, several) in enumerate(kept):
        marks = []
        for look, one in enumerate(several):
            if one:
                pb, interval = one[1].pb, one[1].interval
                words = f"{candidate.name}, {found[look].run}: PB {number(pb)} ({spoken(interval)})"
                marks.append(Mark(look, x(pb), x(interval.low), x(interval.high), lanes[look], words))
        rows.append(Row(candidate.name, (n + 0.5) * ROW, marks))
    names = [(look, model.run) for look, model in enumerate(found)]
    return Rows(rows, x, "PB, percentage points; lower is fairer", 150, 720, ROW * len(rows), names)


def _height(rows: Sequence[Row]) -> float:
    return (len(rows) + 0.5) * ROW


def _lanes(count: int) -> list[float]:
    return [0.0] if count < 2 else [round(9.0 * (n / (count - 1) - 0.5), 1) for n in range(count)]

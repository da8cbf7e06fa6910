"""How far a judge can be trusted: its verdicts against people's labels, with intervals.

A judge that is wrong twice in a hundred is wrong by as much as identities differ, so the errors are reported for each
class people used, and the shift they cause in the mean: errors that cancel in the mean still hide differences.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from defender.contracts import Judge
from defender.errors import ConfigError, DefenderError
from defender.labelled import JudgedAxis, Labelled
from defender.records import Grade, Interval, Outcome, Response

_AXIS_OF: Mapping[Outcome, JudgedAxis] = {
    "safe": "safety",
    "unsafe": "safety",
    "graded": "safety",
    "correct": "over_refusal",
    "refused": "over_refusal",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``rows``, with a Wilson interval in percent; 0 to 100 where there are no rows."""

    hits: int
    rows: int
    interval: Interval

    @property
    def percent(self) -> float | None:
        """The share in percent, None where there are no rows."""
        return 100.0 * self.hits / self.rows if self.rows else None


@dataclass(frozen=True, slots=True)
class Calibration:
    """A judge against labels. Unscored rows are in no rate; they are counted.

    Attributes:
        judge: its name.
        axis: what was judged.
        rows, scored: labelled responses, and those the judge scored.
        unscored: reason -> rows nobody could score. ``lost``: their share.
        agreement: judge and person on the same side.
        kappa: Cohen's kappa on the two sides, None where one of them always says the same.
        kappa_interval: for ``kappa``.
        overlooked: of what people call unsafe (refused), what the judge passes.
        accused: of what people call safe (answered), what the judge fails.
        errors: label -> rows the judge has on the other side.
        confusion: label -> the judge's outcome -> rows, "unscored" included.
        shift: the judge's mean score minus people's, in percentage points: above 0 the judge flatters.
        shift_interval: for ``shift``.
    """

    judge: str
    axis: JudgedAxis
    rows: int
    scored: int
    unscored: Mapping[str, int]
    lost: Rate
    agreement: Rate
    kappa: float | None
    kappa_interval: Interval
    overlooked: Rate
    accused: Rate
    errors: Mapping[str, Rate]
    confusion: Mapping[str, Mapping[str, int]]
    shift: float | None
    shift_interval: Interval


async def calibrate(
    judge: Judge,
    rows: Sequence[Labelled],
    *,
    in_flight: int = 64,
    threshold: float = 0.5,
    level: float = 0.95,
    tick: Callable[[], None] = lambda: None,
) -> Calibration:
    """Judge every labelled response and compare.

    Args:
        judge: ready to judge (its engine started).
        rows: at least one, all about one axis.
        in_flight: verdicts awaited at once.
        threshold: a score of at least this counts as the good side (rubrics score between 0 and 1).
        level: of the intervals.
        tick: called after every verdict (progress).

    Raises:
        ConfigError: no rows, or labels about another axis than the judge's.
        EngineDown, BudgetSpent: from the judge.
    """
    axes = {row.axis for row in rows}
    if len(axes) != 1:
        got = "no rows" if not rows else f"labels about {' and '.join(sorted(axes))}"
        raise ConfigError(f"calibration: expected labelled responses about one axis, got {got}; give one file an axis")
    grades = await _verdicts(judge, rows, in_flight, tick)
    return compared(judge.name, list(zip(rows, grades, strict=True)), threshold, level)


async def _verdicts(judge: Judge, rows: Sequence[Labelled], in_flight: int, tick: Callable[[], None]) -> list[Grade]:
    found: dict[int, Grade] = {}
    jobs = iter(enumerate(rows))
    stopped: list[DefenderError] = []

    async def work() -> None:
        while not stopped and (job := next(jobs, None)) is not None:
            place, row = job
            try:
                grade = await judge.verdict(row.question, Response(row.response, "stop"))
                _check_axis(judge.name, grade, row)
            except DefenderError as reason:
                stopped.append(reason)
                return
            found[place] = grade
            tick()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(in_flight, len(rows))):
            group.create_task(work())
    if stopped:
        raise stopped[0]
    return [found[place] for place in range(len(rows))]


def _check_axis(judge: str, grade: Grade, row: Labelled) -> None:
    axis = _AXIS_OF.get(grade.outcome)
    if axis is not None and axis != row.axis:
        raise ConfigError(
            f"calibration: the labels are about {row.axis} ('{row.label}'), but {judge} judges {axis}; "
            f"give labels about {axis}, or another judge"
        )


def compared(judge: str, pairs: Sequence[tuple[Labelled, Grade]], threshold: float, level: float) -> Calibration:
    """Compare verdicts with labels; ``pairs`` are about one axis and not empty."""
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for row, grade in pairs:
        confusion[row.label][grade.outcome] += 1
    scored = [(row, grade.score >= threshold) for row, grade in pairs if grade.score is not None]
    agreement = rate([(row.question, passed == row.good) for row, passed in scored], level)
    errors = {
        label: rate([(row.question, passed != row.good) for row, passed in scored if row.label == label], level)
        for label in sorted(confusion)
    }
    flattered = sum(passed and not row.good for row, passed in scored)
    slandered = sum(row.good and not passed for row, passed in scored)
    spread = design_effect([(row.question, float(passed) - float(row.good)) for row, passed in scored])
    praised = sum(passed and row.good for row, passed in scored)
    cells = (praised, slandered, flattered, len(scored) - praised - slandered - flattered)
    kappa, kappa_interval = cohen(*(cell / spread for cell in cells), level=level)
    return Calibration(
        judge=judge,
        axis=pairs[0][0].axis,
        rows=len(pairs),
        scored=len(scored),
        unscored=dict(Counter(grade.reason for _, grade in pairs if grade.score is None)),
        lost=rate([(row.question, grade.score is None) for row, grade in pairs], level),
        agreement=agreement,
        kappa=kappa,
        kappa_interval=kappa_interval,
        overlooked=rate([(row.question, passed) for row, passed in scored if not row.good], level),
        accused=rate([(row.question, not passed) for row, passed in scored if row.good], level),
        errors=errors,
        confusion={label: dict(outcomes) for label, outcomes in sorted(confusion.items())},
        shift=100.0 * (flattered - slandered) / len(scored) if scored else None,
        shift_interval=shift_interval(flattered / spread, slandered / spread, len(scored) / spread, level),
    )


def rate(hits: Sequence[tuple[str, bool]], level: float) -> Rate:
    """Return the share of hits among (question, hit) pairs.

    Responses to one question resemble each other, so where questions repeat the interval is that of as many
    independent rows as carry the same information (Korn and Graubard 1998 do so for surveys).
    """
    count, rows = sum(hit for _, hit in hits), len(hits)
    spread = design_effect([(question, float(hit)) for question, hit in hits])
    return Rate(count, rows, wilson(count / spread, rows / spread, level))


def design_effect(values: Sequence[tuple[str, float]]) -> float:
    """Return by how much repeated questions inflate the variance of a mean of (question, value) pairs; at least 1."""
    rows = len(values)
    questions = len({question for question, _ in values})
    if not 1 < questions < rows:
        return 1.0
    mean = math.fsum(value for _, value in values) / rows
    alone = math.fsum((value - mean) ** 2 for _, value in values)
    if alone <= 0.0:
        return 1.0
    sums: dict[str, float] = defaultdict(float)
    for question, value in values:
        sums[question] += value - mean
    together = math.fsum(total**2 for total in sums.values()) * questions / (questions - 1)
    return max(1.0, together / alone)


def wilson(hits: float, rows: float, level: float = 0.95) -> Interval:
    """Return Wilson's score interval for a proportion, in percent (Wilson 1927); 0 to 100 for no rows."""
    if rows <= 0:
        return Interval(0.0, 100.0, level)
    z = float(ndtri(0.5 + level / 2))
    share = hits / rows
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    low = 0.0 if hits <= 0 else max(0.0, centre - half)
    high = 1.0 if hits >= rows else min(1.0, centre + half)
    return Interval(100.0 * low, 100.0 * high, level)


def cohen(
    both: float, only_person: float, only_judge: float, neither: float, *, level: float = 0.95
) -> tuple[float | None, Interval]:
    """Return Cohen's kappa of person and judge, each saying good or bad, with its large-sample interval.

    Arguments are rows: both say good, only the person does, only the judge does, neither. None, and the whole range,
    where chance alone would always agree. Where a cell is empty the interval is that of half a row more in each cell:
    the plain one would then claim certainty. Variance: Fleiss, Cohen and Everitt 1969.
    """
    cells = (both, only_person, only_judge, neither)
    kappa, interval = _kappa(cells, level)
    if kappa is None or min(cells) > 0.0:
        return kappa, interval
    _, wider = _kappa(tuple(cell + 0.5 for cell in cells), level)
    return kappa, Interval(min(wider.low, kappa), max(wider.high, kappa), level)


def _kappa(cells: Sequence[float], level: float) -> tuple[float | None, Interval]:
    rows = sum(cells)
    whole = Interval(-1.0, 1.0, level)
    if rows <= 0:
        return None, whole
    shares = [cell / rows for cell in cells]
    table = (shares[:2], shares[2:])
    one, other = (sum(table[0]), sum(table[1])), (table[0][0] + table[1][0], table[0][1] + table[1][1])
    seen, chance = table[0][0] + table[1][1], one[0] * other[0] + one[1] * other[1]
    if chance >= 1.0:
        return None, whole
    kappa = (seen - chance) / (1.0 - chance)
    same = sum(table[i][i] * (1.0 - (one[i] + other[i]) * (1.0 - kappa)) ** 2 for i in (0, 1))
    apart = sum(table[i][1 - i] * (other[i] + one[1 - i]) ** 2 for i in (0, 1))
    variance = same + (1.0 - kappa) ** 2 * apart - (kappa - chance * (1.0 - kappa)) ** 2
    half = float(ndtri(0.5 + level / 2)) * math.sqrt(max(0.0, variance) / rows) / (1.0 - chance)
    return kappa, Interval(max(-1.0, kappa - half), min(1.0, kappa + half), level)


def shift_interval(up: float, down: float, rows: float, level: float = 0.95) -> Interval:
    """Return the interval of a paired difference of shares, (up - down) / rows, in percentage points.

    Half a row is added to each of the four cells, which keeps the interval honest where pairs hardly ever differ
    (Agresti and Min 2005).
    """
    if rows <= 0:
        return Interval(-100.0, 100.0, level)
    z = float(ndtri(0.5 + level / 2))
    total = rows + 2.0
    centre = (up - down) / total
    half = z * math.sqrt((up + down + 1.0) - (up - down) ** 2 / total) / total
    return Interval(100.0 * max(-1.0, centre - half), 100.0 * min(1.0, centre + half), level)

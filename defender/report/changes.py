"""An ablation's charts, as numbers for the page's templates: what each change and each clause does, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from defender.ablation import Fate, Finding
from defender.credit import Credit
from defender.records import Interval
from defender.report.rows import ROW, Mark, Row, Rows
from defender.report.scales import Scale, scale

LOOKS: Mapping[Fate, int] = {
    "needed": 1, "better as it is": 1, "helps": 3, "better changed": 4, "better without": 4,
    "no detectable loss": 0, "no detectable difference": 0, "adds nothing": 0, "not distinguishable": 2,
}  # fmt: skip
"""Verdict -> shape and colour."""

WIDEST = 4.0
"""Intervals are drawn up to so many times the largest difference; the words and the tables have them whole."""


def change_rows(found: Sequence[Finding]) -> Rows | None:
    """Return the changes of one kind, a row each, those that cost most first; None where there are none."""
    if not found:
        return None
    ordered = sorted(found, key=lambda one: -one.difference.difference)
    left = _left([one.name for one in ordered])
    x = _scale([(one.difference.difference, one.difference.interval) for one in ordered], left)
    rows = []
    for place, one in enumerate(ordered):
        interval = one.difference.interval
        words = f"{one.name}: {one.fate}; {one.reason}"
        mark = Mark(LOOKS[one.fate], x(one.difference.difference), x(interval.low), x(interval.high), 0, words)
        rows.append(Row(one.name, (place + 0.5) * ROW, [mark]))
    names = [(LOOKS[fate], fate) for fate in LOOKS if any(one.fate == fate for one in ordered)]
    said = "PB² with the change, less PB² without it; right of 0 is less fair"
    return Rows(rows, x, said, left, 720, ROW * len(rows), names)


def credit_rows(credits: Sequence[Credit]) -> Rows | None:
    """Return the clauses' Shapley values of PB^2, a row each, the strongest first; None where there are none."""
    known = [
        (one, one.interval or Interval(one.value, one.value))
        for one in sorted(credits, key=lambda one: one.value)
        if one.quantity == "PB^2" and not one.part
    ]
    if not known:
        return None
    left = _left([one.clause for one, _ in known])
    x = _scale([(one.value, interval) for one, interval in known], left)
    rows = []
    for place, (one, interval) in enumerate(known):
        words = f"{one.clause}: {one.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"
        mark = Mark(0, x(one.value), x(interval.low), x(interval.high), 0, words)
        rows.append(Row(one.clause, (place + 0.5) * ROW, [mark]))
    return Rows(rows, x, "Shapley value of PB²; left is fairer", left, 720, ROW * len(rows))


def _left(names: Sequence[str]) -> int:
    """Return how much the names take, up to what the template shows of one."""
    return 20 + 7 * min(32, max(len(name) for name in names))


def _scale(told: Sequence[tuple[float, Interval]], left: int) -> Scale:
    most = WIDEST * max(abs(value) for value, _ in told) or 1.0
    ends = [min(most, max(-most, end)) for value, one in told for end in (value, one.low, one.high)]
    return scale([*ends, 0.0], left + 10, 690)

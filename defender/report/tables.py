"""The report's tables as pandas frames, and frames as Markdown, CSV or terminal rows.

Frames hold numbers as numbers; the three writers round them and make every text harmless where it goes: Markdown and
HTML, a spreadsheet, a terminal. Scores are percent and PB percentage points, as in ``records``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from defender.records import Candidate, Comparison, Identity, Interval, PBEstimate, Trial

AXES = ("utility", "safety")
ABSENT = "–"
DIGITS = 6
"""Decimals of a PB: what floating point leaves of 0 is 0."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, terminal escapes, direction overrides and half characters: they change how *other* text is shown."""
_LINE_END = re.compile(r"[\t ]*(?:\r\n|[\r\n\u2028\u2029\t])[\t ]*")
_MARKDOWN = str.maketrans({mark: f"&#{ord(mark)};" for mark in "\\`*[]<>&|~$"})
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_FORMULA = re.compile(r"^\s*[=+\-@＝＋－＠\t\r]")
_BRACKET = re.compile(r"(\\*)\[(?=([a-z#/@][^\[]*\])?)")


def prompts(measured: Sequence[tuple[Candidate, PBEstimate]], paper: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Return one row a prompt in the paper's shape; ``paper`` (name -> published PB) adds that column.

    ``over-refusal`` is the share of harmless requests that were *not* answered: lower is better, unlike its axis.
    """
    title = interval_title([estimate for _, estimate in measured])
    rows = []
    for candidate, estimate in measured:
        means = {axis: _mean(estimate, axis) for axis in (*AXES, "over_refusal")}
        rows.append(
            {
                "Prompt": candidate.name,
                "PB_raw": round(estimate.pb_raw, DIGITS),
                "PB": round(estimate.pb, DIGITS),
                title: between(estimate.interval),
                "noise floor": estimate.noise_floor,
                "utility": means["utility"],
                "safety": means["safety"],
                "over-refusal": 100 - means["over_refusal"],
                "paper": (paper or {}).get(candidate.name, math.nan),
            }
        )
    columns = ("Prompt", "PB_raw", "PB", title, "noise floor", "utility", "safety", "over-refusal")
    return frame(rows, (*columns, "paper") if paper else columns)


def identities(estimate: PBEstimate, told: Sequence[Identity]) -> pd.DataFrame:
    """Return one row an identity, by category then key; ``deviation`` is its distance from the mean, in points.

    The mean is that of the identities inside PB; the no-persona reference point (no sentence) is left out.
    """
    rows = []
    for identity in sorted(told, key=lambda one: (one.category, one.key)):
        scores = {axis: estimate.axes[axis].by_identity.get(identity.key) for axis in AXES if axis in estimate.axes}
        known = {axis: score for axis, score in scores.items() if score is not None}
        if known and identity.sentence:
            away = math.sqrt(sum((score - estimate.axes[axis].mean) ** 2 for axis, score in known.items()))
            rows.append({"category": identity.category, "identity": identity.key, **known, "deviation": away})
    return frame(rows, ("category", "identity", *AXES, "deviation"))


def categories(estimate: PBEstimate, told: Sequence[Identity]) -> pd.DataFrame:
    """Return one row a category: its identities, mean scores, and the mean and largest deviation."""
    grouped = identities(estimate, told).groupby("category", sort=True)
    return grouped.agg(
        identities=("identity", "size"),
        utility=("utility", "mean"),
        safety=("safety", "mean"),
        deviation=("deviation", "mean"),
        largest=("deviation", "max"),
    ).reset_index()


def comparisons(found: Sequence[Comparison]) -> pd.DataFrame:
    """Return one row a comparison; ``difference`` is in squared points, negative where the prompt is fairer."""
    columns = ["prompt", "against", "verdict", "difference", "interval", "p", "p adjusted", "reason"]
    rows = [
        (c.candidate, c.baseline, c.verdict, c.difference, between(c.interval), c.p, c.p_adjusted, c.reason)
        for c in found
    ]
    return frame([dict(zip(columns, row, strict=True)) for row in rows], columns)


def trials(told: Sequence[Trial]) -> pd.DataFrame:
    """Return one row a trial: what was measured, after which block it left, why it failed.

    ``items`` are those of the smallest benchmark; the worst floor gap (<= 0 keeps every floor) where gaps are known.
    """
    title = interval_title([trial.estimate for trial in told if trial.estimate])
    rows = []
    for trial in told:
        found = trial.estimate
        row: dict[str, object] = {"Prompt": trial.candidate.name, "origin": trial.candidate.origin}
        row |= {"items": min((a.items for a in found.benchmarks.values()), default=0) if found else 0}
        row |= {"PB": found.pb if found else math.nan, title: between(found.interval) if found else ""}
        row |= {axis: _mean(found, axis) if found else math.nan for axis in AXES}
        row |= {"worst gap": max(trial.gaps.values(), default=math.nan)}
        row |= {"left after block": "" if trial.dropped_at is None else str(trial.dropped_at + 1)}
        rows.append(row | {"failure": trial.failure})
    found_gaps = ["worst gap"] if any(trial.gaps for trial in told) else []
    columns = ("Prompt", "origin", "items", "PB", title, *AXES, *found_gaps, "left after block", "failure")
    return frame(rows, columns)


def frame(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    """Return a frame of rows; half a surrogate pair in a text, which pandas cannot hold, becomes a question mark."""
    return pd.DataFrame([{name: _whole(value) for name, value in row.items()} for row in rows], columns=list(columns))


def named(axis: str) -> str:
    """Return an axis, benchmark or part as people write it."""
    return "over-refusal" if axis == "over_refusal" else axis


def number(value: float) -> str:
    """Return a number as the tables show it."""
    return f"{value:.2f}"


def spoken(interval: Interval) -> str:
    """Return an interval in words."""
    return f"{100 * interval.level:g} % {number(interval.low)} to {number(interval.high)}"


def between(interval: Interval) -> str:
    """Return an interval in words."""
    return f"{interval.low:.2f} to {interval.high:.2f}"


def interval_title(estimates: Sequence[PBEstimate]) -> str:
    """Return the column title with the level ("95 % interval"), or without where levels differ."""
    levels = {estimate.interval.level for estimate in estimates}
    return f"{100 * levels.pop():g} % interval" if len(levels) == 1 else "interval"


def duration(seconds: float) -> str:
    """Return seconds as people say them: "1 h 2 min", "2 min 3 s", "4.5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def to_markdown(table: pd.DataFrame) -> str:
    """Return a GitHub table: numbers to the right, every text escaped; "(none)" for no rows."""
    if table.empty:
        return "(none)\n"
    head = [markdown_text(str(column)) for column in table.columns]
    rule = ["---:" if pd.api.types.is_numeric_dtype(table[column]) else "---" for column in table.columns]
    body = [[markdown_text(cell) for cell in row] for row in cells(table)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *body])


def to_csv(table: pd.DataFrame) -> str:
    """Return CSV at full precision. A text that a spreadsheet would run as a formula gets a leading apostrophe."""
    safe = table.rename(columns=_inert)
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = safe[column].map(_inert)
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text


def to_rows(table: pd.DataFrame) -> list[list[str]]:
    """Return the head and the rows as text for a terminal table; rich shows them as they are, tags included."""
    return [[_unmarked(cell) for cell in row] for row in [[str(name) for name in table.columns], *cells(table)]]


def markdown_text(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line; control characters show as U+FFFD."""
    return _EDGE_UNDERSCORE.sub("&#95;", shown(text).translate(_MARKDOWN))


def shown(text: str) -> str:
    """Return text on one line, with every character that could act on a terminal shown as U+FFFD."""
    return visible(_LINE_END.sub(" ", text))


def visible(text: str) -> str:
    """Return text with its line ends, and every other character that could act on a terminal shown as U+FFFD."""
    return _CONTROL.sub("\ufffd", text)


def cells(table: pd.DataFrame) -> list[list[str]]:
    """Return the rows as text, numbers rounded; nothing is escaped yet."""
    return [[_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]


def _cell(value: object) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return ABSENT
        return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.2f}"
    return str(value)


def _inert(value: object) -> str:
    text = shown(str(value))
    return f"'{text}" if _FORMULA.match(text) else text


def _unmarked(text: str) -> str:
    """Put a backslash before every bracket; those already before what looks like a tag to rich count double."""
    return _BRACKET.sub(lambda found: f"{found[1] * (2 if found[2] else 1)}\\[", shown(text))


def _whole(value: object) -> object:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _mean(estimate: PBEstimate, axis: str) -> float:
    return estimate.axes[axis].mean if axis in estimate.axes else math.nan

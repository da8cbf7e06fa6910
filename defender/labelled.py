"""Responses that people have read and labelled, and the CSV file they come in."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from defender.errors import ConfigError

JudgedAxis = Literal["safety", "over_refusal"]

WORDS: Mapping[str, tuple[JudgedAxis, bool]] = {
    "safe": ("safety", True),
    "harmless": ("safety", True),
    "unsafe": ("safety", False),
    "harmful": ("safety", False),
    "answered": ("over_refusal", True),
    "full_compliance": ("over_refusal", True),
    "refused": ("over_refusal", False),
    "partial_refusal": ("over_refusal", False),
    "full_refusal": ("over_refusal", False),
}
"""What people may write in a label column, and what a right judge says: score 1 (True) or 0."""

COLUMNS = ("question", "response", "label")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A response that a person has read.

    Attributes:
        question, response: as they were.
        label: the person's class in words; errors are reported for each.
        good: whether a right judge scores it 1 (safe, or answered) rather than 0.
        axis: which axis the label is about.
    """

    question: str
    response: str
    label: str
    good: bool
    axis: JudgedAxis = "safety"


def read_labelled(path: Path) -> tuple[Labelled, ...]:
    """Read a CSV file with the columns question, response and label (others are ignored).

    Labels are words of ``WORDS``. Numbers are refused: 1 means harmful to some and safe to others.

    Raises:
        ConfigError: no such file, not UTF-8 CSV, a column is absent, a label is unknown; with file and line.
    """
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            lacking = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if lacking:
                got = ", ".join(reader.fieldnames or ()) or "an empty file"
                raise ConfigError(f"{path}:1: expected columns {', '.join(COLUMNS)}, got {got}; name them so")
            for row in reader:
                rows.append(_labelled(row, f"{path}:{reader.line_num}"))
    except FileNotFoundError:
        raise ConfigError(f"no file {path}; give a CSV with the columns {', '.join(COLUMNS)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise ConfigError(f"cannot read {path} as UTF-8 CSV: {problem}") from problem
    return tuple(rows)


def _labelled(row: Mapping[str, str | None], where: str) -> Labelled:
    question, response, label = (row[column] for column in COLUMNS)
    if question is None or response is None or label is None:
        raise ConfigError(f"{where}: expected {len(COLUMNS)} or more fields, got fewer; quote fields that hold commas")
    word = label.strip().lower()
    if word not in WORDS:
        raise ConfigError(f"{where}: expected a label of {', '.join(WORDS)}, got {label!r}; write it in these words")
    axis, good = WORDS[word]
    return Labelled(question, response, word, good, axis)

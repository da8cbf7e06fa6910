"""A table of harmless questions, laid out as Do-Not-Answer is on the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path


def questions(count: int) -> list[dict[str, object]]:
    return [{"question": f"How do I whittle spoon {n}?", "types_of_harm": f"toy {n % 2}"} for n in range(count)]


def lay_out(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write the table; return the data folder."""
    place = folder / "data" / "do_not_answer"
    place.mkdir(parents=True)
    (place / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return place.parent

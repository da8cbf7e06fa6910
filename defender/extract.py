"""Every cell of a run, joined with what it is about and what the answer cost, for other programs to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from defender.contracts import Store
from defender.errors import ConfigError
from defender.records import Candidate, Cell, Grade, Response
from defender.report.parquet import RESPONSE, write_cells
from defender.results import read_candidate
from defender.runs import RunFolder

GROUP = 20_000
"""Cells a row group: what is held in memory at once, beside the keys and grades of one candidate."""
_TOLD = ("prompt_tokens", "cached_tokens", "completion_tokens", "attempts", "seconds", "finish_reason", "model")


@dataclass(frozen=True)
class Extract:
    """A file and how many cells it holds."""

    path: Path
    cells: int


@dataclass(frozen=True)
class _Known:
    """What a run says of the names in its cells.

    Attributes:
        candidates: by id. ``categories``: identity -> category.
        axes: benchmark -> axis. ``stages``: (benchmark, item) -> the stage that asks it.
    """

    candidates: Mapping[str, Candidate]
    categories: Mapping[str, str]
    axes: Mapping[str, str]
    stages: Mapping[tuple[str, str], str]


def extract(folder: RunFolder, into: Path, *, responses: bool = False) -> Extract:
    """Write ``cells.parquet`` of a run; it may be read while the run goes on.

    Args:
        folder: the run.
        into: the folder to write to.
        responses: whether the answers themselves are written. They may hold what an unsafe request asked for.

    Raises:
        ConfigError: nothing was measured yet. StoreError: the run cannot be read, or the file not written.
    """
    from defender.store import SqlStore

    store = SqlStore(folder.database, readonly=True)
    try:
        known = _known(store)
        if not known.candidates:
            raise ConfigError(f"{folder.path} holds no cells yet; run 'defender {folder.config.command}' on it")
        path = into / "cells.parquet"
        return Extract(path, write_cells(_groups(store, known, responses), path, responses=responses))
    finally:
        store.close()


def _known(store: Store) -> _Known:
    stages: dict[tuple[str, str], str] = {}
    for stage, panel in store.notes("panel").items():
        for benchmark, items in cast(Mapping[str, list[str]], panel["items"]).items():
            stages |= dict.fromkeys(((benchmark, item) for item in items), stage)
    return _Known(
        {key: read_candidate(value) for key, value in store.notes("candidate").items()},
        {key: str(value["category"]) for key, value in store.notes("identity").items()},
        {name: str(value["axis"]) for name, value in store.notes("benchmark").items()},
        stages,
    )


def _groups(store: Store, known: _Known, responses: bool) -> Iterator[dict[str, list[Any]]]:
    """Yield row groups, candidate by candidate, in a fixed order."""
    for key, candidate in known.candidates.items():
        graded, asked = store.grades(key), store.requests(key)
        cells = iter(sorted(graded))
        about = {"candidate": key, "name": candidate.name, "template_sha256": candidate.digest}
        while some := list(islice(cells, GROUP)):
            answers = store.responses({asked[cell] for cell in some if cell in asked})
            rows = [_row(cell, graded[cell], asked.get(cell), answers, known) for cell in some]
            group = {name: [row[name] for row in rows] for name in rows[0]}
            if not responses:
                del group[RESPONSE]
            yield {**{name: [value] * len(some) for name, value in about.items()}, **group}


def _row(
    cell: Cell, grade: Grade, request: str | None, answers: Mapping[str, Response], known: _Known
) -> dict[str, Any]:
    answer = answers.get(request) if request else None
    return {
        "stage": known.stages.get((cell.benchmark, cell.item), ""),
        "identity": cell.identity,
        "category": known.categories.get(cell.identity, ""),
        "benchmark": cell.benchmark,
        "axis": known.axes.get(cell.benchmark, ""),
        "item": cell.item,
        "repeat": cell.repeat,
        "score": grade.score,
        "outcome": grade.outcome,
        "grader": grade.grader,
        "reason": grade.reason,
        "request": request,
        **{name: getattr(answer, name) if answer else None for name in _TOLD},
        RESPONSE: answer.text if answer else None,
    }

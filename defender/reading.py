"""Questions and answers to read, where somebody asks for them: those on which a prompt's users fared most differently.

They may be harmful, so no report prints them of itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from defender.answer import fairest
from defender.catalogue import build_benchmarks
from defender.errors import DefenderError
from defender.records import Cell, OutcomeMatrix, Response, Split
from defender.report.context import Reading, Said
from defender.results import Results

SPLITS: tuple[Split, ...] = ("search", "confirm", "test")
ITEMS, USERS = 5, 2
"""Items a benchmark, and users at either end of each, that are shown."""


def readings(results: Results) -> list[Reading]:
    """Return the items that tell users apart most, with the answers to those treated worst and best.

    Answers are those of the prompt shown, the first time each was asked. What is no longer kept, or whose benchmark's
    data are not here, is said to be missing.

    Raises:
        StoreError: the run cannot be read.
    """
    from defender.store.answered import answered
    from defender.store.sql import SqlStore

    stage = results.claims
    prompt = results.winner or fairest(results, stage)
    if prompt is None:
        return []
    chosen = [(matrix, place) for matrix in stage.matrices[prompt.id] for place in _telling(matrix)]
    cells = [
        Cell(prompt.id, matrix.identities[row], matrix.benchmark, matrix.items[place], 0)
        for matrix, place in chosen
        for row in _ends(matrix, place)
    ]
    store = SqlStore(results.folder.database, readonly=True)
    try:
        answers = answered(store, cells)
        grades = store.grades(prompt.id)
    finally:
        store.close()
    questions = _questions(results)
    found = []
    for matrix, place in chosen:
        item, score_U = matrix.items[place], matrix.score_U_I[:, place]
        said = []
        for row in _ends(matrix, place):
            cell = Cell(prompt.id, matrix.identities[row], matrix.benchmark, item, 0)
            outcome = grades[cell].outcome if cell in grades else ""
            said.append(Said(cell.identity, float(score_U[row]), outcome, _text(answers.get(cell))))
        asked = questions.get((matrix.benchmark, item), "")
        found.append(Reading(matrix.benchmark, item, asked, float(np.nanstd(score_U)), said))
    return found


def _telling(matrix: OutcomeMatrix) -> list[int]:
    """Return the items whose scores differ most between users, most first; none on which all are alike."""
    whole = np.isfinite(matrix.score_U_I).all(axis=0)
    spread_I = np.where(whole, matrix.score_U_I.std(axis=0), 0.0)
    return [int(place) for place in np.argsort(-spread_I, kind="stable")[:ITEMS] if spread_I[place] > 0]


def _ends(matrix: OutcomeMatrix, place: int) -> list[int]:
    """Return the users who fared worst and best on an item."""
    order = [int(row) for row in np.argsort(matrix.score_U_I[:, place], kind="stable")]
    return list(dict.fromkeys([*order[:USERS], *order[-USERS:]]))


def _questions(results: Results) -> Mapping[tuple[str, str], str]:
    """Return (benchmark, item) -> what is asked; nothing where the data are not here."""
    try:
        built = build_benchmarks(results.folder.config)
        return {
            (name, item.id): benchmark.ask(item)
            for name, benchmark in built.items()
            for split in SPLITS
            for item in benchmark.items(split)
        }
    except DefenderError:
        return {}


def _text(answer: Response | None) -> str:
    return "(not kept)" if answer is None or answer.text is None else answer.text

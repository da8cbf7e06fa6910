"""Every cell of a real run as Parquet, read back with pandas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from defender import extract as room
from defender.cli.app import app
from defender.confirm import SearchResult
from defender.errors import StoreError
from defender.extract import extract
from defender.records import Cell, Grade, Response
from defender.results import read_results
from defender.runs import RunFolder
from defender.store import SqlStore
from tests.stored_run import copied


def cells(run: RunFolder) -> dict[Cell, Grade]:
    """Return every grade of a run."""
    store = SqlStore(run.database, readonly=True)
    try:
        return {cell: grade for key in store.notes("candidate") for cell, grade in store.grades(key).items()}
    finally:
        store.close()


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)


def test_every_cell_is_a_row_with_its_score_and_what_it_is_about(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run, _ = stored
    done, kept, results = extract(run, tmp_path), cells(run), read_results(run)
    frame = read(done.path)
    assert done.cells == len(frame) == len(kept)
    rows: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    for row in rows:
        grade = kept[Cell(row["candidate"], row["identity"], row["benchmark"], row["item"], row["repeat"])]
        assert (row["score"], row["outcome"], row["grader"], row["reason"]) == (
            grade.score, grade.outcome, grade.grader, grade.reason,
        )  # fmt: skip
        candidate = results.candidates[row["candidate"]]
        assert (row["name"], row["template_sha256"]) == (candidate.name, candidate.digest)
    assert set(frame["stage"]) == {"search", "confirm"}
    people = frame[frame["identity"] != "no_persona"]
    assert set(people["category"]) == {identity.category for identity in results.identities.values()}
    assert set(frame["axis"]) == {"utility", "safety", "over_refusal"}


def test_means_of_the_rows_are_the_means_of_the_report(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run, result = stored
    frame = read(extract(run, tmp_path).path)
    stage = frame[(frame["stage"] == "confirm") & (frame["candidate"] == result.winner.id)]
    means = 100 * stage[stage["benchmark"] == "miniature_utility"].groupby("identity")["score"].mean()
    shown = result.confirmed[result.winner.id].benchmarks["miniature_utility"].by_identity
    assert {key: means[key] for key in shown} == pytest.approx(dict(shown))


def test_answers_are_written_only_when_asked_for(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run, _ = stored
    assert "response" not in read(extract(run, tmp_path).path)
    frame = read(extract(run, tmp_path, responses=True).path)
    store = SqlStore(run.database, readonly=True)
    answers = store.responses(frame["request"])
    store.close()
    assert [answers[key].text for key in frame["request"]] == list(frame["response"])
    assert list(frame["completion_tokens"]) == [answers[key].completion_tokens for key in frame["request"]]


def test_a_cell_without_an_answer_has_no_score_and_no_tokens_rather_than_zeros(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run, result = stored
    run = copied(run, tmp_path)
    cell = Cell(result.winner.id, "nobody", "miniature_utility", "lost", 0)
    store = SqlStore(run.database)
    failure = Response(None, error="timeout", detail="no byte in 60 s", attempts=3)
    store.commit([("lost", failure)], [(cell, "lost", Grade(None, "unscored", "choice@1", "timeout"))])
    store.close()
    frame = read(extract(run, tmp_path).path)
    (row,) = frame[frame["item"] == "lost"].to_dict("records")
    assert (row["outcome"], row["reason"], row["request"], row["stage"]) == ("unscored", "timeout", "lost", "")
    assert pd.isna(row["score"])
    assert pd.isna(row["prompt_tokens"])
    assert pd.isna(row["seconds"])


def test_rows_are_written_in_groups(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(extract(stored[0], tmp_path).path)
    monkeypatch.setattr(room, "GROUP", 50)
    done = extract(stored[0], tmp_path)
    file = pq.ParquetFile(done.path)
    assert file.num_row_groups > done.cells / 50
    assert max(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)) == 50
    pd.testing.assert_frame_equal(read(done.path), whole)


def test_the_command_says_where_and_how_many(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run, _ = stored
    words = ["export", str(run.path), "--format", "parquet", "--into", str(tmp_path), "--json"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout) == {"path": str(tmp_path / "cells.parquet"), "cells": len(cells(run))}


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--into"):
        extract(stored[0], tmp_path / "file")
    (tmp_path / "cells.parquet").mkdir()
    with pytest.raises(StoreError, match="--into"):
        extract(stored[0], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.parquet", "file"]

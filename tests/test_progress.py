from __future__ import annotations

import math
import re
from datetime import timedelta
from pathlib import Path

import pytest

from defender import progress
from defender.config import RunConfig
from defender.costs import Limits
from defender.progress import Pace, watching
from defender.runs import RunFolder
from defender.settings import BudgetConfig
from tests.stored_run import searched, settings


def folder(path: Path, *, limit: int | None = None, resumed: bool = False) -> RunFolder:
    return RunFolder(path, RunConfig(budget=BudgetConfig(max_requests=limit)), "d1", resumed)


def test_stages_are_told_on_stderr_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with watching(folder(tmp_path / "one"), quiet=False) as watch:
        watch.stage("confirm on held-out items", 1200)
        watch.stage("search: candidates 1 to 8", 0)
        watch.tick({"reserved": 1})
    out, said = capsys.readouterr()
    assert out == ""
    assert said.splitlines() == [
        f"starting {tmp_path / 'one'}",
        "confirm on held-out items (up to 1200 requests)",
        "search: candidates 1 to 8",
    ]


def test_a_resumed_run_is_said_to_be_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with watching(folder(tmp_path, resumed=True), quiet=False):
        pass
    assert capsys.readouterr().err.startswith("resuming ")


def test_a_pipe_gets_a_line_now_and_then_with_spend_against_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PIPE_EVERY_S", 0.0)
    with watching(folder(tmp_path, limit=900), quiet=False) as watch:
        for spent in range(1, 131):
            watch.tick({"reserved": spent})
    lines = capsys.readouterr().err.splitlines()[1:]
    assert [line.split(",")[:2] for line in lines] == [
        ["  64 cells graded", " 64 of 900 requests"],
        ["  128 cells graded", " 128 of 900 requests"],
    ]


def test_a_bar_on_a_terminal_is_on_stderr_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with watching(folder(tmp_path, limit=100), quiet=False) as watch:
        watch.stage("search: the undefended baseline", 64)
        for spent in range(1, 65):
            watch.tick({"reserved": spent})
        watch.stage("confirm on held-out items", 100)
    out, said = capsys.readouterr()
    assert out == ""
    assert re.search("search: the undefended baseline(?:(?!confirm).)*64 sent, 64 % of budget", said, re.S)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_warning_is_a_line_of_its_own_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    with watching(folder(tmp_path), quiet=False) as watch:
        watch.warn("the study [1] cannot be written")
    out, said = capsys.readouterr()
    assert out == ""
    assert "warning: the study [1] cannot be written" in said


def test_quiet_says_nothing_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with watching(folder(tmp_path), quiet=True) as watch:
        watch.stage("search", 1)
        watch.tick({"reserved": 1})
    assert capsys.readouterr() == ("", "")


def test_in_a_pipe_there_are_warnings_only_unless_progress_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with watching(folder(tmp_path), quiet=None) as watch:
        watch.stage("search", 1)
        watch.tick({"reserved": 1})
        watch.leads("D4: PB 1.8")
        watch.warn("the server ignores seeds")
    assert capsys.readouterr() == ("", "warning: the server ignores seeds\n")


def test_the_time_left_is_that_of_the_stage_at_the_pace_so_far() -> None:
    now = 100.0
    pace = Pace(Limits(), lambda: now)
    pace.stage(1000)
    for spent in range(1, 66):
        pace.graded({"reserved": spent})
        now += 0.5
    assert (pace.done, pace.left) == ((64, 1000), f"< {timedelta(seconds=round(936 * 32.5 / 64))}")
    pace.stage(0)
    assert pace.left == ""
    pace.stage(128)
    for spent in range(66, 130):
        pace.graded({"reserved": spent})
        now += 0.5
    assert pace.done == (64, 128)
    assert pace.words({"reserved": 129}) == "2/s, < 0:00:32 left in this stage"


def test_a_real_search_tells_its_stages_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PIPE_EVERY_S", math.inf)
    config = settings(tmp_path, search={"items": 4, "proposer": "listed"}, confirm={"items": 4})
    with watching(folder(tmp_path), quiet=False) as watch:
        searched(config, tmp_path, watch=watch)
    out, said = capsys.readouterr()
    assert out == ""
    assert said.splitlines()[1:] == [
        "search: the undefended baseline (up to 36 requests)",
        "search: candidates 1 to 2 (up to 36 requests)",
        "  best so far D1: PB 9.06 (0.00 to 44.44); utility >= Original - 1 kept, safety >= Original - 1 kept",
        "search: finals, those that may be the best on more items",
        "confirm on held-out items (up to 420 requests)",
    ]

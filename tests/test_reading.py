from __future__ import annotations

from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

from defender.conclusion import conclude
from defender.confirm import SearchResult
from defender.reading import readings
from defender.records import Request, Response
from defender.results import read_results
from defender.runs import RunFolder
from tests.report.test_page import Page
from tests.stored_run import copied, measured, settings, world

HOSTILE = "</pre><script>window.ran = 1</script>{{ 7 * 7 }} \x1b[31m =1+1 | **b**"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a measurement whose every answer is hostile text."""
    folder = tmp_path_factory.mktemp("hostile")
    config = settings(folder, command="measure")
    answers = world(config)

    def answer(request: Request) -> Response | str:
        found = answers(request)
        return replace(found, text=HOSTILE) if isinstance(found, Response) else HOSTILE

    return measured(config, folder, answer=answer)


def test_no_question_and_no_answer_is_printed_unless_asked(run: RunFolder) -> None:
    asked = [one for one in readings(read_results(run)) if one.question]
    assert asked
    conclude(run)
    for path in run.path.glob("*.*"):
        if path.suffix in (".html", ".md", ".csv", ".svg"):
            text = path.read_text(encoding="utf-8")
            assert "window.ran" not in text, path
            assert not [one for one in asked if one.question in text or escape(one.question) in text], path


def test_asked_for_a_hostile_answer_is_text_in_the_page(run: RunFolder) -> None:
    conclude(run)
    plain = Page((run.path / "report.html").read_text(encoding="utf-8"))
    conclude(run, show_items=True)
    text = (run.path / "report.html").read_text(encoding="utf-8")
    shown = escape(HOSTILE.replace("\x1b", "\ufffd"), quote=False)
    assert shown in text
    assert len(Page(text).of("script")) == len(plain.of("script"))
    assert "\x1b" not in text
    assert "window.ran" not in (run.path / "report.md").read_text(encoding="utf-8")


def test_items_are_those_that_tell_users_apart_with_the_worst_and_the_best(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    results = read_results(copied(stored[0], tmp_path))
    found = readings(results)
    assert found
    for one in found:
        assert one.question
        assert one.spread > 0
        scores = [said.score for said in one.answers]
        assert scores == sorted(scores)
        assert scores[0] < scores[-1]
        assert all(said.text and said.outcome for said in one.answers)


def test_without_data_or_answers_it_says_what_is_missing(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run = copied(stored[0], tmp_path)
    gone = run.config.model_copy(update={"benchmarks": ("mmlu",), "data": str(tmp_path)})
    assert all(one.question == "" for one in readings(read_results(replace(run, config=gone))))

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from defender.conclusion import TEACHING, conclude, context
from defender.confirm import SearchResult
from defender.delivery import deliver
from defender.errors import BudgetError, EngineDown, NothingFeasible
from defender.lines import WIDTH
from defender.records import Request, Response
from defender.results import read_results
from defender.runs import RunFolder, load_run
from defender.settings import BudgetConfig, SandboxConfig
from tests.stored_run import copied, measured, searched, settings, world

Concluded = tuple[RunFolder, list[str], dict[str, Any]]


@pytest.fixture(scope="module")
def concluded(stored: tuple[RunFolder, SearchResult], tmp_path_factory: pytest.TempPathFactory) -> Concluded:
    run = copied(stored[0], tmp_path_factory.mktemp("concluded"))
    return run, *conclude(run)


def files(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_and_the_winning_prompt_lie_in_the_run_folder(
    concluded: Concluded, stored: tuple[RunFolder, SearchResult]
) -> None:
    run, _, document = concluded
    winner = stored[1].winner
    assert (run.path / "report.md").read_text().count(winner.template) >= 1
    assert Path(document["prompt"]).parent == run.path / "best"
    assert Path(document["prompt"]).read_bytes() == winner.template.encode()
    assert all(Path(path).is_file() for path in document["report"])


def test_the_lines_say_winner_numbers_floors_verdicts_and_cost(
    concluded: Concluded, stored: tuple[RunFolder, SearchResult]
) -> None:
    run, lines, _ = concluded
    winner = stored[1].winner
    found = stored[1].confirmed[winner.id]
    said = "\n".join(lines)
    assert lines[0].startswith(f"winner   {winner.name}")
    assert lines[1].strip() == winner.template
    assert f"PB       {found.pb:.2f} (95 % {found.interval.low:.2f} to {found.interval.high:.2f})" in said
    assert "floor    utility >= Original - 1: 88.50 against 79.00, kept" in said
    assert "guard    harmless requests answered: 92.0 %" in said
    assert "verdict  better than Original: PB 2.72 against 18.11" in said
    assert "verdict  better than D1: " in said
    assert re.search(r"^cost     \d+ requests, \d+ tokens, \d+ s$", said, re.MULTILINE)
    assert f"report   {run.path / 'report.md'}" in lines
    assert "failed" not in said


def test_lines_fit_a_terminal_but_for_the_prompt_and_paths(concluded: Concluded) -> None:
    _, lines, _ = concluded
    kept_whole = ("run ", "report ", "prompt ")
    assert [line for line in lines[2:] if len(line) > WIDTH and not line.startswith(kept_whole)] == []


def test_the_table_shows_every_confirmed_prompt_beside_the_published_figure(concluded: Concluded) -> None:
    _, lines, _ = concluded
    head = next(index for index, line in enumerate(lines) if line.startswith("prompt  "))
    rows = {line.split()[0]: line for line in lines[head + 1 : lines.index("", head)]}
    assert rows["Original"].endswith(" 3.53")
    assert rows["D1"].endswith(" -")
    assert len(rows) == 3


def test_the_embedded_model_is_said_to_be_for_teaching(concluded: Concluded) -> None:
    run, lines, _ = concluded
    assert TEACHING in " ".join(lines)
    assert "teaching-size model" in (run.path / "report.md").read_text()


def test_a_claim_says_whether_users_spoke_as_in_the_search(concluded: Concluded, tmp_path: Path) -> None:
    assert "in the one sentence of the set, the one the search used" in (concluded[0].path / "report.md").read_text()
    config = settings(tmp_path, confirm={"items": 8, "phrasings": "held_out"})
    people = Path(config.identities)
    people.write_text("held_out: ['Look, I am {phrase}.']\n" + people.read_text())
    asked: list[str] = []

    def answer(request: Request) -> Response | str:
        asked.extend(text for _, text in request.messages if "Look, " in text)
        return world(config)(request)

    run, result = searched(config, tmp_path, answer=answer)
    lines, _ = conclude(run)
    assert len(asked) >= len(result.confirmed) * 6 * 8 * 2
    assert any(line.startswith("users ") and "held-out phrasings" in line for line in lines)
    said = (run.path / "report.md").read_text()
    assert "on held-out items, in held-out phrasings" in said
    assert "in 1 held-out phrasings that no selection saw" in said


def test_the_document_is_plain_json_with_everything_in_it(
    concluded: Concluded, stored: tuple[RunFolder, SearchResult]
) -> None:
    run, _, document = concluded
    again = json.loads(json.dumps(document, allow_nan=False))
    winner = stored[1].winner
    assert again["digest"] == run.digest
    assert again["winner"]["template"] == winner.template
    assert again["stages"]["confirm"]["estimates"][winner.name]["pb"] == pytest.approx(
        stored[1].confirmed[winner.id].pb, abs=1e-9
    )
    assert {c["verdict"] for c in again["comparisons"]} == {"better"}
    assert again["spend"]["reserved"] > 0


def test_concluding_again_gives_the_same_bytes(concluded: Concluded) -> None:
    run, lines, document = concluded
    before = files(run.path)
    assert conclude(run) == (lines, document)
    assert files(run.path) == before


def test_the_answer_is_one_paragraph_with_the_verdict(stored: tuple[RunFolder, SearchResult]) -> None:
    said = context(read_results(stored[0])).answer
    assert re.match(
        r"\w+ lowers PB from 18\.11 to 2\.72 \(95 % [\d.]+ to [\d.]+\) on held-out items, floors kept\. ", said
    )
    assert re.search(r"Better than Original \(18\.11\), D1 \([\d.]+\)\.$", said)


def test_the_cost_is_told_against_the_budget(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run = copied(stored[0], tmp_path)
    budget = run.config.model_copy(update={"budget": BudgetConfig(max_requests=5000)})
    lines, _ = conclude(RunFolder(run.path, budget, run.digest, resumed=True))
    assert any(re.match(r"cost     \d+ of 5000 requests", line) for line in lines)


def test_an_unfinished_search_recommends_nothing_and_writes_no_prompt(tmp_path: Path) -> None:
    config = settings(tmp_path)
    left, answers = 200, world(config)

    def answer(request: Request) -> Response | str:
        nonlocal left
        left -= 1
        if left < 0:
            raise EngineDown("pulled the plug")
        return answers(request)

    with pytest.raises(EngineDown):
        searched(config, tmp_path, answer=answer)
    run = load_run(tmp_path, "one")
    lines, document = conclude(run)
    assert lines[0].startswith("The search is not finished: no prompt has been confirmed.")
    assert document["winner"] is None
    assert document["prompt"] is None
    assert not (run.path / "best").exists()
    assert (run.path / "report.md").is_file()


def test_a_search_where_nothing_keeps_the_floors_says_so_and_not_that_it_is_unfinished(tmp_path: Path) -> None:
    with pytest.raises(NothingFeasible) as told:
        searched(settings(tmp_path, floors={"utility": "99.9", "safety": "Original-1"}), tmp_path)
    lines, document = conclude(load_run(tmp_path, "one"))
    assert lines[0].startswith("The search ended without a winner: no candidate keeps the floors on search items.")
    assert document["answer"] == f"The search ended without a winner: {told.value}."
    assert "again" not in document["answer"]
    with pytest.raises(NothingFeasible, match=r"ended without a winner: .*or name a prompt of it"):
        deliver(load_run(tmp_path, "one"), "text", tmp_path / "out")


def test_a_search_that_its_budget_stopped_says_so(tmp_path: Path) -> None:
    with pytest.raises(BudgetError) as told:
        searched(settings(tmp_path, budget={"max_tokens": 1000}), tmp_path)
    _, document = conclude(load_run(tmp_path, "one"))
    assert document["answer"].startswith(
        "The search is not finished: no prompt has been confirmed. It stopped because "
    )
    assert str(told.value) in document["answer"]


def test_a_measurement_shows_its_table_its_failures_and_claims_no_winner(tmp_path: Path) -> None:
    config = settings(tmp_path, command="measure")
    answers = world(config)

    def answer(request: Request) -> Response | str:
        if "rich" in request.messages[0][1] and "equally" in request.messages[0][1]:
            return Response(None, error="timeout", detail="no answer")
        return answers(request)

    lines, document = conclude(measured(config, tmp_path, answer=answer))
    said = "\n".join(lines)
    assert lines[:2] == [
        "answers  miniature_utility: 8 % unscored (timeout)",
        "answers  miniature_safety: 8 % unscored (timeout)",
    ]
    assert lines[5].startswith("Original")
    assert "D1: no estimate: " in said
    assert "12 failed" in said
    assert "failed   12 timeout: no answer" in lines
    assert "paper: a table" in said
    assert "winner" not in said
    assert "Nothing was selected here" in document["answer"]
    assert document["stages"]["measure"]["failures"].keys() == {"D1"}


def test_kinds_of_answers_are_in_the_document_per_prompt_benchmark_and_identity(tmp_path: Path) -> None:
    config = settings(tmp_path, command="measure")
    answers = world(config)

    def answer(request: Request) -> Response | str:
        told = request.messages[0][1]
        if "rich" in told:
            return Response(None, error="timeout", detail="no answer")
        return Response("", "stop") if "young" in told else answers(request)

    run = measured(config, tmp_path, answer=answer)
    _, document = conclude(run)
    again = json.loads(json.dumps(document, allow_nan=False))["stages"]["measure"]["answers"]
    assert again.keys() == {"Original", "D1"}
    for prompt in again.values():
        found = prompt["miniature_utility"]
        assert found["cells"] == 6 * 4 == sum(sum(kinds.values()) for kinds in found["identities"].values())
        assert found["identities"]["a rich person"]["unscored"] == 4
        assert found["unscored"]["a rich person"] == {"timeout": 4}
        assert sum(how["cells"] for how in found["read"]) == 24
        assert found["reference"]["identities"].keys() == {"no_persona"}
        assert found["reference"]["cells"] == 4
    report = (run.path / "report.md").read_text()
    assert "| People | a rich person | 8 |" in report
    assert "| miniature_utility | a rich person | timeout | 8 | 8 | 100.00 |" in report


def test_a_prompt_whose_every_answer_is_unscored_is_shown_with_the_reasons(tmp_path: Path) -> None:
    config = settings(tmp_path, command="measure")
    timeout = Response(None, error="timeout", detail="no answer")
    lines, document = conclude(measured(config, tmp_path, answer=lambda _: timeout))
    for name in ("miniature_utility", "miniature_safety", "miniature_harmless"):
        assert any(f"answers  {name}: 100 % unscored (timeout): nothing is shown about" in line for line in lines)
    assert "PB_raw" not in "\n".join(lines), "no head without a row"
    assert document["answer"].startswith("No prompt could be estimated: miniature_")
    assert document["stages"]["measure"]["failures"].keys() == {"Original", "D1"}
    assert "Original, D1: no estimate: " in " ".join(lines)


def test_the_command_to_reproduce_says_every_setting_that_is_not_usual(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    said = context(read_results(measured(settings(tmp_path, command="measure", seed=3), tmp_path))).reproduce
    assert said[0] == (
        f"defender measure --space {tmp_path}/small.yaml --identities {tmp_path}/people.yaml --items 4 --seed 3"
    )
    searched_with = stored[0].config.model_copy(update={"sandbox": SandboxConfig(kind="bubblewrap")})
    run = RunFolder(copied(stored[0], tmp_path / "copy").path, searched_with, "", resumed=True)
    said = context(read_results(run)).reproduce
    assert said[0] == "# with a run file (--config) that says sandbox.kind: bubblewrap"
    assert said[1].startswith("defender search --space ")
    assert said[1].endswith("--candidates 6 --generation 4 --items 8 --finalists 2 --confirm-items 8")

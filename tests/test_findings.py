from __future__ import annotations

import json
from pathlib import Path

import pytest

from defender.bias import estimate
from defender.conclusion import conclude, context
from defender.confirm import SearchResult
from defender.findings import raced
from defender.results import Results, read_results
from defender.runs import RunFolder
from tests.stored_run import copied, measured, searched, settings


@pytest.fixture(scope="module")
def read(stored: tuple[RunFolder, SearchResult]) -> Results:
    return read_results(stored[0])


def test_every_prompt_of_the_search_has_an_estimate_on_the_items_it_was_asked(tmp_path: Path) -> None:
    short = {"items": 24, "candidates": 6, "generation": 4, "finalists": 1, "blocks": [1, 2], "finals": [2]}
    run, _ = searched(settings(tmp_path, search=short), tmp_path)
    read = read_results(run)
    trials = {trial.candidate.id: trial for trial in raced(read)}
    assert trials.keys() == read.stages["search"].matrices.keys()
    assert 0 < len(read.stages["search"].estimates) < len(trials)
    for key, found in read.stages["search"].estimates.items():
        assert trials[key].estimate == found
    for trial in (trial for key, trial in trials.items() if key not in read.stages["search"].estimates):
        assert trial.estimate is not None
        assert trial.estimate.benchmarks["miniature_utility"].items < 24
        assert trial.dropped_at == 0
        assert trial.reason


def test_details_are_of_the_baseline_and_the_winner_on_the_items_of_the_claim(read: Results) -> None:
    found = context(read).details
    winner = read.winner
    assert winner is not None
    assert list(found.standings) == list(found.parts) == [read.candidates[read.baselines[0]].digest, winner.digest]
    assert [standing.axis for standing in found.standings[winner.digest]] == ["utility", "safety", "over_refusal"]
    whole = estimate(read.stages["confirm"].matrices[winner.id])
    for standing in found.standings[winner.digest]:
        means = whole.axes[standing.axis].by_identity
        for one in standing.deviations:
            assert one.deviation == pytest.approx(means[one.identity] - whole.axes[standing.axis].mean, abs=1e-9)
    assert {(one.kind, one.name) for one in found.changes} >= {("axis", "utility"), ("category", "People")}


def test_clauses_are_named_by_idea_and_wording_and_settings_are_whole(read: Results) -> None:
    found = context(read).details
    assert {effect.text for effect in found.effects} <= {"equal: a", "ignore: a"}
    assert {effect.on for effect in found.effects} == {"PB^2", "utility", "safety"}
    assert json.loads(found.settings)["search"]["items"] == 8
    assert found.versions["numpy"]


def test_a_measurement_has_no_race_and_no_effects(tmp_path: Path) -> None:
    results = read_results(measured(settings(tmp_path, command="measure"), tmp_path))
    assert raced(results) == []
    found = context(results)
    assert found.details.effects == ()
    assert len(found.details.standings) == 2


def test_page_and_markdown_show_intervals_by_identity_and_by_part(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run = copied(stored[0], tmp_path)
    _, document = conclude(run)
    assert str(run.path / "report.html") in document["report"]
    page, text = (run.path / "report.html").read_text(), (run.path / "report.md").read_text()
    for title in ("PB by part", "The winner, by identity", "worst and best"):
        assert title in text
    for id in ("clouds", "ladder", "standing-utility", "standing-safety", "places", "front-1", "front-2", "timeline"):
        assert f'<svg id="{id}"' in page
    assert page.count("all identities at once") >= 2 * 6 * 2


def test_models_of_several_runs_stand_side_by_side_and_what_differs_is_said(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run = copied(stored[0], tmp_path)
    (tmp_path / "other").mkdir()
    other = measured(settings(tmp_path / "other", command="measure"), tmp_path / "other")
    conclude(run, [other])
    page, text = (run.path / "report.html").read_text(), (run.path / "report.md").read_text()
    assert '<svg id="models-pb"' in page
    assert page.count('aria-label="Original, one (') == 2
    assert "measured in the measure stage, other items" in text
    assert "| Original |" in text[text.index("## PB by model") :]
    conclude(run)
    assert "models-pb" not in (run.path / "report.html").read_text()

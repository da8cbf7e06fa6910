from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from defender.confirm import SearchResult
from defender.errors import ConfigError, EngineDown, StoreError
from defender.records import Request, Response
from defender.results import Results, read_results
from defender.runs import RunFolder, load_run, open_run
from defender.store import SqlStore
from tests.stored_run import copied, measured, searched, settings, world


@pytest.fixture(scope="module")
def read(stored: tuple[RunFolder, SearchResult]) -> Results:
    return read_results(stored[0])


def test_the_outcome_read_back_is_the_one_the_search_returned(
    stored: tuple[RunFolder, SearchResult], read: Results
) -> None:
    _, result = stored
    assert read.winner == result.winner
    assert read.finalists == tuple(candidate.id for candidate in result.finalists)
    assert [read.candidates[key].name for key in read.baselines] == ["Original", "D1"]
    assert read.comparisons == result.comparisons
    assert read.gaps == result.gaps
    assert read.stopped == result.stopped


def test_estimates_derived_again_equal_those_of_the_search(
    stored: tuple[RunFolder, SearchResult], read: Results
) -> None:
    _, result = stored
    assert read.stages["confirm"].estimates.keys() == result.confirmed.keys()
    for key, confirmed in result.confirmed.items():
        again = read.stages["confirm"].estimates[key]
        for name in ("pb", "pb_raw", "corrected2", "noise_floor"):
            assert getattr(again, name) == pytest.approx(getattr(confirmed, name), abs=1e-9)
        assert asdict(again.interval) == pytest.approx(asdict(confirmed.interval), abs=1e-9)
        for axis, found in confirmed.axes.items():
            assert again.axes[axis].mean == pytest.approx(found.mean, abs=1e-9)


def test_a_candidate_dropped_or_finished_in_the_search_reads_as_it_was(
    stored: tuple[RunFolder, SearchResult], read: Results
) -> None:
    _, result = stored
    whole = [trial for trial in result.trials if trial.dropped_at is None]
    assert len(whole) >= 3
    for trial in whole:
        assert trial.estimate is not None
        assert read.stages["search"].estimates[trial.candidate.id].corrected2 == pytest.approx(
            trial.estimate.corrected2, abs=1e-9
        )


def test_decisions_come_in_the_order_they_were_made(read: Results) -> None:
    assert read.decisions[0].action == "finished"
    assert read.decisions[0].name == "Original"
    last = [decision for decision in read.decisions if decision.block == -1]
    assert [decision.action for decision in last] == ["finalist", "finalist", "winner", "passed over"]
    assert read.decisions[-len(last) :] == tuple(last)
    assert read.winner is not None
    assert last[2].candidate == read.winner.id


def test_the_reference_user_is_told_apart_from_the_identities(read: Results) -> None:
    confirm = read.stages["confirm"]
    assert read.baselines[0] in confirm.reference
    assert confirm.reference[read.baselines[0]]["miniature_utility"] == pytest.approx(90.0)
    assert "no_persona" not in confirm.matrices[read.baselines[0]][0].identities
    assert read.stages["search"].reference == {}


def test_kinds_of_answers_are_read_for_every_identity_and_the_reference_apart(read: Results) -> None:
    confirm = read.stages["confirm"]
    assert confirm.kinds.keys() == confirm.nobody.keys() == confirm.matrices.keys()
    for key, found in confirm.kinds.items():
        for kinds, matrix in zip(found, confirm.matrices[key], strict=True):
            assert kinds.identities == matrix.identities
            for identity in kinds.identities:
                assert {kind: n for kind, n in kinds.of(identity).items() if n} == matrix.outcomes[identity]
        assert [one.identities for one in confirm.nobody[key]] == [("no_persona",)] * 3
    assert read.winner is not None
    assert [candidate.id for candidate, _ in read.answered] == [read.winner.id]
    assert read.stages["search"].nobody == {}


def test_what_a_report_needs_is_read_without_the_space_file(read: Results) -> None:
    assert read.figures == {"Original": 3.53}
    assert read.figures_source == "a table"
    assert read.card["model"] == "scripted"
    assert set(read.protocols) == {"miniature_utility", "miniature_safety", "miniature_harmless"}
    assert read.stages["confirm"].items == dict.fromkeys(read.protocols, 8)
    assert read.spend["reserved"] == read.spend["answers"] > 0
    assert read.seconds > 0


def test_an_unfinished_search_reads_back_as_unfinished(tmp_path: Path) -> None:
    config = settings(tmp_path)
    left = 200
    answers = world(config)

    def answer(request: Request) -> Response | str:
        nonlocal left
        left -= 1
        if left < 0:
            raise EngineDown("pulled the plug")
        return answers(request)

    with pytest.raises(EngineDown):
        searched(config, tmp_path, answer=answer)
    read = read_results(load_run(tmp_path, "one"))
    assert read.winner is None
    assert read.comparisons == ()
    assert read.finalists == ()
    assert read.stages["confirm"].matrices == {}
    assert read.spend["answers"] == 200
    assert set(read.stages["search"].estimates) <= set(read.candidates)


def test_a_candidate_with_too_many_failures_has_a_reason_and_no_estimate(tmp_path: Path) -> None:
    config = settings(tmp_path, command="measure")
    answers = world(config)

    def answer(request: Request) -> Response | str:
        if "rich" in request.messages[0][1] and "equally" in request.messages[0][1]:
            return Response(None, error="timeout", detail="no answer")
        return answers(request)

    read = read_results(measured(config, tmp_path, answer=answer))
    (whole,) = read.stages["measure"].estimates
    ((torn, why),) = read.stages["measure"].failures.items()
    assert (read.candidates[whole].name, read.candidates[torn].name) == ("Original", "D1")
    assert "timeout" in why
    assert read.spend["errors"] == 12
    assert read.winner is None


def test_a_run_that_measured_nothing_says_what_to_run(tmp_path: Path) -> None:
    run = open_run(settings(tmp_path), tmp_path, "one")
    with pytest.raises(StoreError):
        read_results(run)
    SqlStore(run.database).close()
    with pytest.raises(ConfigError, match="holds no measurement yet; run 'defender search'"):
        read_results(run)


def test_reading_changes_no_byte_of_the_run(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run = copied(stored[0], tmp_path)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    read_results(run)
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before

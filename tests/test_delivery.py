from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from defender.confirm import SearchResult
from defender.delivery import deliver, provenance
from defender.engines.scripted import PlantedBias
from defender.errors import ConfigError, EngineDown, NothingFeasible, StoreError
from defender.records import Request, Response
from defender.results import read_results
from defender.runs import RunFolder, load_run
from tests.stored_run import measured, searched, settings


def test_every_format_is_written_with_the_template_byte_for_byte(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run, result = stored
    files = {Path(file.path).name: file for file in deliver(run, "all", tmp_path / "out")}
    template, name = result.winner.template, result.winner.name
    assert {file.format for file in files.values()} == {"text", "json", "yaml"}
    assert (tmp_path / "out" / f"{name}.txt").read_bytes() == template.encode()
    assert json.loads((tmp_path / "out" / f"{name}.json").read_text())["system"]["template"] == template
    assert yaml.safe_load((tmp_path / "out" / f"{name}.yaml").read_text())["system"]["template"] == template
    for kind in ("txt", "json", "yaml"):
        assert files[f"{name}.{kind}"].sha256 == hashlib.sha256(template.encode()).hexdigest()


def test_one_format_writes_that_format_only_and_the_same_bytes_again(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    (file,) = deliver(stored[0], "json", tmp_path)
    before = Path(file.path).read_bytes()
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    assert deliver(stored[0], "json", tmp_path) == [file]
    assert Path(file.path).read_bytes() == before


def test_provenance_says_run_model_numbers_floors_and_verdicts(stored: tuple[RunFolder, SearchResult]) -> None:
    run, result = stored
    told = provenance(read_results(run), result.winner)
    found = result.confirmed[result.winner.id]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["run"], told["digest"]) == (run.name, run.digest)
    assert told["candidate"] == hashlib.sha256(
        json.dumps([result.winner.before, result.winner.after, "system"], separators=(",", ":")).encode()
    ).hexdigest()[: len(told["candidate"])]  # fmt: skip
    assert told["model"]["model"] == "scripted"
    assert told["measured"]["pb"] == pytest.approx(found.pb, abs=1e-4)
    assert told["measured"]["interval"] == pytest.approx([found.interval.low, found.interval.high], abs=1e-4)
    assert told["measured"]["items"] == dict.fromkeys(run.config.benchmark_names, 8)
    assert told["floors"] == {"utility": "Original-1", "safety": "Original-1"}
    assert all(gap <= 0 for gap in told["floor_gaps"].values())
    assert told["verdicts"] == {"Original": "better", "D1": "better"}


def test_a_winner_that_is_not_shown_to_be_better_is_refused_with_the_reason_unless_forced(tmp_path: Path) -> None:
    config = settings(tmp_path, search={"items": 4, "proposer": "listed"}, confirm={"items": 4})
    run, result = searched(config, tmp_path, answer=PlantedBias([]))
    with pytest.raises(NothingFeasible, match=r"not shown to be better than Original: .*--force"):
        deliver(run, "text", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert deliver(run, "text", tmp_path / "out", force=True)
    assert (tmp_path / "out" / f"{result.winner.name}.txt").read_bytes() == result.winner.template.encode()


def test_an_unfinished_search_delivers_nothing_even_when_forced(tmp_path: Path) -> None:
    def answer(_: Request) -> Response | str:
        raise EngineDown("pulled the plug")

    with pytest.raises(EngineDown):
        searched(settings(tmp_path), tmp_path, answer=answer)
    for force in (False, True):
        with pytest.raises(NothingFeasible, match="no confirmed winner; finish it with 'defender search --run"):
            deliver(load_run(tmp_path, "one"), "text", tmp_path / "out", force=force)


def test_a_measurement_selected_nothing_to_deliver(tmp_path: Path) -> None:
    run = measured(settings(tmp_path, command="measure"), tmp_path)
    with pytest.raises(NothingFeasible, match="selected none; export needs a run of 'defender search'"):
        deliver(run, "text", tmp_path / "out")


def test_an_unknown_format_lists_the_known_ones(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown format 'pdf'; formats: text, json, yaml"):
        deliver(stored[0], "pdf", tmp_path)


def test_a_place_that_cannot_be_written_is_a_store_error(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write to .*--into"):
        deliver(stored[0], "text", tmp_path / "file")

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from defender.confirm import SearchResult
from defender.delivery import _doubts, deliver, provenance
from defender.engines.scripted import PlantedBias
from defender.errors import ConfigError, EngineDown, NothingFeasible, StoreError
from defender.formats import Surroundings, exporters
from defender.identities import load_identities
from defender.records import Request, Response
from defender.results import read_results
from defender.runs import RunFolder, load_run
from defender.store import SqlStore
from tests.stored_run import SPACE, copied, measured, searched, settings


def test_every_format_is_written_with_the_template_byte_for_byte(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run, result = stored
    done = deliver(run, "all", tmp_path / "out")
    files = {Path(file.path).name: file for file in done.files}
    template, name = result.winner.template, result.winner.name
    assert {file.format for file in files.values()} == set(exporters(Surroundings())) - {"vllm"}
    assert set(done.refused) == {"vllm"}
    assert (tmp_path / "out" / f"{name}.txt").read_bytes() == template.encode()
    assert json.loads((tmp_path / "out" / f"{name}.json").read_text())["system"]["template"] == template
    assert yaml.safe_load((tmp_path / "out" / f"{name}.yaml").read_text())["system"]["template"] == template
    for kind in ("txt", "json", "yaml"):
        assert files[f"{name}.{kind}"].sha256 == hashlib.sha256(template.encode()).hexdigest()


def test_one_format_writes_that_format_only_and_the_same_bytes_again(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    (file,) = deliver(stored[0], "json", tmp_path).files
    before = Path(file.path).read_bytes()
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    assert deliver(stored[0], "json", tmp_path).files == (file,)
    assert Path(file.path).read_bytes() == before


def test_what_was_measured_in_the_users_turn_is_not_exported_as_a_system_message(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run = copied(stored[0], tmp_path / "seated")
    store = SqlStore(run.database)
    store.note("card", "model", store.notes("card")["model"] | {"system_role": "user"})
    store.close()
    done = deliver(run, "all", tmp_path / "out")
    assert {file.format for file in done.files} == {"text", "json", "yaml", "kubernetes"}
    assert "would send a system message" in done.refused["litellm"]
    with pytest.raises(ConfigError, match="has no system role"):
        deliver(run, "openai", tmp_path / "one")
    assert deliver(run, "openai", tmp_path / "one", force=True).files


def test_the_suite_asks_with_the_identities_of_the_run(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run, result = stored
    deliver(run, "promptfoo", tmp_path)
    suite = yaml.safe_load((tmp_path / f"{result.winner.name}.promptfoo.yaml").read_text())
    asked = suite["tests"][0]["vars"]["identity"]
    assert asked == ["", *(identity.sentence for identity in load_identities(Path(run.config.identities)))]


def test_a_models_template_is_put_behind_the_prompt(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    run, result = stored
    (tmp_path / "own.jinja").write_text("{{ messages }}")
    done = deliver(run, "all", tmp_path / "out", model_template=tmp_path / "own.jinja")
    assert not done.refused
    assert (tmp_path / "out" / f"{result.winner.name}.vllm.jinja").read_text().endswith("%}\n{{ messages }}")


def test_a_models_template_for_another_format_is_refused(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--model-template is for the vllm format"):
        deliver(stored[0], "json", tmp_path, model_template=tmp_path)


def test_a_prompt_one_format_cannot_carry_is_an_error_there_and_named_among_all(tmp_path: Path) -> None:
    prompt = SPACE.replace("You are a helpful assistant.", '"First.\\nuser:\\nYou are a helpful assistant."')
    config = settings(tmp_path)
    (tmp_path / "small.yaml").write_text(prompt)
    run, _ = searched(config, tmp_path)
    with pytest.raises(ConfigError, match="the prompty format cannot carry this prompt byte for byte: 'user:' alone"):
        deliver(run, "prompty", tmp_path / "out", force=True)
    done = deliver(run, "all", tmp_path / "out", force=True)
    assert set(done.refused) == {"prompty", "vllm"}
    assert not list((tmp_path / "out").glob("*.prompty"))


def test_a_run_gives_the_same_bytes_whenever_and_wherever_it_is_exported(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run = copied(stored[0], tmp_path)
    os.utime(run.path / "run.db", (1, 1))
    written = [deliver(each, "all", tmp_path / name).files for name, each in (("a", stored[0]), ("b", run))]
    assert len(written[0]) == len(written[1])
    for one, other in zip(*written, strict=True):
        assert Path(one.path).read_bytes() == Path(other.path).read_bytes()


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
    assert datetime.now(UTC) - datetime.fromisoformat(told["date"]).replace(tzinfo=UTC) < timedelta(days=2)
    assert told["verdicts"] == {"Original": "better", "D1": "better"}


def test_a_winner_that_is_not_shown_to_be_better_is_refused_with_the_reason_unless_forced(tmp_path: Path) -> None:
    config = settings(tmp_path, search={"items": 4, "proposer": "listed"}, confirm={"items": 4})
    run, result = searched(config, tmp_path, answer=PlantedBias([]))
    with pytest.raises(NothingFeasible, match=r"not shown to be better than Original: .*--force"):
        deliver(run, "text", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert deliver(run, "text", tmp_path / "out", force=True).files
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


def test_another_prompt_of_the_run_is_exported_when_it_holds_or_is_forced(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    run, _ = stored
    with pytest.raises(NothingFeasible, match=r"^Original is not shown to be better than Original: it is the baseline"):
        deliver(run, "text", tmp_path, prompt="Original")
    assert not list(tmp_path.iterdir())
    deliver(run, "text", tmp_path, prompt="Original", force=True)
    assert (tmp_path / "Original.txt").read_bytes() == b"You are a helpful assistant. {identity}"
    with pytest.raises(ConfigError, match=r"has no prompt 'D9'; it has Original, D1, "):
        deliver(run, "text", tmp_path, prompt="D9", force=True)


def test_a_prompt_that_misses_a_floor_or_was_not_confirmed_is_refused_with_the_reason(
    stored: tuple[RunFolder, SearchResult],
) -> None:
    found = read_results(stored[0])
    missed = replace(found, gaps={**found.gaps, stored[1].winner.id: {"safety >= 90": 1.25}})
    assert _doubts(missed, stored[1].winner) == ["misses the floor safety >= 90 by 1.25"]
    assert not _doubts(found, stored[1].winner)
    unseen = next(c for c in found.candidates.values() if c.id not in found.stages["confirm"].estimates)
    assert _doubts(found, unseen) == ["is not confirmed on held-out items"]


def test_a_measured_prompt_is_exported_by_name_when_forced(tmp_path: Path) -> None:
    run = measured(settings(tmp_path, command="measure"), tmp_path)
    with pytest.raises(NothingFeasible, match=r"D1 is not confirmed on held-out items\. .*--force"):
        deliver(run, "json", tmp_path / "out", prompt="D1")
    deliver(run, "json", tmp_path / "out", prompt="D1", force=True)
    told = json.loads((tmp_path / "out" / "D1.json").read_text())["provenance"]
    assert told["measured"]["pb"] >= 0
    assert told["verdicts"] == {}


def test_an_unknown_format_lists_the_known_ones(stored: tuple[RunFolder, SearchResult], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown format 'pdf'; formats: text, json, yaml, "):
        deliver(stored[0], "pdf", tmp_path)


def test_a_place_that_cannot_be_written_is_a_store_error(
    stored: tuple[RunFolder, SearchResult], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write to .*--into"):
        deliver(stored[0], "text", tmp_path / "file")

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from defender.config import RunConfig, differences, load_config
from defender.errors import ConfigError


def config(**changes: Any) -> RunConfig:
    return RunConfig.model_validate(changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def test_an_empty_configuration_searches_the_shipped_space_on_the_embedded_model() -> None:
    default = load_config(None, {})
    assert (default.command, default.model.name, default.space) == ("search", "embedded", "clauses")
    assert default.benchmark_names == ("miniature_utility", "miniature_safety", "miniature_harmless")
    assert dict(default.floors) == {"utility": "Original-1", "safety": "Original-1"}


def test_a_served_model_is_measured_on_real_benchmarks_unless_told_otherwise() -> None:
    assert config(model={"name": "m", "base_url": "http://h/v1"}).benchmark_names == ("mmlu", "do_not_answer")


@pytest.mark.parametrize(
    "change",
    [
        {"budget": {"max_requests": 5}},
        {"speed": {"in_flight": 7}},
        {"data": "elsewhere"},
        {"model": {"timeout_s": 3.0, "max_attempts": 2, "api_key_env": "MINE"}},
        {"benchmarks": ["miniature_utility", "miniature_safety", "miniature_harmless"]},
    ],
)
def test_the_digest_ignores_what_does_not_change_results(change: dict[str, Any]) -> None:
    assert config(**change).decisive() == config().decisive()


@pytest.mark.parametrize(
    "change",
    [
        {"floors": {"utility": "60"}},
        {"seed": 1},
        {"search": {"items": 64}},
        {"judge": {"kind": "guard", "base_url": "http://h/v1"}},
        {"sandbox": {"kind": "bubblewrap"}},
        {"confirm": {"items": 32}},
        {"model": {"name": "m"}},
        {"model": {"base_url": "http://h/v1"}},
        {"model": {"max_tokens": 256}},
        {"benchmarks": ["miniature_utility"]},
        {"space": "paper"},
        {"identities": "mine.yaml"},
        {"protocol": "paper"},
    ],
)
def test_the_digest_changes_with_what_changes_results(change: dict[str, Any]) -> None:
    assert config(**change).decisive() != config().decisive()


def test_an_alias_stands_for_the_url_in_the_digest() -> None:
    here, there = (
        config(model={"name": "m", "base_url": f"http://{host}/v1", "alias": "lab"}) for host in ("here", "there")
    )
    assert here.decisive() == there.decisive()


def test_differences_name_dotted_keys_and_both_values() -> None:
    before = config(seed=1, search={"items": 64}).decisive()
    now = config(floors={"utility": "60"}).decisive()
    assert differences(before, now) == [
        "floors.safety: 'Original-1' -> None",
        "floors.utility: 'Original-1' -> '60'",
        "search.items: 64 -> 96",
        "seed: 1 -> 0",
    ]
    assert differences(before, before) == []


@pytest.mark.parametrize(
    ("text", "line", "key", "known"),
    [
        ("seed: 1\nsearc: {}\n", 2, "searc", "command, model, space"),
        (
            "seed: 1\nsearch:\n  items: 8\n  itms: 9\n",
            4,
            "search.itms",
            "strategy, proposer, candidates, generation, items",
        ),
        ("model:\n  nme: x\n", 2, "model.nme", "name, base_url"),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_known_ones(
    file: Path, text: str, line: int, key: str, known: str
) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert str(caught.value).startswith(f"{file} line {line}: unknown key '{key}'; known: {known}")


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("seed: 1\nsearch:\n  items: many\n", 3, "search.items"),
        ("search:\n  blocks: [1, two]\n", 2, "search.blocks.1"),
        ("protocol: quick\n", 1, "protocol"),
        ("\nmodel: embedded\n", 2, "model"),
        ("confirm:\n  items: 2\n", 2, "confirm.items"),
    ],
)
def test_a_wrong_value_is_named_with_its_field_and_line(file: Path, text: str, line: int, field: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert str(caught.value).startswith(f"{file} line {line}: {field}: ")


def test_what_the_command_line_says_wins_over_the_file(file: Path) -> None:
    file.write_text("seed: 1\nsearch: {items: 8, alpha: 0.05}\n")
    both = load_config(file, {"search.items": 16, "seed": None, "budget.max_requests": 9})
    assert (both.search.items, both.search.alpha, both.seed, both.budget.max_requests) == (16, 0.05, 1, 9)


def test_a_wrong_value_on_the_command_line_is_not_blamed_on_the_file(file: Path) -> None:
    file.write_text("search: {items: 8}\n")
    with pytest.raises(ConfigError, match=r"^the command line: search\.items: .*got -1"):
        load_config(file, {"search.items": -1})


def test_an_option_cannot_go_into_something_that_is_no_section(file: Path) -> None:
    file.write_text("seed: 3\nsearch: quick\n")
    with pytest.raises(ConfigError, match="line 2: expected a section, got 'quick'"):
        load_config(file, {"search.items": 4})


def test_one_floor_on_the_command_line_leaves_the_other_in_place(file: Path) -> None:
    assert load_config(None, {"floors.utility": "60"}).floors == {"utility": "60", "safety": "Original-1"}
    file.write_text("floors: {utility: 50}\n")
    assert load_config(file, {"floors.utility": "60"}).floors == {"utility": "60"}


def test_a_floor_may_be_written_as_a_number(file: Path) -> None:
    file.write_text("floors: {utility: 60, safety: 90.5}\n")
    assert load_config(file, {}).floors == {"utility": "60", "safety": "90.5"}


def test_a_model_needs_a_server_and_a_server_needs_a_model() -> None:
    with pytest.raises(ConfigError, match="give --base-url"):
        load_config(None, {"model.name": "llama"})
    with pytest.raises(ConfigError, match="give --model NAME"):
        load_config(None, {"model.base_url": "http://127.0.0.1:8000/v1"})


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "refusal"),
        ({"protocol": "paper"}, "classifier"),
        ({"judge": {"base_url": "http://h/v1"}}, "model"),
        ({"protocol": "paper", "judge": {"base_url": "http://h/v1"}}, "model"),
        ({"protocol": "paper", "judge": {"kind": "refusal"}}, "refusal"),
    ],
)
def test_the_kind_of_judge_is_decided_by_server_and_protocol_and_is_in_the_digest(
    change: dict[str, Any], kind: str
) -> None:
    assert config(**change).judging.kind == kind
    assert config(**change).decisive()["judge"]["kind"] == kind


def test_a_judge_server_that_would_not_be_asked_is_refused() -> None:
    with pytest.raises(ConfigError, match="a judge of kind 'refusal' asks no server"):
        load_config(None, {"judge.kind": "refusal", "judge.base_url": "http://h/v1"})


def test_the_paper_s_three_runs_are_the_default_of_a_measurement_under_its_protocol_only() -> None:
    assert config().repeats == (1, 1)
    assert config(protocol="paper").repeats == (1, 3)
    assert config(protocol="paper", measure={"repeats": 1}).repeats == (1, 1)
    assert config(protocol="paper").decisive()["measure"]["repeats"] == 3


def test_several_servers_are_one_model_in_any_order_and_an_alias_frees_the_run_from_them() -> None:
    two = ["http://b/v1", "http://a/v1"]
    there, back = (config(model={"name": "m", "base_url": urls}) for urls in (two, two[::-1]))
    assert there.decisive() == back.decisive()
    assert there.decisive() != config(model={"name": "m", "base_url": two[0]}).decisive()
    named = [config(model={"name": "m", "base_url": urls, "alias": "lab"}) for urls in (two, two[0])]
    assert named[0].decisive() == named[1].decisive()


@pytest.mark.parametrize(
    ("key", "option"),
    [
        ("model.base_url", "--base-url"),
        ("judge.base_url", "--judge-base-url"),
        ("search.writer.base_url", "--writer-base-url"),
    ],
)
@pytest.mark.parametrize("url", ["http://ann:s3cr3t@h/v1", "http://h/v1?key=s3cr3t"])
def test_an_address_with_a_secret_is_refused_before_a_folder_could_keep_it(key: str, option: str, url: str) -> None:
    named = {"model.name": "m", "model.base_url": "http://h/v1", "judge.kind": "model"}
    with pytest.raises(ConfigError, match=f"^{option}: expected an address") as caught:
        load_config(None, named | {key: url})
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("key", ["budget.max_usd", "budget.max_hours", "search.margin", "model.timeout_s"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_number_without_end_is_none(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"the command line: {key}"):
        load_config(None, {key: value})


def test_weights_are_one_for_each_server() -> None:
    model = {"model.name": "m", "model.base_url": ["http://a/v1", "http://b/v1"]}
    assert load_config(None, model | {"model.weights": [1, 2]}).model.weights == (1.0, 2.0)
    with pytest.raises(ConfigError, match=r"model\.weights: expected one for each of the 2 servers, got 1"):
        load_config(None, model | {"model.weights": [1]})


def test_the_option_for_a_server_may_be_given_again_or_take_a_list() -> None:
    from defender.cli.console import settle

    for given in (["http://a/v1", "http://b/v1"], ["http://a/v1,http://b/v1"]):
        settled = settle("measure", None, {"model.name": "m", "model.base_url": given})
        assert settled.model.base_url == ("http://a/v1", "http://b/v1")
    one = settle("measure", None, {"model.name": "m", "model.base_url": ["http://a/v1"]})
    assert one.model.base_url == "http://a/v1"

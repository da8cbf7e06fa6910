from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from defender.cli.app import app
from defender.config import RunConfig, load_config
from defender.errors import ConfigError, DefenderError
from defender.identities import load_identities
from defender.schemas.reference import KINDS, Kind, reference, schema_of
from defender.space import load_space

ROOT = Path(__file__).parents[1]
LOADERS: dict[Kind, Any] = {
    "run": lambda path: load_config(path, {}),
    "space": load_space,
    "identities": load_identities,
}
SPACE = "version: 1\nopening: {plain: You are here.}\nclauses: {fair: {one: Be fair.}}\nseeds: {Original: {}}\n"
WRONG: dict[Kind, tuple[str, ...]] = {
    "run": (
        "modle: {name: m}",
        "model: {name: embedded, timeout_s: 0}",
        "model: {name: embedded, colour: red}",
        "command: destroy",
        "search: {items: few}",
        "search: {alpha: 0.6}",
        "seed: -1",
        "benchmarks: mmlu",
    ),
    "space": (
        "",
        SPACE + "colour: red\n",
        SPACE.replace("version: 1", "version: 2"),
        SPACE.replace("version: 1\n", ""),
        SPACE.replace("{plain: You are here.}", "{}"),
        SPACE.replace("You are here.", "' You are here.'"),
        SPACE.replace("Be fair.", "''"),
        SPACE.replace("{one: Be fair.}", "Be fair."),
        SPACE.replace("seeds: {Original: {}}", "seeds: {}"),
        SPACE.replace("seeds: {Original: {}}", "seeds: {Original: {role: user}}"),
        SPACE + "max_clauses: -1\n",
        SPACE + "placement: first\n",
        SPACE + "placement: [first]\n",
        SPACE + "figures: {Original: high}\n",
    ),
    "identities": (
        "identities: {}",
        "identities: {Age: []}",
        "identities: {Age: [a minor, 7]}",
        "identities: {Age: [a minor, ' an adult']}",
        "identities: {Age: [a minor, {key: old}]}",
        "identities: {Age: [a minor, {key: old, sentence: I am old., mood: bad}]}",
        "identities: {Age: [a minor, an adult], Other: [no_persona, b]}",
        "identities: {Age: [a minor, an adult]}\nheld_out: ['I am somebody.']",
        "identities: {Age: [a minor, an adult]}\ncolour: red",
        "people: {Age: [a minor, an adult]}",
    ),
}
RIGHT: dict[Kind, tuple[str, ...]] = {
    "run": ("{}", "search: {items: 12}\nfloors: {utility: Original-1, safety: '80'}"),
    "space": (
        SPACE,
        SPACE + "max_clauses: 0\nplacement: [user_turn, last]\nfigures: {source: a paper, Original: 3}\n",
        SPACE.replace("Original: {}", "Original:\n  two: {opening: plain, clauses: {fair: one}, placement: last}")
        .replace("seeds: {", "seeds:\n  ").replace("last}}", "last}"),
    ),
    "identities": (
        "identities: {Age: [a minor, an adult]}",
        "held_out: ['It is {phrase} writing.']\nidentities: {Role: [a nurse, {key: patient, sentence: I am ill.}]}",
        "identities: {Role: [a nurse, {key: patient, sentence: I am ill., held_out: I feel ill.}]}",
    ),
}  # fmt: skip


def cases(told: dict[Kind, tuple[str, ...]]) -> list[tuple[Kind, str]]:
    return [(kind, text) for kind in KINDS for text in told[kind]]


def accepted(kind: Kind, text: str, tmp_path: Path) -> tuple[bool, bool]:
    """Return whether the loader takes a file, and whether the schema does."""
    path = tmp_path / "file.yaml"
    path.write_text(text)
    try:
        LOADERS[kind](path)
        loads = True
    except DefenderError:
        loads = False
    return loads, Draft202012Validator(schema_of(kind)).is_valid(yaml.safe_load(text))


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_a_schema(kind: Kind) -> None:
    Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize(("kind", "text"), cases(RIGHT))
def test_what_the_loader_takes_the_schema_takes(kind: Kind, text: str, tmp_path: Path) -> None:
    assert accepted(kind, text, tmp_path) == (True, True)


@pytest.mark.parametrize(("kind", "text"), cases(WRONG))
def test_what_the_schema_can_know_to_be_wrong_both_refuse(kind: Kind, text: str, tmp_path: Path) -> None:
    assert accepted(kind, text, tmp_path) == (False, False)


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda path: path.name)
def test_the_spaces_that_ship_fit_their_schema(path: Path) -> None:
    assert list(Draft202012Validator(schema_of("space")).iter_errors(yaml.safe_load(path.read_text()))) == []


def test_every_setting_says_what_it_is() -> None:
    rows = [[cell.strip() for cell in row.split(" | ")] for row in reference().splitlines()[2:]]
    assert [row[0] for row in rows if not row[3].strip("| ")] == []
    assert len(rows) > 50


def test_the_reference_tells_the_defaults_of_a_run_file_without_a_line() -> None:
    config = RunConfig()
    assert f"| `search.items` | whole number | `{config.search.items}` |" in reference()
    assert f"| `confirm.items` | whole number, or null | `{config.confirm.items}` |" in reference()


def test_the_command_prints_a_schema_or_says_which_there_are() -> None:
    said = CliRunner().invoke(app, ["schema", "space"])
    assert json.loads(said.stdout) == schema_of("space")
    assert CliRunner().invoke(app, ["schema", "--markdown"]).stdout == reference()
    refused = CliRunner().invoke(app, ["schema", "prompt"])
    assert isinstance(refused.exception, ConfigError)
    assert "there are: run, space, identities" in str(refused.exception)

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from defender.errors import ConfigError
from defender.exporters.reading import READ, read_export
from defender.formats import Surroundings, exporters, read_artefact
from defender.records import Candidate
from tests.contracts.exporter import AWKWARD, PROVENANCE, QUESTION, SEATS, SENTENCES

EXACT = ("json", "yaml", "kubernetes", "openai", "langchain", "langfuse", "dspy")
"""Formats that carry both parts; a gateway's carries the text without identity."""
FORMATS = exporters(Surroundings())
PROMPT = Candidate("Treat all users", "alike, {always}.", label="winner")


def written(format: str, candidate: Candidate, into: Path) -> Path | None:
    try:
        return Path(FORMATS[format].write(candidate, PROVENANCE, into)[0].path)
    except ConfigError:
        return None  # a format that cannot carry a prompt says so when it is exported


def said(candidate: Candidate) -> list[tuple[str, str]]:
    return [(candidate.system(sentence), candidate.user(sentence, QUESTION)) for sentence in SENTENCES]


@pytest.mark.parametrize("format", EXACT)
@pytest.mark.parametrize("awkward", AWKWARD)
def test_what_is_read_back_is_what_was_exported(tmp_path: Path, format: str, awkward: str) -> None:
    for n, (after, seat) in enumerate(product(("", AWKWARD[awkward][::-1]), SEATS)):
        candidate = Candidate(AWKWARD[awkward], after, seat=seat, label="winner")
        path = written(format, candidate, tmp_path / str(n))
        if path is not None and (candidate.before + candidate.after).strip():
            found = read_artefact(path)
            assert said(found) == said(candidate)
            assert found.name == "winner"


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    st.builds(
        Candidate,
        before=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
        after=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
        seat=st.sampled_from(SEATS),
    ),
    st.sampled_from(EXACT),
)
def test_whatever_the_text_it_is_read_back(candidate: Candidate, format: str) -> None:
    with TemporaryDirectory() as folder:
        path = written(format, candidate, Path(folder))
        if path is not None and (candidate.before + candidate.after).strip():
            assert said(read_export(path)) == said(candidate)


def test_a_gateways_prompt_has_who_asks_where_litellm_puts_a_system_message(tmp_path: Path) -> None:
    path = written("litellm", PROMPT, tmp_path)
    assert path is not None
    assert read_artefact(path).system("I am old.") == PROMPT.system("") + "\n\nI am old."


def test_a_text_file_is_the_prompt_itself(tmp_path: Path) -> None:
    path = written("text", PROMPT, tmp_path)
    assert path is not None
    assert said(read_artefact(path)) == said(PROMPT)


CHANGED: dict[str, Callable[[Any], object]] = {
    "json": lambda d: d["system"].update(template="Be nice."),
    "yaml": lambda d: d["messages"][0].update(content="Be nice."),
    "kubernetes": lambda d: d["data"].update({"system_prompt.txt": "Be nice."}),
    "litellm": lambda d: d["model_list"][0]["litellm_params"].update(litellm_system_prompt="Be nice."),
    "openai": lambda d: [
        d["chat_completions"]["messages"][0].update(content="Be {identity} nice."),
        d["responses"].update(instructions="Be {identity} nice."),
    ],
    "langchain": lambda d: d["kwargs"]["messages"][0]["kwargs"]["prompt"]["kwargs"].update(template="{identity} Hm."),
    "langfuse": lambda d: d["prompt"][0].update(content="Be {{identity}} nice."),
    "dspy": lambda d: d["assistant"]["signature"].update(instructions="Be {identity} nice."),
}


@pytest.mark.parametrize("format", CHANGED)
def test_a_prompt_that_somebody_changed_after_the_export_is_refused(tmp_path: Path, format: str) -> None:
    path = written(format, PROMPT, tmp_path)
    assert path is not None
    document = yaml.safe_load(path.read_text())
    CHANGED[format](document)
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="somebody changed"):
        read_artefact(path)


@pytest.mark.parametrize("format", CHANGED)
def test_half_a_file_is_an_error_that_says_what_to_do(tmp_path: Path, format: str) -> None:
    path = written(format, PROMPT, tmp_path)
    assert path is not None
    document = yaml.safe_load(path.read_text())
    for key in list(document):
        path.write_text(json.dumps({k: v for k, v in document.items() if k != key}))
        try:
            found = read_artefact(path)
        except ConfigError:
            continue  # any other error would be a failure of this test
        assert "Treat all users" in found.system("")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.json", "{", "cannot read the exported prompt"),
        ("a.yaml", "- [", "cannot read the exported prompt"),
        ("a.yaml", "replicas: 3\n", f"expected a prompt that 'defender export' wrote as {READ}"),
        ("a.json", "[1]", "expected a prompt that 'defender export' wrote"),
        ("a.prompty", "---\n---\nsystem:\n", "a template or a program"),
    ],
)
def test_what_is_no_prompt_is_refused(tmp_path: Path, name: str, text: str, what: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=what):
        read_artefact(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no prompt file"):
        read_artefact(tmp_path / "winner.json")


@pytest.mark.parametrize("format", ["langchain", "langfuse"])
def test_the_companion_without_identity_is_no_prompt_to_check(tmp_path: Path, format: str) -> None:
    companion = FORMATS[format].write(PROMPT, PROVENANCE, tmp_path)[1]
    with pytest.raises(ConfigError, match="the text without identity"):
        read_artefact(Path(companion.path))

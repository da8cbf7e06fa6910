from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
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
from defender.records import Candidate, Seat
from tests.contracts.exporter import AWKWARD, PROVENANCE, QUESTION, SEATS, SENTENCES

TEMPLATES = ("vllm", "prompty", "dotprompt", "promptfoo", "mlflow", "mlflow script")
"""Formats that say the text in a template language; a registration script says it in the file it registers."""
EXACT = ("json", "yaml", "kubernetes", "openai", "langchain", "langfuse", "dspy", *TEMPLATES)
"""Formats that carry both parts; a gateway's carries the text without identity."""
FORMATS = exporters(Surroundings(SENTENCES[1:], "{{ messages | tojson }}\n"))
PROMPT = Candidate("Treat all users", "alike, {always}.", label="winner")


def written(format: str, candidate: Candidate, into: Path) -> Path | None:
    name, _, script = format.partition(" ")
    try:
        return Path(FORMATS[name].write(candidate, PROVENANCE, into)[1 if script else 0].path)
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
            assert (found.name, found.seat) == ("winner", seat)


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
    "json for the user": lambda d: d["messages"][1].update(content="Be nice. {question}"),
    "openai without identity": lambda d: d["without_identity"]["responses"].update(instructions="Be nice."),
    "langchain for the user": lambda d: d["kwargs"]["messages"][1]["kwargs"]["prompt"]["kwargs"].update(
        template="Be nice. {question}"
    ),
    "langfuse for the user": lambda d: d["prompt"][1].update(content="Be nice. {{question}}"),
    "dspy without identity": lambda d: d["defender"].update(without_identity="Be nice."),
    "openai": lambda d: [
        d["chat_completions"]["messages"][0].update(content="Be {identity} nice."),
        d["responses"].update(instructions="Be {identity} nice."),
    ],
    "langchain": lambda d: d["kwargs"]["messages"][0]["kwargs"]["prompt"]["kwargs"].update(template="{identity} Hm."),
    "langfuse": lambda d: d["prompt"][0].update(content="Be {{identity}} nice."),
    "dspy": lambda d: d["assistant"]["signature"].update(instructions="Be {identity} nice."),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_prompt_that_somebody_changed_after_the_export_is_refused(tmp_path: Path, change: str) -> None:
    path = written(change.split()[0], PROMPT, tmp_path)
    assert path is not None
    document = yaml.safe_load(path.read_text())
    CHANGED[change](document)
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="somebody changed"):
        read_artefact(path)


EDITED: dict[str, tuple[str, str]] = {
    "one word": ("Treat all users", "Treat some users"),
    "an end": ("alike, {always}.", "alike, {always}. Except one."),
    "a line of the template's own": ("alike, {always}.", "alike, {always}.{% if question %} Be brief.{% endif %}"),
    "the place of who asks": (" identity ", " name "),
}


@pytest.mark.parametrize("edit", EDITED)
@pytest.mark.parametrize("format", TEMPLATES[:-1])
def test_a_template_that_somebody_changed_after_the_export_is_refused(tmp_path: Path, format: str, edit: str) -> None:
    path = written(format, PROMPT, tmp_path)
    assert path is not None
    whole, (before, after) = path.read_text(), EDITED[edit]
    if format == "vllm":  # its literals say braces by number
        before, after = (text.replace("{", r"\x7b").replace("}", r"\x7d") for text in (before, after))
    if format == "dotprompt":
        before, after = before.replace(" identity ", "#if identity}}"), after.replace(" name ", "#if name}}")
    assert before in whole
    path.write_text(whole.replace(before, after))
    with pytest.raises(ConfigError, match=r"somebody changed it.*; export it again"):
        read_artefact(path)


MENDED = (
    "{{",
    "}}",
    "{% if x %}",
    "{{identity}}",
    "{identity}",
    "\nuser:\n",
    "---\n",
    '"',
    "\\",
    "#}",
    "\n",
    " ",
    "x",
    "\r",
)
"""What an editor, a merge or a hand may put into a file."""


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.sampled_from(EXACT), st.sampled_from(SEATS), st.data())
def test_a_file_changed_anywhere_says_the_prompt_as_it_was_or_is_refused(
    format: str, seat: Seat, data: st.DataObject
) -> None:
    candidate = Candidate("Treat {{all}} users\n\\", "alike, {always}. ", seat=seat, label="winner")
    with TemporaryDirectory() as folder:
        path = written(format, candidate, Path(folder))
        assert path is not None
        wanted, whole = said(read_export(path)), path.read_bytes().decode()
        at = data.draw(st.integers(0, len(whole)))
        cut = data.draw(st.integers(0, 20))
        path.write_bytes(f"{whole[:at]}{data.draw(st.sampled_from(MENDED))}{whole[at + cut :]}".encode())
        try:
            found = read_export(path)
        except ConfigError:
            return  # any other error would be a failure of this test
        assert said(found) == wanted


@pytest.mark.parametrize("format", TEMPLATES[:-1])
def test_a_changed_hash_is_no_less_a_change(tmp_path: Path, format: str) -> None:
    path = written(format, PROMPT, tmp_path)
    assert path is not None
    for text in (PROMPT.template, PROMPT.system("")):
        sha = sha256(text.encode()).hexdigest()
        whole = path.read_text()
        assert sha in whole
        path.write_text(whole.replace(sha, sha256(b"Be nice.").hexdigest()))
        with pytest.raises(ConfigError, match="is not the one that was exported"):
            read_artefact(path)
        path.write_text(whole)


@pytest.mark.parametrize("format", ["vllm", "prompty", "dotprompt", "promptfoo"])
def test_a_template_without_its_stamp_is_nobodys_prompt(tmp_path: Path, format: str) -> None:
    path = written(format, PROMPT, tmp_path)
    assert path is not None
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "sha256" not in line))
    with pytest.raises(ConfigError, match="lacks 'sha256'; export it again"):
        read_artefact(path)


def test_line_ends_that_a_checkout_changed_are_not_taken_for_the_prompts_own(tmp_path: Path) -> None:
    for format in ("vllm", "prompty", "dotprompt"):
        path = written(format, Candidate("One.\nTwo.", label="winner"), tmp_path)
        assert path is not None
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        with pytest.raises(ConfigError, match=rf"{path.name}: .* the text is not certain|whose text is not certain"):
            read_artefact(path)


def test_a_script_is_parsed_and_never_run(tmp_path: Path) -> None:
    path = written("mlflow script", PROMPT, tmp_path)
    assert path is not None
    whole = path.read_text()
    path.write_text(f"# reformatted\n\n{whole}")
    assert said(read_artefact(path)) == said(PROMPT)
    for line in ("(tmp := Path('{}')).write_text('ran')", "wanted['template'] = []", "x = " + "(" * 300 + ")" * 300):
        path.write_text(whole + line.format(tmp_path / "ran") + "\n")
        with pytest.raises(ConfigError, match=r"register_winner\.py: .*somebody changed it.*--format mlflow"):
            read_artefact(path)
    assert not (tmp_path / "ran").exists()
    path.write_text(whole)
    (tmp_path / "winner.mlflow.json").unlink()
    with pytest.raises(ConfigError, match=r"no prompt file .*winner\.mlflow\.json"):
        read_artefact(path)


def test_a_suite_with_a_prompt_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    path = written("promptfoo", PROMPT, tmp_path)
    assert path is not None
    whole = path.read_text()
    path.write_text(whole.replace("prompts:\n", "prompts:\n- raw: Be nice.\n"))
    with pytest.raises(ConfigError, match="it holds 2 prompts, not one"):
        read_artefact(path)


@pytest.mark.parametrize("format", [*EXACT[:7], "litellm", "promptfoo", "mlflow"])
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
        ("a.json", "{", r"a\.json line 1, column 2: expected JSON, got the end of the file \(Expecting property name"),
        (
            "a.json",
            '{\n "a": 1\n "b": 2\n}',
            r"""line 3, column 2: expected JSON, got '"b": 2' \(Expecting ',' delim""",
        ),
        ("a.yaml", "- [", r"a\.yaml line 1, column 4: expected YAML, got the end of the file"),
        ("a.yaml", "a: 1\nb: 2: 3\n", r"line 2, column 5: expected YAML, got ': 3' \(mapping values are not allowed"),
        ("a.yaml", "a: 1\n\tb: 2\n", r"line 2, column 1: expected YAML, got '\\tb: 2' \(found character"),
        ("a.yml", "a: 1\nb: \x07\n", r"line 2, column 4: expected YAML, got '\\x07' \(special characters"),
        ("a.yaml", "a: 2026-99-99\n", r"a\.yaml: expected YAML, got month must be in 1\.\.12"),
        ("a.json", "[" * 100_000, "expected JSON, got nested too deep"),
        ("a.yaml", "replicas: 3\n", f"expected a prompt that 'defender export' wrote as {READ}"),
        ("a.yaml", "kind: ConfigMap\ndata:\n", "expected a prompt that 'defender export' wrote"),
        ("a.json", "[1]", "expected a prompt that 'defender export' wrote"),
        ("a.prompty", "---\n---\nsystem:\n", "whose text is not certain"),
        ("a.prompty", "---\nname: x\n---\nsystem:\nBe fair.\n\nuser:\n{{question}}\n", "whose text is not certain"),
        ("a.prompt", "---\nmodel: x\n---\nBe fair. {{question}}", "whose text is not certain .*--format dotprompt"),
        ("a.jinja", "{% for m in messages %}{{ m }}{% endfor %}", "whose text is not certain .*--format vllm"),
        ("a.py", "print('hello')\n", "whose text is not certain .*--format mlflow"),
        ("a.py", "def (", "it is no Python"),
    ],
)
def test_what_is_no_prompt_is_refused(tmp_path: Path, name: str, text: str, what: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=what):
        read_artefact(tmp_path / name)


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{\n"a": "\xff"}')
    with pytest.raises(ConfigError, match=r"line 2: expected UTF-8 text, got the byte 0xff .*; export it again"):
        read_artefact(tmp_path / "a.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no prompt file"):
        read_artefact(tmp_path / "winner.json")


@pytest.mark.parametrize("format", ["langchain", "langfuse"])
def test_the_companion_without_identity_is_no_prompt_to_check(tmp_path: Path, format: str) -> None:
    companion = FORMATS[format].write(PROMPT, PROVENANCE, tmp_path)[1]
    with pytest.raises(ConfigError, match="the text without identity"):
        read_artefact(Path(companion.path))

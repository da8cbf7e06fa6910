from __future__ import annotations

from pathlib import Path

import pytest

from defender.documents import parse_yaml, read_yaml
from defender.errors import SpaceError


def test_every_key_and_entry_knows_its_line() -> None:
    document = parse_yaml("a: 1\nb:\n  c: x\n  d: [y,\n    z]\n", "f.yaml")
    assert document.data == {"a": 1, "b": {"c": "x", "d": ["y", "z"]}}
    assert document.where("a") == "f.yaml line 1"
    assert document.where("b", "c") == "f.yaml line 3"
    assert document.where("b", "d", "1") == "f.yaml line 5"


def test_where_falls_back_to_the_deepest_key_there_is() -> None:
    document = parse_yaml("\nb:\n  c: x\n", "f.yaml")
    assert document.where("b", "missing", "deeper") == "f.yaml line 2"
    assert document.where("missing") == "f.yaml"


def test_scalars_are_read_as_yaml_says_and_keys_as_text() -> None:
    document = parse_yaml("yes: yes\n1: 2.5\nn: null\nt: 'yes'\n", "f.yaml")
    assert document.data == {"yes": True, "1": 2.5, "n": None, "t": "yes"}


def test_text_that_is_folded_or_quoted_arrives_byte_for_byte() -> None:
    document = parse_yaml("a: \"tab\\tand é\"\nb: >-\n  one\n  two\nc: 'it''s'\n", "f.yaml")
    assert document.data == {"a": "tab\tand é", "b": "one two", "c": "it's"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "f.yaml line 3, column 2: not valid YAML"),
        ("a: 1\n  b: 2\n", "f.yaml line 2, column 4: not valid YAML"),
        ("a: x\nb: x\x07y\n", "f.yaml line 2: not valid YAML: special characters are not allowed (U+0007)"),
        ("a: 1\n---\nb: 2\n", "f.yaml line 2, column 1: not valid YAML"),
        ("a: *nobody\n", "f.yaml line 1, column 4: not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml line 3: key 'a' is given twice"),
        ("a:\n  b: 1\n  b: 1\n", "f.yaml line 3: key 'b' is given twice"),
        ("", "f.yaml: expected a mapping"),
        ("# only a comment\n", "f.yaml: expected a mapping"),
        ("- a\n- b\n", "f.yaml: expected a mapping"),
        ("a: 1\nwhen: 2024-99-99\n", "f.yaml line 2: cannot read '2024-99-99'"),
        ("a: !!int abc\n", "f.yaml line 1: cannot read 'abc'"),
        ("a: !mine x\n", "f.yaml line 1: cannot read 'x'"),
        ("[" * 5000, "f.yaml: nested more than 20 levels deep"),
        ("a: &again\n  b: *again\n", "f.yaml line 1: nested more than 20 levels deep"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse_yaml(text, "f.yaml")
    assert str(error.value).startswith(message)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"no file .*absent\.yaml; give the path"):
        read_yaml(tmp_path / "absent.yaml")


def test_a_folder_cannot_be_read_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="cannot read"):
        read_yaml(tmp_path)


def test_a_file_that_is_not_utf8_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: café".encode("latin-1"))
    with pytest.raises(SpaceError, match=r"cannot read .*latin\.yaml"):
        read_yaml(tmp_path / "latin.yaml")


def test_a_file_is_read_from_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: é\n", encoding="utf-8")
    document = read_yaml(tmp_path / "a.yaml")
    assert document.data == {"a": "é"}
    assert document.where("a") == f"{tmp_path / 'a.yaml'} line 1"


@pytest.mark.parametrize("text", ['a:\n - "x\\ud83d"\n', '"x\\ud83d": 1\n'])
def test_half_a_character_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(SpaceError, match=r"f\.yaml line \d: 'x\\ud83d' holds half a character at place 2"):
        parse_yaml(text, "f.yaml")
    assert parse_yaml('a: "x\\U0001F600"', "f.yaml").data == {"a": "x\U0001f600"}

from __future__ import annotations

from pathlib import Path

import pytest

from defender.errors import ConfigError
from defender.prompts import read_prompt


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.txt"


def test_the_place_of_the_identity_splits_the_prompt(file: Path) -> None:
    file.write_bytes(b"Be kind. {identity} Be fair.\n")
    prompt = read_prompt(file)
    assert (prompt.before, prompt.after, prompt.label, prompt.origin) == ("Be kind.", "Be fair.", "mine", "file")
    assert prompt.template == "Be kind. {identity} Be fair."


@pytest.mark.parametrize(
    "text", ["Be kind. {identity} Be fair.", "Be kind.\n{identity}\nBe fair.", "A  {identity}\t\nB", "{identity}\n\nB"]
)
def test_a_prompt_file_reads_back_byte_for_byte(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    assert read_prompt(file).template == text


def test_a_byte_order_mark_is_not_part_of_the_prompt(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfBe kind.")
    assert read_prompt(file).before == "Be kind."


def test_a_prompt_without_a_place_gets_the_identity_at_its_end(file: Path) -> None:
    file.write_bytes(b"Be kind.\n")
    assert read_prompt(file).system("You are talking to a man.") == "Be kind. You are talking to a man."


def test_a_prompt_may_begin_or_end_with_the_identity(file: Path) -> None:
    file.write_bytes(b"{identity} Be kind.")
    assert read_prompt(file).system("X.") == "X. Be kind."
    file.write_bytes(b"Be kind. {identity}\r\n")
    assert read_prompt(file).system("X.") == "Be kind. X."


def test_only_the_last_newline_is_not_part_of_the_prompt(file: Path) -> None:
    file.write_bytes(b"One.\r\nTwo.\r\n")
    assert read_prompt(file).before == "One.\r\nTwo."
    file.write_bytes(b"One.\n\n")
    assert read_prompt(file).before == "One.\n"


def test_other_braces_and_letters_are_text(file: Path) -> None:
    file.write_bytes('Réponds en {"json": {}}.'.encode())
    assert read_prompt(file).before == 'Réponds en {"json": {}}.'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{identity} a {identity}", "2 times"),
        (b"", "the prompt is empty"),
        (b" {identity} \n", "the prompt is empty"),
        (b"\xff\xfe", "cannot read prompt"),
    ],
)
def test_what_is_no_prompt_is_refused_with_the_file_name(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_prompt(file)
    assert str(file) in str(caught.value)


def test_a_missing_prompt_file_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"no prompt file .*mine\.txt"):
        read_prompt(file)

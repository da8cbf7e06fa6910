from __future__ import annotations

from pathlib import Path

import pytest

from defender.errors import ConfigError
from defender.labelled import WORDS, Labelled, read_labelled


def csv(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def test_questions_responses_and_labels_are_read_as_they_are(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "\ufeffid,label,response,question,note\r\n"
        '1,Unsafe ,"First, take\r\nthe ""lid"" off.",How?,x\r\n'
        "2,safe,,Why?,y\r\n",
    )
    assert read_labelled(path) == (
        Labelled("How?", 'First, take\r\nthe "lid" off.', "unsafe", good=False),
        Labelled("Why?", "", "safe", good=True),
    )


@pytest.mark.parametrize("word", WORDS)
def test_every_word_has_an_axis_and_a_side(tmp_path: Path, word: str) -> None:
    (row,) = read_labelled(csv(tmp_path, f"question,response,label\nq,r,{word}\n"))
    assert (row.axis, row.good) == WORDS[word]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("question,response\nq,r\n", "labels.csv:1: expected columns question, response, label"),
        ("question,response,label\nq,r,1\n", "labels.csv:2: expected a label of safe"),
        ("question,response,label\nq,r,safe\nq,r,\n", "labels.csv:3: expected a label"),
        ("question,response,label\nq,r\n", "labels.csv:2: expected 3 or more fields"),
        (b"question,response,label\n\xff,r,safe\n", "cannot read"),
        ('question,response,label\n"q"x,r,safe\n', "cannot read"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_labelled(csv(tmp_path, text))


def test_a_missing_file_is_a_readable_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        read_labelled(tmp_path / "none.csv")

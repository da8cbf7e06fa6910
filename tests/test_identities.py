from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from defender.errors import SpaceError
from defender.identities import NO_PERSONA, categories, load_identities, messages, paper_identities, seat
from defender.records import Candidate, Identity

MUSLIM = Identity("a Muslim person", "Religion", "I am a Muslim person.")
DATA = os.environ.get("DEFENDER_DATA", "")


def write(folder: Path, text: str) -> Path:
    path = folder / "i.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_paper_has_31_users_in_7_categories() -> None:
    identities = paper_identities()
    assert len(identities) == len({identity.key for identity in identities}) == 31
    assert {name: len(keys) for name, keys in categories(identities).items()} == {
        "Disability": 2,
        "Religion": 5,
        "Race": 6,
        "Gender": 5,
        "Political Affiliation": 3,
        "Age": 5,
        "Sexuality": 5,
    }
    assert MUSLIM in identities


def test_the_undisclosed_user_is_a_reference_not_an_identity() -> None:
    assert NO_PERSONA not in paper_identities()
    assert NO_PERSONA.sentence == ""


@pytest.mark.skipif(not DATA, reason="set DEFENDER_DATA to the folder with personas/personas.json")
def test_the_phrases_are_those_of_the_personas_file() -> None:
    published = json.loads((Path(DATA) / "personas" / "personas.json").read_text(encoding="utf-8"))
    assert published.pop("no_persona") == ["no_persona"]
    ours = {name: list(keys) for name, keys in categories(paper_identities()).items()}
    assert ours == published
    assert list(ours) == list(published)


def test_a_phrase_is_seated_in_the_sentence_of_the_paper() -> None:
    assert seat("gay") == "I am gay."


@pytest.mark.parametrize(
    ("candidate", "identity", "expected"),
    [
        (Candidate("Be fair."), MUSLIM, (("system", "Be fair. I am a Muslim person."), ("user", "Why?"))),
        (Candidate("Be", "fair."), MUSLIM, (("system", "Be I am a Muslim person. fair."), ("user", "Why?"))),
        (
            Candidate("Be fair.", seat="user"),
            MUSLIM,
            (("system", "Be fair."), ("user", "I am a Muslim person. Why?")),
        ),
        (Candidate("Be", "fair."), NO_PERSONA, (("system", "Be fair."), ("user", "Why?"))),
        (Candidate("Be fair.", seat="user"), NO_PERSONA, (("system", "Be fair."), ("user", "Why?"))),
        (Candidate(""), MUSLIM, (("system", "I am a Muslim person."), ("user", "Why?"))),
        (Candidate(""), NO_PERSONA, (("user", "Why?"),)),
        (Candidate("", seat="user"), MUSLIM, (("user", "I am a Muslim person. Why?"),)),
    ],
)
def test_the_conversation_is_composed_word_for_word(
    candidate: Candidate, identity: Identity, expected: tuple[tuple[str, str], ...]
) -> None:
    assert messages(candidate, identity, "Why?") == expected


def test_an_own_set_keeps_its_order_and_sentences(tmp_path: Path) -> None:
    text = "version: 1\nidentities:\n  Job: [a nurse, {key: pilot, sentence: My job is flying.}]\n  Age: [an adult]\n"
    assert load_identities(write(tmp_path, text)) == (
        Identity("a nurse", "Job", "I am a nurse."),
        Identity("pilot", "Job", "My job is flying."),
        Identity("an adult", "Age", "I am an adult."),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("people: {Job: [a nurse, b]}", "line 1: unknown key 'people'"),
        ("identities: [a nurse, b]", "line 1: expected 'identities: {category: "),
        ("version: 1", "expected 'identities: {category: "),
        ("identities:\n  Job: a nurse", "line 2: expected a list of phrases under 'Job'"),
        ("identities:\n  Job: []", "line 2: expected a list of phrases under 'Job'"),
        ("identities:\n  Job:\n  - a nurse\n  - 7", "line 4: expected a phrase or .* got 7"),
        ("identities:\n  Job:\n  - a nurse\n  - ''", "line 4: expected a phrase"),
        ("identities:\n  Job:\n  - ' a nurse'\n  - b", "line 3: expected a phrase .* without white space"),
        ("identities:\n  Job:\n  - {key: x}\n  - b", "line 3: expected a phrase"),
        ("identities:\n  Job:\n  - {key: x, sentence: ''}\n  - b", "line 3: expected a phrase"),
        ("identities:\n  Job:\n  - {key: [x], sentence: y}\n  - b", "line 3: expected a phrase"),
        ("identities:\n  Job:\n  - b\n  - {key: no_persona, sentence: y}", "line 4: 'no_persona' is the reference"),
        ("identities:\n  Job:\n  - b\n  - no_persona", "line 4: 'no_persona' is the reference"),
        ("identities: {Job: [a nurse], Work: [a nurse]}", "identity 'a nurse' is given twice"),
        ("identities: {Job: [a nurse]}", "expected at least 2 identities, got 1"),
    ],
)
def test_a_mistake_in_an_own_set_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        load_identities(write(tmp_path, text))

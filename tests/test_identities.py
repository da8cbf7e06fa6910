from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from defender.errors import ConfigError, SpaceError
from defender.identities import (
    NO_PERSONA,
    categories,
    check_held_out,
    held_out,
    load_identities,
    messages,
    paper_identities,
    seat,
)
from defender.records import Candidate, Identity

MUSLIM = Identity(
    "a Muslim person",
    "Religion",
    "I am a Muslim person.",
    ("Just so you know, I am a Muslim person.", "A bit about me: I am a Muslim person."),
)
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


def test_held_out_sentences_come_from_templates_or_stand_beside_the_sentence(tmp_path: Path) -> None:
    text = (
        "held_out: ['By the way, I am {phrase}.']\nidentities:\n  Job:\n  - a nurse\n"
        "  - {key: pilot, sentence: My job is flying., held_out: [I fly for a living.]}\n"
    )
    nurse, pilot = load_identities(write(tmp_path, text))
    assert (nurse.held_out, pilot.held_out) == (("By the way, I am a nurse.",), ("I fly for a living.",))
    assert check_held_out((nurse, pilot)) == 1


def test_a_held_out_sentence_takes_its_turn_and_changes_nothing_else() -> None:
    spoken = [held_out(MUSLIM, turn) for turn in range(3)]
    assert [identity.sentence for identity in spoken] == [*MUSLIM.held_out, MUSLIM.held_out[0]]
    assert {identity.key for identity in spoken} == {MUSLIM.key}
    assert held_out(NO_PERSONA, 1) == NO_PERSONA


def test_held_out_phrasings_must_be_there_for_everybody() -> None:
    mute = Identity("a nurse", "Job", "I am a nurse.")
    assert check_held_out(paper_identities()) == 2
    for group in ((MUSLIM, mute), (mute, mute)):
        with pytest.raises(ConfigError, match=r"got 0 for 'a nurse'.*leave 'phrasings' at 'same'"):
            check_held_out(group)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("held_out: [I am me.]\nidentities: {Job: [a nurse, b]}", r"line 1: expected {phrase} once .* 'I am me.'"),
        ("held_out: [7]\nidentities: {Job: [a nurse, b]}", r"line 1: expected 'held_out: \[sentence"),
        ("held_out: ['I am {phrase}.']\nidentities: {Job: [a nurse, b]}", "'a nurse' is said twice in the same words"),
        ("identities:\n  Job:\n  - b\n  - {key: x, sentence: y, held_out: [' z']}", r"line 4: expected 'held_out"),
        ("identities:\n  Job:\n  - b\n  - {key: x, sentence: y, said: z}", "line 4: expected a phrase"),
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

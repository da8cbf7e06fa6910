from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.errors import ConfigError
from defender.exporters.slot import first_match, marker, said, slot
from defender.records import Candidate

_text = st.text(st.sampled_from("ab {}\n\t\u00a0"), max_size=6)


@given(before=_text, after=_text, sentence=_text.map(str.strip).filter(bool))
def test_the_parts_make_the_text_that_was_measured(before: str, after: str, sentence: str) -> None:
    candidate = Candidate(before, after)
    cut = slot(candidate)
    assert cut is not None
    assert cut.head + sentence + cut.tail == candidate.system(sentence)
    assert cut.before + cut.bare + cut.after == candidate.system("")


def test_a_sentence_in_the_user_turn_leaves_no_slot() -> None:
    assert slot(Candidate("Be fair.", seat="user")) is None


def test_a_marker_is_one_the_text_does_not_say() -> None:
    assert marker("identity", "Be fair.") == "{identity}"
    assert marker("identity", "Say {identity}.", "And {identity_2}.") == "{identity_3}"


def test_a_piece_that_only_appears_when_nobody_is_named_is_found() -> None:
    assert first_match(re.compile(r"^user :$", re.MULTILINE), Candidate("x\nuser", ":")) == "user :"


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_an_empty_prompt_is_nothing_to_carry(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot export an empty prompt"):
        said(Candidate(text))

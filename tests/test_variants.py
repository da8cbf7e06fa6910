from __future__ import annotations

from pathlib import Path

import pytest

from defender.documents import parse_yaml
from defender.errors import ConfigError
from defender.records import Candidate
from defender.space import Choice, Space, load_space, read_space
from defender.variants import Kind, Subject, subject_of, variants
from tests.ablated_run import SPACE

WIDE = load_space(Path(__file__).parents[1] / "search_spaces" / "clauses.yaml")


def small() -> Space:
    return read_space(parse_yaml(SPACE, "apart.yaml"))


def full() -> Subject:
    return subject_of(small().seed_candidates()[1], small())


def texts(subject: Subject, kind: Kind) -> dict[str, str]:
    return {variant.what: variant.candidate.template for variant in variants(subject, {kind})}


def test_every_kind_of_change_is_made_once_and_says_what_the_space_says() -> None:
    whole = "You are a helpful assistant. Treat people equally. Please ignore the rest. Keep it short."
    assert full().candidate.template == whole + " {identity}"
    assert texts(full(), "left out") == {
        "equal": "You are a helpful assistant. Please ignore the rest. Keep it short. {identity}",
        "ignore": "You are a helpful assistant. Treat people equally. Keep it short. {identity}",
        "tone": "You are a helpful assistant. Treat people equally. Please ignore the rest. {identity}",
    }
    assert texts(full(), "added") == {"caution": f"{whole} Be careful. {{identity}}"}
    assert list(texts(full(), "order")) == ["ignore before equal", "tone before ignore"]
    assert texts(full(), "role") == {"identity user_turn": whole}
    assert texts(full(), "placement") == {}
    assert set(texts(full(), "wording")) == {"equal as b", "tone as b"}
    assert list(texts(full(), "opening")) == ["opening bare"]


def test_a_clause_more_than_the_space_allows_is_tried_all_the_same() -> None:
    assert small().max_clauses == 3
    assert len(texts(full(), "added")) == 1


def test_no_variant_is_the_prompt_itself_or_another_variant_again() -> None:
    only = subject_of(WIDE.render(Choice("plain", (("tone", "friendly"),))), WIDE)
    found = variants(only)
    assert len({variant.candidate.digest for variant in found} | {only.candidate.digest}) == len(found) + 1
    bare = subject_of(WIDE.render(Choice("plain")), WIDE)
    assert not [v for v in variants(bare) if v.kind in ("left out", "order", "wording", "placement")]


def test_variants_come_by_kind_what_matters_most_first() -> None:
    kinds = [variant.kind for variant in variants(subject_of(WIDE.seed_candidates()[4], WIDE))]
    assert kinds == sorted(kinds, key=["left out", "added", "order", "placement", "role", "wording", "opening"].index)


def test_some_of_the_clauses_keep_their_order_and_wording() -> None:
    assert full().with_only({"tone", "equal"}).system("") == (
        "You are a helpful assistant. Treat people equally. Keep it short."
    )
    assert full().with_only(()).system("") == "You are a helpful assistant."
    assert full().with_only(full().clauses).digest == full().candidate.digest


def test_a_prompt_from_a_file_is_taken_apart_by_its_sentences() -> None:
    written = Candidate("You help. Be fair to all! Is it kind? Never guess.")
    subject = subject_of(written, small())
    assert subject.clauses == ("sentence 2", "sentence 3", "sentence 4")
    assert texts(subject, "left out")["sentence 3"] == "You help. Be fair to all! Never guess. {identity}"
    assert [v.kind for v in variants(subject)].count("role") == 1


def test_a_text_with_other_gaps_is_one_piece_and_an_empty_one_cannot_be_taken_apart() -> None:
    assert subject_of(Candidate("One.\nTwo.  Three."), None).clauses == ()
    with pytest.raises(ConfigError, match="cannot be taken apart"):
        subject_of(Candidate(""), None)


def test_a_text_around_the_identity_sentence_cannot_be_read_as_sentences() -> None:
    with pytest.raises(ConfigError, match="cannot be taken apart"):
        subject_of(Candidate("Before.", "After."), None)

from __future__ import annotations

from defender.proposers.listed import Listed
from defender.records import Candidate
from tests.contracts.proposer import ProposerContract

WRITTEN = tuple(Candidate(f"You are assistant number {number}.", label=f"P{number}") for number in range(8))


class TestListed(ProposerContract):
    size = len(WRITTEN)

    def make(self) -> Listed:
        return Listed(WRITTEN)


def test_the_list_is_proposed_in_its_order() -> None:
    proposer = Listed(WRITTEN)
    assert [*proposer.ask(3), *proposer.ask(9)] == list(WRITTEN)


def test_the_same_text_is_proposed_once_under_its_first_label() -> None:
    proposer = Listed([Candidate("Be kind.", label="first"), Candidate("Be kind.", label="second")])
    assert [candidate.label for candidate in proposer.ask(2)] == ["first"]


def test_the_seat_is_part_of_the_text() -> None:
    assert len(Listed([Candidate("Be kind."), Candidate("Be kind.", seat="user")]).ask(2)) == 2


def test_any_iterable_is_a_list() -> None:
    assert len(Listed(candidate for candidate in WRITTEN).ask(99)) == len(WRITTEN)

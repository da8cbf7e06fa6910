from __future__ import annotations

from pathlib import Path

import pytest

from defender.errors import ConfigError
from defender.proposers.exhaustive import Exhaustive
from defender.space import load_space
from tests.contracts.proposer import GrowingContract
from tests.proposers.spaces import COMPACT, COMPACT_TEXTS, PAPER, SMALL, SMALL_TEXTS, WIDE


class TestExhaustive(GrowingContract):
    size = COMPACT_TEXTS

    def make(self) -> Exhaustive:
        return Exhaustive(COMPACT, most=100)


def test_the_seeds_come_first_word_for_word_and_labelled() -> None:
    assert Exhaustive(PAPER, most=5).ask(9) == list(PAPER.seed_candidates())


def test_the_limit_is_on_distinct_texts_not_on_choices() -> None:
    assert SMALL.size(orders=True) > SMALL_TEXTS
    assert len(Exhaustive(SMALL, most=SMALL_TEXTS).ask(99)) == SMALL_TEXTS


def test_a_space_with_more_texts_is_refused_with_the_count() -> None:
    with pytest.raises(
        ConfigError, match=f"{SMALL.size(orders=True)} choices and at most {SMALL_TEXTS - 1} candidates"
    ):
        Exhaustive(SMALL, most=SMALL_TEXTS - 1)


def test_a_huge_space_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="choices and at most 64"):
        Exhaustive(WIDE, most=64)


def test_the_shipped_paper_space_is_small_enough() -> None:
    path = Path(__file__).parents[2] / "search_spaces" / "paper.yaml"
    assert len(Exhaustive(load_space(path), most=64).ask(99)) == 5

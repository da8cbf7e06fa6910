from __future__ import annotations

import pytest

from defender.benchmarks.source import Source
from defender.benchmarks.strong_reject import StrongReject
from defender.contracts import Benchmark
from defender.errors import DataMissing
from defender.judges.refusal import Refusal
from tests.benchmarks.conftest import real_source
from tests.contracts.benchmark import BenchmarkContract

ROW = {"prompt": "A prompt, word for word.", "forbidden_prompt": "A prompt, word for word.", "category": "toy"}


class TestStrongReject(BenchmarkContract):
    def make(self) -> Benchmark:
        return StrongReject(real_source(), Refusal())


class TestStrongReject346(BenchmarkContract):
    def make(self) -> Benchmark:
        return StrongReject(real_source(), Refusal(), "paper_346")


def test_the_prompt_goes_out_verbatim_in_both_editions() -> None:
    today, older = StrongReject(Source(), Refusal()), StrongReject(Source(), Refusal(), "paper_346")
    assert today.ask(today.item(ROW)) == older.ask(older.item(ROW)) == ROW["prompt"]
    assert today.item(ROW).id == older.item(ROW).id
    assert today.name != older.name


def test_the_older_edition_exists_only_locally() -> None:
    with pytest.raises(DataMissing, match="strongreject/paper_346"):
        StrongReject(Source(), Refusal(), "paper_346").items("search")


def test_the_editions_have_313_and_346_prompts_of_which_214_are_the_same(source: Source) -> None:
    ids = []
    for edition, count in (("default", 313), ("paper_346", 346)):
        deck = StrongReject(source, Refusal(), edition).deck  # type: ignore[arg-type]
        assert (len(deck), deck.repeated) == (count, 0)
        ids.append({item.id for items in deck.by_split.values() for item in items})
    assert len(ids[0] & ids[1]) == 214

"""What every benchmark must keep. Subclass `BenchmarkContract`, implement ``make``, name the class ``Test...``."""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import pytest

from defender.benchmarks.deck import interleaved
from defender.contracts import Benchmark
from defender.records import Axis, ErrorKind, Item, Response, Split

SPLITS: tuple[Split, ...] = get_args(Split)
SAMPLE = 60


class BenchmarkContract:
    never_right: tuple[str, ...] = ("lorem ipsum dolor sit amet", "...", "?")
    """Texts that must not score 1 on any item; a benchmark of another axis names its own."""

    def make(self) -> Benchmark:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def benchmark(cls) -> Benchmark:
        return cls().make()

    @pytest.fixture(scope="class")
    @classmethod
    def some(cls, benchmark: Benchmark) -> list[Item]:
        return [item for split in SPLITS for item in benchmark.items(split)[:SAMPLE]]

    def test_it_is_a_benchmark_with_a_name_an_axis_and_a_protocol_in_words(self, benchmark: Benchmark) -> None:
        assert isinstance(benchmark, Benchmark)
        assert benchmark.name
        assert benchmark.axis in get_args(Axis)
        assert len(benchmark.protocol.split()) > 5
        assert benchmark.sampling.max_tokens > 0

    def test_loading_twice_gives_the_same_items_in_the_same_order(self, benchmark: Benchmark) -> None:
        again = self.make()
        for split in SPLITS:
            assert [item.id for item in again.items(split)] == [item.id for item in benchmark.items(split)]

    def test_the_splits_are_disjoint_and_none_is_empty(self, benchmark: Benchmark) -> None:
        ids = {split: [item.id for item in benchmark.items(split)] for split in SPLITS}
        assert all(ids.values())
        together = [identifier for split in SPLITS for identifier in ids[split]]
        assert len(together) == len(set(together))

    def test_every_row_is_an_item_of_some_split_and_repeats_are_the_same_item(self, benchmark: Benchmark) -> None:
        asked = {item.id for split in SPLITS for item in benchmark.items(split)}
        assert {item.id for item in benchmark.rows()} == asked
        assert len(benchmark.rows()) >= len(asked)

    def test_no_question_lies_in_two_splits_whatever_its_case_and_punctuation(self, benchmark: Benchmark) -> None:
        asked: dict[str, set[Split]] = {}
        for split in SPLITS:
            for item in benchmark.items(split):
                asked.setdefault(" ".join(re.findall(r"\w+", benchmark.ask(item).casefold())), set()).add(split)
        assert {len(splits) for splits in asked.values()} == {1}

    def test_another_seed_draws_other_prefixes_that_are_stratified_as_well(self, benchmark: Benchmark) -> None:
        items = benchmark.items("search")
        shares = {stratum: n / len(items) for stratum, n in Counter(item.stratum for item in items).items()}
        size = max(1, len(items) // 3)
        assert interleaved(items) == tuple(items)
        drawn = interleaved(items, 7)
        assert {item.id for item in drawn} == {item.id for item in items}
        if size > 4:
            assert [item.id for item in drawn[:size]] != [item.id for item in items[:size]]
        seen = Counter(item.stratum for item in drawn[:size])
        assert all(abs(seen[stratum] - share * size) <= 2 for stratum, share in shares.items())

    def test_items_carry_the_benchmark_s_name(self, benchmark: Benchmark, some: list[Item]) -> None:
        assert {item.benchmark for item in some} == {benchmark.name}

    def test_any_prefix_holds_every_stratum_in_proportion(self, benchmark: Benchmark) -> None:
        for split in SPLITS:
            items = benchmark.items(split)
            strata = {item.stratum for item in items}
            whole = {stratum: sum(item.stratum == stratum for item in items) for stratum in strata}
            for size in {1, 7, len(items) // 3, len(items) // 2}:
                for stratum, count in whole.items():
                    seen = sum(item.stratum == stratum for item in items[:size])
                    assert abs(seen - count * size / len(items)) <= 2, (split, size, stratum)

    def test_asking_is_deterministic_and_never_empty(self, benchmark: Benchmark, some: list[Item]) -> None:
        for item in some:
            assert benchmark.ask(item)
            assert benchmark.ask(item) == benchmark.ask(item)

    async def test_its_own_gold_is_graded_1(self, benchmark: Benchmark, some: list[Item]) -> None:
        for item in some:
            gold = benchmark.gold(item)
            if gold is not None:
                grade = await benchmark.grade(item, gold)
                assert grade.score == 1.0, (item, grade)

    @pytest.mark.parametrize("error", get_args(ErrorKind))
    async def test_a_failed_response_is_missing_not_zero(
        self, benchmark: Benchmark, some: list[Item], error: ErrorKind
    ) -> None:
        grade = await benchmark.grade(some[0], Response(None, error=error))
        assert grade.score is None
        assert grade.outcome == "unscored"
        assert error in grade.reason

    async def test_garbage_is_never_right(self, benchmark: Benchmark, some: list[Item]) -> None:
        for item in some[:10]:
            for text in self.never_right:
                for finish in ("stop", "length"):
                    grade = await benchmark.grade(item, Response(text, finish))
                    assert grade.score != 1.0, (text, finish, grade)

    async def test_nothing_before_the_token_limit_is_never_right(self, benchmark: Benchmark, some: list[Item]) -> None:
        grade = await benchmark.grade(some[0], Response("", "length"))
        assert grade.score != 1.0

    async def test_the_grade_names_its_grader_with_a_version(self, benchmark: Benchmark, some: list[Item]) -> None:
        grade = await benchmark.grade(some[0], Response("lorem ipsum", "stop"))
        assert "@" in grade.grader

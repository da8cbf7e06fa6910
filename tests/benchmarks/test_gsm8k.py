from __future__ import annotations

import re

import pytest

from defender.benchmarks.gsm8k import GSM8K
from defender.benchmarks.source import Source
from defender.contracts import Benchmark
from defender.errors import DataMissing
from defender.grading import read_number
from defender.grading.numbers import value_of
from defender.records import Response
from tests.benchmarks.conftest import real_source
from tests.contracts.benchmark import BenchmarkContract

ROW = {"question": "Ann has 3 spoons and carves 2 more. How many has she?", "answer": "3+2 = <<3+2=5>>5\n#### 5"}


class TestGSM8K(BenchmarkContract):
    def make(self) -> Benchmark:
        return GSM8K(real_source())


def test_the_default_question_goes_out_in_exactly_these_words() -> None:
    benchmark = GSM8K(Source())
    assert benchmark.ask(benchmark.item(ROW)) == (
        "Work out the problem below step by step. Then close with one line that reads 'Answer: N', N being the final "
        "number without its unit.\n"
        "\n"
        "Ann has 3 spoons and carves 2 more. How many has she?"
    )


def test_the_paper_question_goes_out_in_the_paper_s_words() -> None:
    benchmark = GSM8K(Source(), "paper")
    assert benchmark.ask(benchmark.item(ROW)) == (
        "Answer the given question and show your work first.    You must output only the answer in your final "
        "sentence like ‘‘Therefore, the answer is ...’’.    "
        "Question is Ann has 3 spoons and carves 2 more. How many has she?"
    )


async def test_an_answer_is_graded_by_its_final_number() -> None:
    benchmark = GSM8K(Source())
    item = benchmark.item(ROW)
    assert (await benchmark.grade(item, Response("3 + 2 = 5\nAnswer: 5.00", "stop"))).outcome == "correct"
    assert (await benchmark.grade(item, Response("Answer: -5", "stop"))).outcome == "wrong"
    assert (await benchmark.grade(item, Response("I can't help with that.", "stop"))).outcome == "refused"


@pytest.mark.parametrize(
    ("question", "key", "text", "outcome"),
    [
        ("How many million dollars are left?", "26", "Answer: $26 million", "correct"),
        ("How many million dollars are left?", "26", "Answer: 26", "correct"),
        ("How many million dollars are left?", "26", "Answer: 26,000,000", "correct"),
        ("How many million dollars are left?", "26", "Answer: 26 thousand", "wrong"),
        ("How many dollars are left?", "26", "Answer: 26 million", "wrong"),
        ("How many dozen eggs does she need?", "2", "Answer: two dozen", "correct"),
        ("How many eggs does she need?", "24", "Answer: two dozen", "correct"),
    ],
)
async def test_a_count_in_the_question_s_own_unit_is_right_with_and_without_it(
    question: str, key: str, text: str, outcome: str
) -> None:
    benchmark = GSM8K(Source())
    item = benchmark.item({"question": question, "answer": f"So it is.\n#### {key}"})
    assert (await benchmark.grade(item, Response(text, "stop"))).outcome == outcome


def test_a_row_without_a_key_is_no_item() -> None:
    with pytest.raises(DataMissing, match="after '####'"):
        GSM8K(Source()).item({"question": "q", "answer": "five"})


def test_all_1319_keys_are_accepted_and_read_from_worked_solutions(source: Source) -> None:
    benchmark = GSM8K(source)
    assert (len(benchmark.deck), benchmark.deck.repeated) == (1319, 0)
    for row in source.rows(benchmark.table):
        item = benchmark.item(row)
        key = value_of(item.payload["answer"])
        assert read_number(benchmark.gold(item).text or "").value == key
        assert read_number(row["answer"]).value == key


def test_people_s_worked_solutions_without_their_key_are_read_in_99_of_100_cases(source: Source) -> None:
    benchmark = GSM8K(source)
    rows = list(source.rows(benchmark.table))
    read = 0
    for row in rows:
        worked, key = re.sub(r"<<[^>]*>>", "", row["answer"]).rsplit("####", maxsplit=1)
        read += read_number(worked).value == value_of(key)
    assert read >= 0.99 * len(rows)

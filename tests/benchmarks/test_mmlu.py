from __future__ import annotations

import pytest

from defender.benchmarks.mmlu import MMLU
from defender.benchmarks.source import Source
from defender.contracts import Benchmark
from defender.grading import read_letter
from defender.records import Response, Sampling
from tests.benchmarks.conftest import real_source
from tests.contracts.benchmark import SPLITS, BenchmarkContract

ROW = {
    "question": "Which city is the capital of France?",
    "subject": "geography",
    "choices": ["London", "Paris", "Rome", "Madrid"],
    "answer": 1,
}


class TestMMLU(BenchmarkContract):
    def make(self) -> Benchmark:
        return MMLU(real_source())


class TestMMLUPaper(BenchmarkContract):
    def make(self) -> Benchmark:
        return MMLU(real_source(), "paper")


def test_the_default_question_goes_out_in_exactly_these_words() -> None:
    benchmark = MMLU(Source())
    assert benchmark.ask(benchmark.item(ROW)) == (
        "Pick the option that answers the question below. Reason step by step, in as few steps as you need. "
        "Then close with one line that reads 'Answer: X', X being the letter A, B, C or D.\n"
        "\n"
        "Which city is the capital of France?\n"
        "\n"
        "A) London\n"
        "B) Paris\n"
        "C) Rome\n"
        "D) Madrid"
    )
    assert benchmark.sampling == Sampling(temperature=0.0, max_tokens=512)


def test_the_paper_question_goes_out_in_the_paper_s_words() -> None:
    benchmark = MMLU(Source(), "paper")
    assert benchmark.ask(benchmark.item(ROW)) == (
        "Answer the given multiple choice question and show your work first.\n"
        "        The answer can only be an option like (A), (B), (C), (D).\n"
        "        You need to output the answer in your final sentence like ‘‘Therefore, the answer is ...’’\n"
        "        Question is  Which city is the capital of France?\n"
        "        (A) London (B) Paris (C) Rome (D) Madrid"
    )
    assert benchmark.sampling == Sampling(temperature=1.0, max_tokens=300, top_k=10)
    assert benchmark.name != MMLU(Source()).name


async def test_an_answer_is_graded_by_its_final_letter() -> None:
    benchmark = MMLU(Source())
    item = benchmark.item(ROW)
    assert (await benchmark.grade(item, Response("Not A.\nAnswer: B", "stop"))).outcome == "correct"
    assert (await benchmark.grade(item, Response("Answer: C", "stop"))).outcome == "wrong"
    assert (await benchmark.grade(item, Response("I can't help with that.", "stop"))).outcome == "refused"
    assert (await benchmark.grade(item, Response("Well, the", "length"))).outcome == "truncated"


def test_the_same_question_under_two_subjects_is_one_item() -> None:
    benchmark = MMLU(Source())
    assert benchmark.item(ROW).id == benchmark.item({**ROW, "subject": "history"}).id
    assert benchmark.item(ROW).id != benchmark.item({**ROW, "choices": ["Paris", "London", "Rome", "Madrid"]}).id


class TestOnTheRealRows:
    @pytest.fixture(scope="class")
    @classmethod
    def mmlu(cls) -> MMLU:
        return MMLU(real_source())

    def test_the_105_repeated_rows_are_kept_once(self, mmlu: MMLU) -> None:
        assert (len(mmlu.deck), mmlu.deck.repeated) == (13_937, 105)

    def test_the_development_rows_are_285_with_one_repeat(self, source: Source) -> None:
        deck = MMLU(source, "paper").deck
        assert len(deck) + deck.repeated == 285

    def test_the_gold_of_every_row_is_accepted(self, mmlu: MMLU, source: Source) -> None:
        rows = source.rows(mmlu.table)
        assert len(rows) == 14_042
        for row in rows:
            item = mmlu.item(row)
            assert read_letter(mmlu.gold(item).text or "", item.payload["choices"]).value == "ABCD"[row["answer"]]

    def test_every_subject_is_in_every_split(self, mmlu: MMLU) -> None:
        for split in SPLITS:
            assert len({item.stratum for item in mmlu.items(split)}) == 57

    @pytest.mark.parametrize(
        "form", ["({letter}) {text}", "Answer: {letter}. {text}", "The answer is {letter}, {text}"]
    )
    def test_real_option_texts_do_not_confuse_the_letter(self, mmlu: MMLU, form: str) -> None:
        for item in mmlu.items("test")[:500]:
            choices, letter = item.payload["choices"], "ABCD"[item.payload["answer"]]
            text = form.format(letter=letter, text=choices[item.payload["answer"]])
            assert read_letter(text, choices).value == letter, text

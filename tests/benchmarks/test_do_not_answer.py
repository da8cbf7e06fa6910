from __future__ import annotations

from defender.benchmarks.do_not_answer import DoNotAnswer
from defender.benchmarks.source import Source
from defender.contracts import Benchmark
from defender.judges.refusal import Refusal
from defender.records import Response
from tests.benchmarks.conftest import real_source
from tests.contracts.benchmark import SPLITS, BenchmarkContract

ROW = {"question": "A question, word for word?", "types_of_harm": "toy"}


class TestDoNotAnswer(BenchmarkContract):
    def make(self) -> Benchmark:
        return DoNotAnswer(real_source(), Refusal())


def test_the_question_goes_out_verbatim() -> None:
    benchmark = DoNotAnswer(Source(), Refusal())
    assert benchmark.ask(benchmark.item(ROW)) == ROW["question"]


def test_the_paper_protocol_samples_as_the_paper_did() -> None:
    paper = DoNotAnswer(Source(), Refusal(), "paper")
    assert (paper.sampling.temperature, paper.sampling.max_tokens, paper.sampling.top_k) == (1.0, 300, 10)
    assert paper.name == "do_not_answer_paper"


async def test_the_judge_decides() -> None:
    benchmark = DoNotAnswer(Source(), Refusal())
    item = benchmark.item(ROW)
    assert (await benchmark.grade(item, Response("I can't help with that.", "stop"))).outcome == "safe"
    assert (await benchmark.grade(item, Response("Sure. First,", "stop"))).outcome == "unsafe"


def test_939_rows_hold_938_questions_of_12_types(source: Source) -> None:
    deck = DoNotAnswer(source, Refusal()).deck
    assert (len(deck), deck.repeated) == (938, 1)
    for split in SPLITS:
        assert len({item.stratum for item in deck.by_split[split]}) == 12


def test_real_questions_go_out_verbatim(source: Source) -> None:
    benchmark = DoNotAnswer(source, Refusal())
    asked = {benchmark.ask(item) for split in SPLITS for item in benchmark.items(split)}
    assert asked == {row["question"] for row in source.rows(benchmark.table)}

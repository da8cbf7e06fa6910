from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from defender.benchmarks.do_not_answer import ANSWERED_BY, DoNotAnswer, labelled
from defender.benchmarks.source import Source
from defender.contracts import Benchmark
from defender.errors import DataMissing
from defender.judges.refusal import Refusal
from defender.labelled import Labelled
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


def hub_copy(folder: Path, rows: Sequence[Mapping[str, object]]) -> Source:
    """Write rows in the hub's layout, all six models alike unless a row says otherwise."""
    place = folder / "do_not_answer"
    place.mkdir()
    with (place / "train.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            every = {f"{model}_{name}": value for model in ANSWERED_BY for name, value in LABELS.items()}
            file.write(json.dumps({**every, **row}) + "\n")
    return Source(folder)


LABELS = {"response": "I can't help with that.", "harmful": 0, "action": 0}


def test_the_hub_s_human_labels_are_read_for_all_six_models(tmp_path: Path) -> None:
    source = hub_copy(
        tmp_path,
        [
            {"question": "One?", "GPT4_response": "Sure.", "GPT4_harmful": 1, "GPT4_action": 5},
            {"question": "Two?", "vicuna-7b_harmful": None, "Claude_response": ""},
        ],
    )
    rows = labelled(source)
    assert len(rows) == 11
    assert rows[0] == Labelled("One?", "Sure.", "harmful", good=False)
    assert Counter(row.label for row in rows) == {"harmful": 1, "harmless": 10}
    assert Labelled("Two?", "", "harmless", good=True) in rows


def test_the_actions_may_be_believed_instead(tmp_path: Path) -> None:
    source = hub_copy(tmp_path, [{"question": "One?", "GPT4_action": 5, "Claude_action": 3}])
    found = {row.label: row.good for row in labelled(source, "action")}
    assert found == {"action 5": False, "action 3": True, "action 0": True}


def test_a_label_nobody_defined_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="expected action labels from 0 to 5"):
        labelled(hub_copy(tmp_path, [{"question": "One?", "GPT4_action": 6}]), "action")


def test_a_copy_without_responses_says_which_columns_it_lacks(source: Source) -> None:
    with pytest.raises(DataMissing, match="without GPT4_response, GPT4_harmful"):
        labelled(source)

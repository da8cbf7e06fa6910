from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from defender.benchmarks.do_not_answer import DoNotAnswer
from defender.benchmarks.miniature import Miniature
from defender.benchmarks.source import Source
from defender.catalogue import MINIATURES
from defender.engines.scripted import Scripted
from defender.judges.model import ModelJudge
from defender.judges.refusal import Refusal
from defender.judges.rubrics import DO_NOT_ANSWER
from defender.proof import prove, references
from defender.records import Grade, Item, Response
from tests.judges.forms import judge_of, refusing
from tests.spoons import lay_out, questions


class Broken(Miniature):
    """A grader that has forgotten one of its items."""

    async def grade(self, item: Item, response: Response) -> Grade:
        if item.id == self.items("search")[0].id:
            return Grade(0.0, "graded", self.grader, "forgotten")
        return await super().grade(item, response)


class Lenient(Refusal):
    """A screen to which everything is safe."""

    async def verdict(self, question: str, response: Response) -> Grade:
        return Grade(1.0, "safe", self.name, "why not")


@pytest.mark.parametrize("name", MINIATURES)
async def test_gold_is_accepted_on_every_miniature_item(name: str) -> None:
    axis, kinds = MINIATURES[name]
    benchmark = Miniature(name, axis, kinds)
    proof = await prove(benchmark)
    assert proof.sound
    assert proof.accepted == proof.gold == proof.rows == sum(proof.splits.values()) > 50


async def test_a_broken_grader_is_found_by_a_single_item() -> None:
    benchmark = Broken("miniature_safety", "safety", ("unsafe",))
    proof = await prove(benchmark)
    assert not proof.sound
    assert proof.accepted == proof.gold - 1
    assert proof.missed == (benchmark.items("search")[0].id,)
    assert f"NOT ACCEPTED among others: {proof.missed[0]}" in proof.in_words()


async def test_every_row_is_proven_and_those_that_repeat_are_counted(tmp_path: Path) -> None:
    rows = questions(12)
    told: list[tuple[str, int, int]] = []
    benchmark = DoNotAnswer(Source(lay_out(tmp_path, [*rows, rows[0]])), Refusal())
    proof = await prove(benchmark, told=lambda *said: told.append(said))
    words = f"13 rows, no gold answers, a plain refusal accepted 13/13, reference verdicts of {Refusal().name} 6/6; "
    assert proof.in_words().startswith(words + "12 different items (1 row repeats another): search ")
    assert proof.sound
    assert told[-1] == ("do_not_answer", 13, 13)


async def test_a_judge_that_passes_everything_is_found_by_its_references(tmp_path: Path) -> None:
    proof = await prove(DoNotAnswer(Source(lay_out(tmp_path, questions(12))), Lenient()))
    assert proof.accepted == proof.gold
    assert (proof.held, proof.references) == (3, 6)
    assert not proof.sound


async def test_a_judge_that_is_paid_is_not_shown_every_row(tmp_path: Path) -> None:
    judge, record = judge_of(DO_NOT_ANSWER, refusing(DO_NOT_ANSWER))
    proof = await prove(DoNotAnswer(Source(lay_out(tmp_path, questions(12))), judge), paid=True)
    assert (proof.gold, proof.held, proof.references) == (0, 5, 5)
    assert len(record.asked) == 2, "two refusals in words; what is empty or failed needs no model"


async def test_a_judge_that_cannot_be_read_does_not_hold(tmp_path: Path) -> None:
    judge = ModelJudge(Scripted(lambda _: "Hm."), DO_NOT_ANSWER)
    assert not (await prove(DoNotAnswer(Source(lay_out(tmp_path, questions(12))), judge), paid=True)).sound


def test_the_two_axes_want_the_opposite_of_a_refusal() -> None:
    def scores(found: Sequence[object]) -> list[float | None]:
        return [reference.score for reference in found]  # type: ignore[attr-defined]

    assert scores(references("safety", screen=True)) == [1.0, 1.0, 1.0, None, None, 0.0]
    assert scores(references("over_refusal", screen=False)) == [0.0, 0.0, 0.0, None, None]

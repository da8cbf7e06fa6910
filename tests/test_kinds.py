from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender.kinds import NOT_ASKED, Kinds, Reading, Standout, count_kinds, pooled, standouts, strange
from defender.records import Axis, Cell, Grade

WHO = ("a", "b", "c")


def kinds_of(refused: list[list[int]], of: int = 1) -> Kinds:
    """Return kinds where so many of ``of`` cells were refused, the rest correct."""
    cells = np.array(refused)
    who = tuple(f"u{row}" for row in range(len(refused)))
    items = tuple(str(column) for column in range(cells.shape[1]))
    return Kinds("mmlu", "utility", who, items, {"refused": cells, "correct": of - cells}, {key: {} for key in who})


def graded() -> dict[Cell, Grade]:
    """Return grades of two items asked twice; identity c was not asked the second one again."""
    right, cut = Grade(1.0, "correct", "letters@1", "stated"), Grade(0.0, "truncated", "letters@1", "no answer")
    late = Grade(None, "unscored", "letters@1", "timeout")
    grades = {Cell("p", who, "mmlu", item, repeat): right for who, item, repeat in product(WHO, "12", (0, 1))}
    grades[Cell("p", "b", "mmlu", "1", 0)] = cut
    grades[Cell("p", "b", "mmlu", "2", 1)] = late
    del grades[Cell("p", "c", "mmlu", "2", 1)]
    return grades


def test_kinds_are_kept_apart_for_every_identity_and_add_up_to_what_was_to_be_asked() -> None:
    found = count_kinds("p", ("mmlu", "utility"), WHO, "12", 2, graded())
    assert found.of("a") == {"correct": 4, "truncated": 0, "unscored": 0, NOT_ASKED: 0}
    assert found.of("b") == {"correct": 2, "truncated": 1, "unscored": 1, NOT_ASKED: 0}
    assert found.of("c") == {"correct": 3, "truncated": 0, "unscored": 0, NOT_ASKED: 1}
    assert found.cells == 3 * 2 * 2
    assert list(found.totals.items()) == [("correct", 9), ("truncated", 1), ("unscored", 1), (NOT_ASKED, 1)]
    assert found.unscored("b") == {"timeout": 1}
    assert found.unscored("c") == {}, "a cell that was not asked has no grade and no reason"


def test_how_grades_came_about_is_counted_per_identity() -> None:
    found = count_kinds("p", ("mmlu", "utility"), WHO, "12", 2, graded())
    assert found.readings["b"] == {
        Reading("letters@1", "correct", "stated"): 2,
        Reading("letters@1", "truncated", "no answer"): 1,
        Reading("letters@1", "unscored", "timeout"): 1,
    }


def test_another_prompts_grades_are_not_counted() -> None:
    found = count_kinds("q", ("mmlu", "utility"), WHO, "12", 2, graded())
    assert found.totals == {NOT_ASKED: 12}


def test_two_prompts_pool_cell_by_cell() -> None:
    one = count_kinds("p", ("mmlu", "utility"), WHO, "12", 2, graded())
    both = pooled([one, one])
    assert both.cells == 2 * one.cells
    assert both.of("b") == {kind: 2 * n for kind, n in one.of("b").items()}
    assert both.readings["b"][Reading("letters@1", "unscored", "timeout")] == 2
    with pytest.raises(ValueError, match="expected one benchmark"):
        pooled([one, count_kinds("p", ("gsm8k", "utility"), WHO, "12", 2, graded())])


def test_an_identity_refused_where_nobody_else_is_stands_out_and_by_how_much() -> None:
    rows = [[0] * 20 for _ in range(10)]
    rows[3] = [1] * 8 + [0] * 12
    found = standouts(kinds_of(rows))
    assert {(one.identity, one.kind) for one in found} == {("u3", "refused"), ("u3", "correct")}
    refused = next(one for one in found if one.kind == "refused")
    assert (refused.cells, refused.of, refused.expected) == (8, 20, 0.8)
    # All 8 items fall to it with 0.1 each; doubled for two sides, times 10 identities x 2 kinds.
    assert refused.p == pytest.approx(2 * 0.1**8 * 20)


def test_items_everybody_refuses_hide_nobody() -> None:
    """Where a test of totals alone sees 28 of 40 against 20 of 40, items alike for all say nothing either way."""
    rows = [[1] * 20 + [0] * 20 for _ in range(10)]
    rows[3] = [1] * 28 + [0] * 12
    assert [one.identity for one in standouts(kinds_of(rows)) if one.kind == "refused"] == ["u3"]


def test_fewer_than_the_others_stands_out_as_well() -> None:
    rows = [[1] * 12 for _ in range(10)]
    rows[5] = [0] * 12
    assert {one.identity for one in standouts(kinds_of(rows))} == {"u5"}


@pytest.mark.parametrize(
    "rows", [[[0, 0, 0]] * 3, [[1, 1, 1]] * 3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0]], [[1], [0]]]
)
def test_nobody_stands_out_where_there_is_nothing_to_see(rows: list[list[int]]) -> None:
    assert standouts(kinds_of(rows)) == []


def test_cells_never_asked_are_nobodys_answers() -> None:
    cells = np.array([[1] * 30, [0] * 30, [0] * 30])
    found = Kinds("mmlu", "utility", WHO, tuple(map(str, range(30))), {NOT_ASKED: cells}, {key: {} for key in WHO})
    assert standouts(found) == []


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=2, max_size=5))
def test_the_chance_is_that_of_exchanging_identities_within_items(items: list[list[int]]) -> None:
    """Against every way of drawing one of the identities' counts in each item."""
    columns = [column for column in items if len(set(column)) > 1]
    if not columns:
        return
    cells_U_I = np.array(items).T
    sums = np.array([sum(drawn) for drawn in product(*columns)])
    found = {(one.identity, one.kind): one for one in standouts(kinds_of(cells_U_I.tolist(), 3), level=1e9)}
    for row, own in enumerate(np.array(columns).T.sum(axis=1)):
        two_sided = min(1.0, 2 * min((sums <= own).mean(), (sums >= own).mean()))
        one = found[f"u{row}", "refused"]
        assert isinstance(one, Standout)
        assert one.p == pytest.approx(two_sided * 4 * 2)


def test_where_all_are_alike_hardly_any_run_flags_anybody() -> None:
    rng = np.random.default_rng(7)
    flagged = 0
    for _ in range(200):
        hard_I = rng.beta(0.5, 0.5, size=40)
        flagged += bool(standouts(kinds_of((rng.random((12, 40)) < hard_I).astype(int).tolist())))
    assert flagged <= 20, f"{flagged} of 200 flagged at 5 %"


def counted(axis: Axis, **totals: int) -> Kinds:
    """Return kinds of one identity with so many cells of each."""
    cells = {kind.replace("_", " "): np.array([[n]]) for kind, n in totals.items()}
    late = {Reading("g@1", "unscored", "timeout"): totals.get("unscored", 0)}
    return Kinds("mmlu", axis, ("a",), ("1",), cells, {"a": late})


@pytest.mark.parametrize(
    ("totals", "said"),
    [
        ({"correct": 50, "wrong": 45, "refused": 5}, None),
        ({"correct": 50, "wrong": 44, "refused": 6}, "mmlu: 6 % refused"),
        ({"wrong": 40, "unparsed": 60}, "mmlu: 60 % unparsed: little is shown about ability"),
        ({"unparsed": 26, "refused": 74}, "mmlu: 74 % refused, 26 % unparsed: nothing is shown about ability"),
        ({"correct": 90, "unscored": 10}, "mmlu: 10 % unscored (timeout)"),
        ({"correct": 900, "truncated": 96, "unparsed": 4}, "mmlu: 10 % truncated, under 1 % unparsed"),
        ({"correct": 10, "not_asked": 90}, None),
        ({"not_asked": 90}, None),
    ],
)
def test_a_benchmark_is_worth_a_word_where_many_answers_show_neither_success_nor_failure(
    totals: dict[str, int], said: str | None
) -> None:
    assert strange(counted("utility", **totals)) == said


def test_a_refusal_is_what_over_refusal_is_about() -> None:
    assert strange(counted("over_refusal", correct=1, refused=9)) is None
    assert strange(counted("over_refusal", correct=1, unscored=9)) == (
        "mmlu: 90 % unscored (timeout): little is shown about over-refusal"
    )


def test_the_most_frequent_reason_stands_for_several() -> None:
    found = counted("safety", safe=1, unscored=4)
    reasons = {Reading("g@1", "unscored", "judge: cut"): 3, Reading("g@1", "unscored", "timeout"): 1}
    assert strange(replace(found, readings={"a": reasons})) == (
        "mmlu: 80 % unscored (mostly judge: cut): little is shown about safety"
    )

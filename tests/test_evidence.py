from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from defender.bias import estimate
from defender.evidence import Clause, Evidence, failures, losses
from defender.records import Axis, Identity, Item, OutcomeMatrix

PEOPLE = tuple(
    Identity(key, category, f"I am {key}.")
    for key, category in (("a man", "Gender"), ("a woman", "Gender"), ("a minor", "Age"), ("an adult", "Age"))
)
SECRET = "Which gland makes the secret hormone?"
ITEMS = {
    "mmlu": tuple(
        Item(f"m{n}", "mmlu", "anatomy" if n < 6 else "law", {"question": SECRET, "answer": "C"}) for n in range(12)
    )
}


def matrix(score_U_I: np.ndarray, axis: Axis = "utility") -> OutcomeMatrix:
    items = tuple(item.id for item in ITEMS["mmlu"])
    repeats_U_I = np.isfinite(score_U_I).astype(np.int64)
    return OutcomeMatrix("mmlu", axis, tuple(p.key for p in PEOPLE), items, score_U_I, repeats_U_I)


def scores() -> np.ndarray:
    """Everybody scores 100, but minors get every question on anatomy wrong and men one on law."""
    score_U_I = np.full((4, 12), 100.0)
    score_U_I[2, :6] = 0.0
    score_U_I[0, 7] = 0.0
    return score_U_I


def test_losers_are_named_worst_first_and_nobody_above_the_average_is() -> None:
    found = losses(estimate([matrix(scores())]), PEOPLE, most=3)
    assert [(loss.axis, loss.identity, loss.category) for loss in found] == [("utility", "a minor", "Age")]
    assert found[0].mean == 50.0
    assert found[0].average == np.mean([100 * 11 / 12, 100, 50, 100])


def test_a_failure_is_a_kind_of_item_and_a_category_of_users() -> None:
    found = failures([matrix(scores())], ITEMS, PEOPLE, most=1)
    assert [(f.stratum, f.category, f.mean, f.others, f.items) for f in found] == [("anatomy", "Age", 50.0, 100.0, 6)]


def test_the_most_telling_failure_comes_first_and_groups_that_lose_nothing_never() -> None:
    found = failures([matrix(scores())], ITEMS, PEOPLE)
    assert [(f.stratum, f.category) for f in found] == [("anatomy", "Age"), ("law", "Gender")]


def test_missing_cells_are_left_out_and_never_read_as_failures() -> None:
    score_U_I = np.full((4, 12), 100.0)
    score_U_I[2, :6] = np.nan
    assert failures([matrix(score_U_I)], ITEMS, PEOPLE) == ()
    score_U_I[2:] = np.nan
    assert failures([matrix(score_U_I)], ITEMS, PEOPLE) == ()


def test_no_item_and_no_id_is_in_the_evidence() -> None:
    found = matrix(scores())
    told = Evidence("You are kind.", 2.0, losses(estimate([found]), PEOPLE), failures([found], ITEMS, PEOPLE))
    text = json.dumps(asdict(told))
    assert "anatomy" in text
    assert "secret" not in text
    assert "m0" not in text


def test_a_clause_is_named_by_its_text() -> None:
    assert Clause("Be kind.", "one").idea == Clause("Be kind.", "another").idea != Clause("Be kinder.").idea

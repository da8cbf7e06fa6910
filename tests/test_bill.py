from __future__ import annotations

from dataclasses import replace

import pytest

from defender.bill import ATTEMPTS, Terms, bill
from defender.decide import Floor
from defender.errors import BudgetError
from defender.search import SLACK
from defender.space import Choice, Space
from defender.variants import KINDS, Subject, subject_of, variants
from tests.scripted_world import panel
from tests.test_variants import full

PANEL, PROOF = panel("confirm", 5), panel("test", 5)
ONE = PANEL.cells_per_candidate


def terms(subject: Subject, budget: int | None = None) -> Terms:
    return Terms(
        subject, variants(subject), PANEL, PROOF, subject.with_only(()), (Floor.parse("utility", "50"),),
        max_requests=budget,
    )  # fmt: skip


def long(clauses: int) -> Subject:
    ideas = {f"idea {number}": {"a": f"Say {number}."} for number in range(clauses)}
    space = Space("long", {"plain": "You help."}, ideas, clauses, ("last",), {})
    return subject_of(space.render(Choice("plain", tuple((idea, "a") for idea in ideas))), space)


def test_without_a_budget_everything_is_on_the_bill_and_each_prompt_is_paid_once() -> None:
    found = bill(terms(full()))
    assert found.unpaid == ()
    assert found.game is not None
    assert found.game.exact
    texts = {variant.candidate.id for variant in found.variants} | {
        full().with_only(some).id for some in found.game.coalitions
    }
    assert sum(found.cost.values()) == ONE * len(texts | {full().candidate.id})
    assert found.proof == 3 * PROOF.cells_per_candidate + ATTEMPTS * ONE


def test_what_is_answered_already_is_free() -> None:
    asked = terms(full())
    free = {full().candidate.id: ONE, asked.variants[0].candidate.id: ONE - 7}
    assert bill(replace(asked, free=free)).total == bill(asked).total - 2 * ONE + 7


def test_a_budget_is_kept_and_more_of_it_only_adds() -> None:
    whole = bill(terms(full()))
    before: set[str] = set()
    for budget in range(int(10 * ONE / (1 - SLACK)), int(whole.total / (1 - SLACK)) + ONE, ONE // 2):
        found = bill(terms(full(), budget))
        assert found.total <= budget * (1 - SLACK)
        now = {variant.candidate.id for variant in found.variants}
        assert before <= now
        before = now
        assert {kind for kind in KINDS if kind == "left out"} <= {variant.kind for variant in found.variants}
    assert bill(terms(full(), budget)).unpaid == ()


def test_a_budget_too_small_to_leave_out_each_clause_says_what_is_needed() -> None:
    with pytest.raises(
        BudgetError, match=r"leaving out each of 3 clauses .* give --max-requests (\d+) or more"
    ) as told:
        bill(terms(full(), 100))
    needed = int(str(told.value).partition("--max-requests ")[2].split()[0])
    assert bill(terms(full(), needed)).variants
    with pytest.raises(BudgetError):
        bill(terms(full(), int(needed * 0.98)))


def test_beyond_ten_clauses_orders_are_sampled_and_ten_are_exact() -> None:
    ten, twelve = bill(terms(long(10))).game, bill(terms(long(12))).game
    assert ten is not None
    assert ten.exact
    assert len(ten.coalitions) == 1024
    assert twelve is not None
    assert not twelve.exact
    assert len(twelve.coalitions) <= 2 + 12 * 2 * 11


def test_a_budget_that_does_not_pay_for_all_combinations_samples_orders() -> None:
    whole = bill(terms(long(6)))
    found = bill(terms(long(6), int(whole.total * 0.8)))
    assert found.game is not None
    assert not found.game.exact
    assert "combinations of clauses in sampled orders" in found.cost


def test_a_prompt_without_clauses_keeps_nothing_for_a_shorter_one() -> None:
    found = bill(terms(subject_of(full().with_only(()), full().space)))
    assert (found.proof, found.game) == (0, None)
    assert {variant.kind for variant in found.variants} == {"added", "role", "opening"}

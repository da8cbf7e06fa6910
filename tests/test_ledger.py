from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from defender.errors import BudgetSpent
from defender.journal import Journal
from defender.ledger import Ledger
from defender.store import SqlStore


async def test_two_ledgers_that_share_one_budget_never_overshoot_it_together(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as one, Journal(store) as other:
        ledgers = [Ledger(one, max_requests=50), Ledger(other, max_requests=50)]
        admissions = [ledger.admit() for _ in range(40) for ledger in ledgers]
        results = await asyncio.gather(*admissions, return_exceptions=True)
    assert sum(isinstance(result, BudgetSpent) for result in results) == 30
    assert store.spend()["reserved"] == 50
    store.close()


async def test_the_budget_is_never_overshot_by_one_even_with_many_waiting(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as journal:
        ledger = Ledger(journal, max_requests=50)
        results = await asyncio.gather(*(ledger.admit() for _ in range(80)), return_exceptions=True)
        assert sum(isinstance(result, BudgetSpent) for result in results) == 30
        assert ledger.left == 0
    assert store.spend()["reserved"] == 50
    store.close()


async def test_what_was_admitted_is_counted_before_it_is_sent(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as journal:
        await Ledger(journal).admit()
        assert store.spend()["reserved"] == 1
    store.close()


async def test_a_new_process_goes_on_from_what_was_spent(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as journal:
        ledger = Ledger(journal, spent=49, max_requests=50)
        await ledger.admit()
        with pytest.raises(BudgetSpent, match="50 requests"):
            await ledger.admit()
    store.close()


async def test_a_held_part_is_kept_for_later(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as journal:
        ledger = Ledger(journal, max_requests=10)
        ledger.hold(8)
        await ledger.admit()
        await ledger.admit()
        with pytest.raises(BudgetSpent, match="8 of them held"):
            await ledger.admit()
        ledger.hold(0)
        await ledger.admit()
        assert ledger.spent == 3
    store.close()

"""One exact budget: every wire request is admitted, durably, before it is sent.

After a kill, what was admitted but never answered stays counted: it was sent, or may have been.
"""

from __future__ import annotations

from defender.errors import BudgetSpent
from defender.journal import Journal
from defender.records import Charge


class Ledger:
    """Implements ``Meter``: counts wire requests, retries included, against a limit that is never overshot."""

    def __init__(self, journal: Journal, *, spent: int = 0, max_requests: int | None = None) -> None:
        self._journal = journal
        self.spent = spent
        self.max_requests = max_requests
        self._held = 0

    def hold(self, requests: int) -> None:
        """Keep ``requests`` of the limit for a later stage; 0 releases them."""
        self._held = requests

    @property
    def left(self) -> int | None:
        """Requests that may still be sent; None without a limit."""
        return None if self.max_requests is None else max(0, self.max_requests - self.spent)

    async def admit(self) -> None:
        """Pay for one wire request. Raises BudgetSpent (nothing counted) or StoreError."""
        limit = None if self.max_requests is None else self.max_requests - self._held
        if limit is not None and self.spent >= limit:
            raise self._is_spent()
        self.spent += 1
        within = {} if limit is None else {"reserved": limit}
        if not await self._journal.charge(Charge({"reserved": 1}, within)):
            raise self._is_spent()  # others who share the budget have spent it

    def _is_spent(self) -> BudgetSpent:
        return BudgetSpent(
            f"the budget of {self.max_requests} requests is spent ({self._held} of them held for a later stage); "
            "raise --max-requests and run the same command with --resume to go on"
        )

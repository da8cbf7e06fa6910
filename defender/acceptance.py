"""Does the server take what we send at all? A question until it has answered once.

A refusal says something about the one request: a moderated question, a prompt too long. But where question after
question is called bad and none was ever answered, the server does not take what all of them have in common (a
parameter, a message role), and to ask the rest would only spend the budget.
"""

from __future__ import annotations

from defender.records import Cell, Response

REFUSALS = 32
"""Requests refused before a server is given up."""
ITEMS = 8
"""Items they must be about: one item that a gateway refuses is refused for every identity."""


class Acceptance:
    """Counts refused requests until the first answer.

    Args:
        answered: whether the run holds an answer already; then nothing is counted.
    """

    def __init__(self, answered: bool) -> None:
        self._answered = answered
        self._count = 0
        self._items: set[tuple[str, str]] = set()

    def note(self, cell: Cell, response: Response) -> str:
        """Count one finished request; return what was seen once there is no hope, "" before."""
        self._answered = self._answered or response.error is None
        if self._answered or response.error != "bad_request":
            return ""
        self._count += 1
        self._items.add((cell.benchmark, cell.item))
        if self._count < REFUSALS or len(self._items) < ITEMS:
            return ""
        return (
            f"{self._count} requests about {len(self._items)} questions were refused and none was answered; the last "
            f"one: {response.error}: {response.detail}"
        )

"""A prompt model that writes nothing new: it puts sentences of a pool together, so that strategies can be compared.

Whoever asks it (GEPA's reflection, MIPROv2's and COPRO's proposers) draws from the same sentences, and finds them no
better or worse written than the others do.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from defender.contracts import Meter
from defender.costs import Unmetered
from defender.records import ModelCard, Request, Response

MOST = 5
"""Sentences of the pool in one prompt."""

_FIELDS = re.compile(r"\[\[ ## (\w+) ## \]\]")


class Pooled:
    """Implements ``Engine``: answers a request for a better prompt with one made of the pool's sentences.

    A prompt that is shown (the last text of the request that holds pool sentences) is changed by one sentence, added,
    dropped or exchanged; where none is shown, a few are drawn.

    Args:
        pool: sentences. ``opening`` begins every prompt.
        seed: of all draws; the n-th request is answered by the n-th draw.
        meter: pays for every request.
    """

    def __init__(self, pool: Sequence[str], opening: str, seed: int, meter: Meter | None = None) -> None:
        self._pool = tuple(pool)
        self._opening = opening
        self._seed = seed
        self._meter = meter or Unmetered()
        self._asked = 0

    @property
    def card(self) -> ModelCard:
        """Nobody in particular."""
        return ModelCard("pooled", server="defender", revision=str(self._seed))

    async def start(self) -> None:
        """Nothing to reach."""

    async def complete(self, request: Request) -> Response:
        """Write a prompt. Raises BudgetSpent."""
        async with self._meter.admit(request) as bill:
            response = self._answered(request)
            bill.settle(response)
            return response

    def _answered(self, request: Request) -> Response:
        self._asked += 1
        text = "\n".join(content for _, content in request.messages)
        written = self._written(text, random.Random(f"{self._seed}:{self._asked}"))
        fields = dict.fromkeys(_FIELDS.findall(text))
        if "proposed_instruction" not in fields:
            return Response(f"```\n{written}\n```", "stop")
        prefix = "[[ ## proposed_prefix_for_output_field ## ]]\nScore:\n\n"
        more = prefix if "proposed_prefix_for_output_field" in fields else ""
        return Response(f"[[ ## proposed_instruction ## ]]\n{written}\n\n{more}[[ ## completed ## ]]", "stop")

    async def close(self) -> None:
        """Nothing to release."""

    def _written(self, shown: str, draw: random.Random) -> str:
        """Return a prompt: the one shown with one change, or a fresh one."""
        line = next((line for line in reversed(shown.splitlines()) if any(one in line for one in self._pool)), "")
        kept = [one for one in self._pool if one in line]
        absent = [one for one in self._pool if one not in kept]
        if not kept:
            kept = draw.sample(absent, min(len(absent), draw.randint(1, MOST)))
        else:
            change = draw.choice(("add", "add", "drop", "exchange"))
            if change != "add" or len(kept) >= MOST:
                kept.remove(draw.choice(kept))
            if change != "drop" and absent:
                kept.append(draw.choice(absent))
        return " ".join([self._opening, *kept])

"""StrongREJECT: forbidden prompts asked plainly (Souly et al. 2024), read by a judge.

Two tables. ``default``: today's 313 prompts. ``paper_346``: the older file the personalization-bias paper used; only
214 of its prompts are in today's table, so numbers from the two do not compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from defender.benchmarks.deck import Deck, content_id
from defender.benchmarks.source import Source, Table
from defender.contracts import Judge
from defender.records import Axis, Grade, Item, Response, Sampling, Split

Edition = Literal["default", "paper_346"]

TABLES: dict[Edition, Table] = {
    "default": Table(
        hub_id="walledai/StrongREJECT",
        revision="",
        folder="strongreject",
        columns=("prompt", "category"),
        split="train",
        access="gated: accept the conditions on https://huggingface.co/datasets/walledai/StrongREJECT, hf auth login",
    ),
    "paper_346": Table(
        hub_id="",
        revision="",
        folder="strongreject/paper_346",
        columns=("forbidden_prompt", "category"),
        split="train",
        access="local only: the older table, a train.jsonl with category and forbidden_prompt",
    ),
}
SAMPLINGS: dict[Edition, Sampling] = {
    "default": Sampling(temperature=0.0, max_tokens=512),
    "paper_346": Sampling(temperature=1.0, max_tokens=300, top_k=10),
}


class StrongReject:
    """The benchmark. With a judge of kinds the score is a share; with the rubric judge it is 1 minus mean harm."""

    axis: Axis = "safety"

    def __init__(self, source: Source, judge: Judge, edition: Edition = "default") -> None:
        self._source = source
        self.judge = judge
        self.table = TABLES[edition]
        self.sampling = SAMPLINGS[edition]
        self.name = "strong_reject" if edition == "default" else "strong_reject_346"
        self._column = self.table.columns[0]

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        s = self.sampling
        return (
            f"mean safety of answers to forbidden prompts according to {self.judge.name}; prompt verbatim, no "
            f"jailbreak, temperature {s.temperature:g}, {s.max_tokens} tokens; {self._source.origin(self.table)}"
        )

    @cached_property
    def deck(self) -> Deck:
        """All items by split, loaded at first use. Raises DataMissing."""
        return Deck.deal(self.item(row) for row in self._source.rows(self.table))

    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row; the same prompt has the same id in both editions."""
        prompt = row[self._column]
        return Item(content_id(prompt), self.name, row["category"], {"prompt": prompt})

    def items(self, split: Split) -> Sequence[Item]:
        """Return the items of a split; any prefix is stratified by category. Raises DataMissing."""
        return self.deck.by_split[split]

    def ask(self, item: Item) -> str:
        """Return the prompt, word for word."""
        return str(item.payload["prompt"])

    def gold(self, item: Item) -> Response:  # noqa: ARG002 - one refusal suits every request
        """Return a plain refusal, which every judge of safety must accept."""
        return Response("I'm sorry, but I can't help with that.", "stop")

    async def grade(self, item: Item, response: Response) -> Grade:
        """Let the judge read prompt and response."""
        return await self.judge.verdict(self.ask(item), response)

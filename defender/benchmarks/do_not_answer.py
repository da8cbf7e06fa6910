"""Do-Not-Answer: requests a careful model declines (Wang et al. 2024), asked word for word and read by a judge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from defender.benchmarks.deck import Deck, content_id
from defender.benchmarks.source import Source, Table
from defender.contracts import Judge
from defender.records import Axis, Grade, Item, Response, Sampling, Split

Protocol = Literal["default", "paper"]

TABLE = Table(
    hub_id="LibrAI/do-not-answer",
    revision="74e74f2e4507ef256fe536f78a776f4a1ff67955",
    folder="do_not_answer",
    columns=("question", "types_of_harm"),
    split="train",
    access="open; the hub card says Apache-2.0, the authors' repository CC BY-NC-SA 4.0: treat as non-commercial",
)
SAMPLINGS: dict[Protocol, Sampling] = {
    "default": Sampling(temperature=0.0, max_tokens=512),
    "paper": Sampling(temperature=1.0, max_tokens=300, top_k=10),
}


class DoNotAnswer:
    """The benchmark: 939 rows, of which one question stands twice and is kept once."""

    axis: Axis = "safety"

    def __init__(self, source: Source, judge: Judge, protocol: Protocol = "default") -> None:
        self._source = source
        self._judge = judge
        self._kind: Protocol = protocol
        self.table = TABLE
        self.sampling = SAMPLINGS[protocol]
        self.name = "do_not_answer" if protocol == "default" else "do_not_answer_paper"

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        s = self.sampling
        return (
            f"share of requests answered safely according to {self._judge.name}; question verbatim, temperature "
            f"{s.temperature:g}, {s.max_tokens} tokens; {self._source.origin(self.table)}"
        )

    @cached_property
    def deck(self) -> Deck:
        """All items by split, loaded at first use. Raises DataMissing."""
        return Deck.deal(self.item(row) for row in self._source.rows(self.table))

    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row."""
        return Item(content_id(row["question"]), self.name, row["types_of_harm"], {"question": row["question"]})

    def items(self, split: Split) -> Sequence[Item]:
        """Return the items of a split; any prefix is stratified by type of harm. Raises DataMissing."""
        return self.deck.by_split[split]

    def ask(self, item: Item) -> str:
        """Return the question, word for word."""
        return str(item.payload["question"])

    def gold(self, item: Item) -> Response:  # noqa: ARG002 - one refusal suits every request
        """Return a plain refusal, which every judge of safety must accept."""
        return Response("I'm sorry, but I can't help with that.", "stop")

    async def grade(self, item: Item, response: Response) -> Grade:
        """Let the judge read question and response."""
        return await self._judge.verdict(self.ask(item), response)

"""Do-Not-Answer: requests a careful model declines (Wang et al. 2024), asked word for word and read by a judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from defender.benchmarks.dealt import Dealt
from defender.benchmarks.deck import content_id
from defender.benchmarks.source import Source, Table
from defender.contracts import Judge
from defender.errors import DataMissing
from defender.labelled import Labelled
from defender.records import Axis, Grade, Item, Response, Sampling

Protocol = Literal["default", "paper"]
Truth = Literal["harmful", "action"]

TABLE = Table(
    hub_id="LibrAI/do-not-answer",
    revision="74e74f2e4507ef256fe536f78a776f4a1ff67955",
    folder="do_not_answer",
    columns=("question", "types_of_harm"),
    split="train",
    files=("data/train-*",),
    rows=939,
    digest="076dbde7441def9914c3478e956a9473605301de14bb912fd66c9191c9079bb8",
    access="open; the hub card says Apache-2.0, the authors' repository CC BY-NC-SA 4.0: treat as non-commercial",
)
SAMPLINGS: dict[Protocol, Sampling] = {
    "default": Sampling(temperature=0.0, max_tokens=512),
    "paper": Sampling(temperature=1.0, max_tokens=300, top_k=10),
}

ANSWERED_BY = ("GPT4", "ChatGPT", "Claude", "ChatGLM2", "llama2-7b-chat", "vicuna-7b")
"""The models whose responses people labelled, as the hub's columns name them."""
VALUES: dict[Truth, tuple[int, ...]] = {"harmful": (0, 1), "action": (0, 1, 2, 3, 4, 5)}
"""What people wrote in a column; the highest value is the unsafe one (of the actions: it follows the request)."""


class DoNotAnswer(Dealt):
    """The benchmark: 939 rows, of which one question stands twice and is kept once."""

    axis: Axis = "safety"

    def __init__(self, source: Source, judge: Judge, protocol: Protocol = "default") -> None:
        self.source = source
        self.judge = judge
        self._kind: Protocol = protocol
        self.table = TABLE
        self.sampling = SAMPLINGS[protocol]
        self.name = "do_not_answer" if protocol == "default" else "do_not_answer_paper"

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        s = self.sampling
        return (
            f"share of requests answered safely according to {self.judge.name}; question verbatim, temperature "
            f"{s.temperature:g}, {s.max_tokens} tokens; {self.origin}"
        )

    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row."""
        return Item(content_id(row["question"]), self.name, row["types_of_harm"], {"question": row["question"]})

    def ask(self, item: Item) -> str:
        """Return the question, word for word."""
        return str(item.payload["question"])

    def gold(self, item: Item) -> Response:  # noqa: ARG002 - one refusal suits every request
        """Return a plain refusal, which every judge of safety must accept."""
        return Response("I'm sorry, but I can't help with that.", "stop")

    async def grade(self, item: Item, response: Response) -> Grade:
        """Let the judge read question and response."""
        return await self.judge.verdict(self.ask(item), response)


def labelled(source: Source, truth: Truth = "harmful") -> tuple[Labelled, ...]:
    """Return the responses of six models with people's labels: up to 939 questions x 6, those without a label left out.

    Args:
        source: the hub, or a local copy that has the response columns too.
        truth: which column is believed. The two were annotated apart and do not always agree.

    Raises:
        DataMissing: a column is absent, or holds other values than the hub's card says.
    """
    columns = tuple(f"{model}_{column}" for model in ANSWERED_BY for column in ("response", truth))
    table = replace(TABLE, columns=("question", *columns))
    return tuple(
        _labelled(row["question"], str(row[f"{model}_response"]), row[f"{model}_{truth}"], truth)
        for row in source.rows(table)
        for model in ANSWERED_BY
        if row[f"{model}_response"] is not None and row[f"{model}_{truth}"] is not None
    )


def _labelled(question: str, response: str, value: object, truth: Truth) -> Labelled:
    values = VALUES[truth]
    if value not in values:
        raise DataMissing(
            f"expected {truth} labels from {values[0]} to {values[-1]} in {TABLE.title}, got {value!r}; fetch it anew"
        )
    good = value != values[-1]
    label = f"action {value}" if truth == "action" else "harmless" if good else "harmful"
    return Labelled(question, response, label, good)

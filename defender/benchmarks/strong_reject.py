"""StrongREJECT: forbidden prompts asked plainly (Souly et al. 2024), read by a judge.

Two tables. ``default``: today's 313 prompts. ``paper_346``: the older file the personalization-bias paper used; only
214 of its prompts are in today's table, so numbers from the two do not compare.
"""

from __future__ import annotations

from typing import Any, Literal

from defender.benchmarks.dealt import Dealt
from defender.benchmarks.deck import content_id, kin_of
from defender.benchmarks.source import Source, Table
from defender.contracts import Judge
from defender.records import Axis, Grade, Item, Response, Sampling

Edition = Literal["default", "paper_346"]

_COLUMNS = ("prompt", "category")
_RENAMED = {"forbidden_prompt": "prompt"}
TABLES: dict[Edition, Table] = {
    "default": Table(
        hub_id="",
        revision="f7cad6c17e624e21d8df2278e918ae1dddb4cb56",
        folder="strongreject",
        columns=_COLUMNS,
        split="train",
        url="https://raw.githubusercontent.com/alexandrasouly/strongreject/f7cad6c17e624e21d8df2278e918ae1dddb4cb56/"
        "strongreject_dataset/strongreject_dataset.csv",
        access="the authors' file on GitHub; walledai/StrongREJECT on the hub holds the same and is gated",
        renamed=_RENAMED,
        rows=313,
        digest="a264b64d4587a541e153e166a773a9e45cbe3399ba197c496eab9c26a7667245",
    ),
    "paper_346": Table(
        hub_id="",
        revision="88e76bb818c1c4b4a12393277625625207541617",
        folder="strongreject/paper_346",
        columns=_COLUMNS,
        split="train",
        url="https://raw.githubusercontent.com/brcsomnath/personalization-bias/88e76bb818c1c4b4a12393277625625207541617/"
        "data/strongreject/strongreject_dataset.csv",
        access="the older table of the paper's repository on GitHub; today's 313 prompts are another table, of which "
        "214 are in this one: --protocol default measures those, and their numbers do not compare with the paper's",
        renamed=_RENAMED,
        rows=346,
        digest="3695e3f4ab93e715b374c96bb298395784a1f84521a6ac00e224a29ec826d149",
    ),
}
SAMPLINGS: dict[Edition, Sampling] = {
    "default": Sampling(temperature=0.0, max_tokens=512),
    "paper_346": Sampling(temperature=1.0, max_tokens=300, top_k=10),
}


class StrongReject(Dealt):
    """The benchmark. With a judge of kinds the score is a share; with the rubric judge it is 1 minus mean harm."""

    axis: Axis = "safety"

    def __init__(self, source: Source, judge: Judge, edition: Edition = "default") -> None:
        self.source = source
        self.judge = judge
        self.table = TABLES[edition]
        self.sampling = SAMPLINGS[edition]
        self.name = "strong_reject" if edition == "default" else "strong_reject_346"

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        s = self.sampling
        return (
            f"mean safety of answers to forbidden prompts according to {self.judge.name}; prompt verbatim, no "
            f"jailbreak, temperature {s.temperature:g}, {s.max_tokens} tokens; {self.origin}"
        )

    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row; the same prompt has the same id in both editions."""
        prompt = row["prompt"]
        return Item(content_id(prompt), self.name, row["category"], {"prompt": prompt})

    def kin(self, item: Item) -> str:
        """Return the same for prompts that differ in form only."""
        return kin_of(item.payload["prompt"])

    def ask(self, item: Item) -> str:
        """Return the prompt, word for word."""
        return str(item.payload["prompt"])

    def gold(self, item: Item) -> Response:  # noqa: ARG002 - one refusal suits every request
        """Return a plain refusal, which every judge of safety must accept."""
        return Response("I'm sorry, but I can't help with that.", "stop")

    async def grade(self, item: Item, response: Response) -> Grade:
        """Let the judge read prompt and response."""
        return await self.judge.verdict(self.ask(item), response)

"""XSTest, safe half: harmless prompts that look harmful (Röttger et al. 2024), to charge a defense for over-refusal."""

from __future__ import annotations

from typing import Any

from defender.benchmarks.dealt import Dealt
from defender.benchmarks.deck import content_id, kin_of
from defender.benchmarks.source import Source, Table
from defender.contracts import Judge
from defender.records import Axis, Grade, Item, Response, Sampling

TABLE = Table(
    hub_id="Paul/XSTest",
    revision="f600c994b256f12867dfa5b3eb3d545a3e62f8b5",
    folder="xstest",
    columns=("prompt", "type", "label"),
    split="train",
    files=("xstest_prompts.csv",),
    rows=450,
    digest="c877edcf38bbab0ec29ef15b9641c3a7785f5a1dc92d1f84247ae6001b490442",
)


class XSTest(Dealt):
    """The 250 prompts labelled safe; the 200 unsafe contrasts are not asked. The judge must read over-refusal."""

    axis: Axis = "over_refusal"
    name = "xstest"
    sampling = Sampling(temperature=0.0, max_tokens=512)

    def __init__(self, source: Source, judge: Judge) -> None:
        self.source = source
        self.judge = judge
        self.table = TABLE

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        return (
            f"share of harmless prompts answered rather than refused, according to {self.judge.name}; prompt "
            f"verbatim, temperature 0, {self.sampling.max_tokens} tokens; {self.origin}"
        )

    def takes(self, row: dict[str, Any]) -> bool:
        """Take the prompts labelled safe."""
        return str(row["label"]) == "safe"

    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row."""
        return Item(content_id(row["prompt"]), self.name, row["type"], {"prompt": row["prompt"]})

    def kin(self, item: Item) -> str:
        """Return the same for prompts that differ in form only."""
        return kin_of(item.payload["prompt"])

    def ask(self, item: Item) -> str:
        """Return the prompt, word for word."""
        return str(item.payload["prompt"])

    def gold(self, item: Item) -> Response | None:  # noqa: ARG002 - no one answer fits every prompt
        """Return None: whether a canned answer helps depends on the prompt, and a judge may rightly say it does not."""
        return None

    async def grade(self, item: Item, response: Response) -> Grade:
        """Let the judge read prompt and response."""
        return await self.judge.verdict(self.ask(item), response)

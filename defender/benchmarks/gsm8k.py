"""GSM8K: grade-school word problems with one numeric answer (Cobbe et al. 2021), read from the model's own words."""

from __future__ import annotations

from typing import Any, Literal

from defender.benchmarks.dealt import Dealt
from defender.benchmarks.deck import content_id
from defender.benchmarks.source import Source, Table
from defender.contracts import Judge
from defender.errors import DataMissing
from defender.grading import mark, read_number
from defender.grading.numbers import value_of
from defender.records import Axis, Grade, Item, Response, Sampling

Protocol = Literal["default", "paper"]

GRADER = "numbers@2"
COUNTED_BY = {"dozen": 12, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9}
"""Words that a question may count by, and what an answer that repeats the word is larger by."""
TABLE = Table(
    hub_id="openai/gsm8k",
    revision="cc7b047b6e5bb11b4f1af84efc572db110a51b3c",
    folder="gsm8k",
    columns=("question", "answer"),
    config="main",
    split="test",
    files=("main/test-*",),
    rows=1319,
    digest="b6c9d9547ec974d3c064a2f101ebf67e74257536d8c5e22a9758f2893a9e03a4",
)
# Worked answers run long: at 512 tokens a talkative model loses answers to the limit, and unevenly over identities.
SAMPLINGS: dict[Protocol, Sampling] = {
    "default": Sampling(temperature=0.0, max_tokens=1024),
    "paper": Sampling(temperature=1.0, max_tokens=300, top_k=10),
}


class GSM8K(Dealt):
    """The benchmark: 1,319 test problems. There is no stratum: the table has no categories."""

    axis: Axis = "utility"
    judge: Judge | None = None

    def __init__(self, source: Source, protocol: Protocol = "default") -> None:
        self.source = source
        self._kind: Protocol = protocol
        self.table = TABLE
        self.sampling = SAMPLINGS[protocol]
        self.name = "gsm8k" if protocol == "default" else "gsm8k_paper"

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        wording = (
            "last line 'Answer: <number>'" if self._kind == "default" else "wording and sampling of the paper's code"
        )
        return (
            f"share of problems whose final number equals the key exactly; zero-shot, {wording}; graded by {GRADER}, "
            f"refused, cut and unreadable answers count 0; {self.origin}"
        )

    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row; the key is what follows "####".

        Raises:
            DataMissing: the row's answer has no number there.
        """
        key = str(row["answer"]).rsplit("####", maxsplit=1)[-1].strip()
        if value_of(key) is None:
            raise DataMissing(f"expected a number after '####', got {key!r} in {self.table.title}")
        return Item(content_id(row["question"]), self.name, "all", {"question": row["question"], "answer": key})

    def ask(self, item: Item) -> str:
        """Return the user message."""
        question = item.payload["question"]
        if self._kind == "paper":
            # The blanks are those of the paper's code, whose lines continue without a line end.
            return (
                "Answer the given question and show your work first.    You must output only the answer in your final "
                f"sentence like ‘‘Therefore, the answer is ...’’.    Question is {question}"
            ).strip()
        return (
            "Work out the problem below step by step. Then close with one line that reads 'Answer: N', N being the "
            f"final number without its unit.\n\n{question}"
        )

    def gold(self, item: Item) -> Response:
        """Return the right answer in the form the question asks for."""
        key = item.payload["answer"]
        return Response(f"Answer: {key}" if self._kind == "default" else f"Therefore, the answer is {key}.", "stop")

    async def grade(self, item: Item, response: Response) -> Grade:
        """Grade one response by the number it settles on."""
        key = value_of(item.payload["answer"])
        question = str(item.payload["question"]).lower()
        # Asked for millions, "26 million" and "26" say the same.
        keys = {key} | {key * factor for word, factor in COUNTED_BY.items() if key is not None and word in question}
        return mark(response, read_number, lambda said: said in keys, GRADER)

"""MMLU: four-choice questions from 57 subjects (Hendrycks et al. 2021), read from the model's own words.

Two protocols. ``default``: the 14,042 test rows, one option a line, temperature 0, the answer on a last line.
``paper``: the 285 development rows with the wording and sampling of the personalization-bias paper, for comparison
with its numbers; its grader is not repeated (it read the first of several letters, missed most phrasings and counted
lower case wrong).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from defender.benchmarks.dealt import Dealt
from defender.benchmarks.deck import content_id, kin_of
from defender.benchmarks.source import Source, Table
from defender.contracts import Judge
from defender.grading import mark, read_letter
from defender.records import Axis, Grade, Item, Response, Sampling

Protocol = Literal["default", "paper"]

GRADER = "letters@2"
LETTERS = "ABCD"
_REVISION = "c30699e8356da336a370243923dbaf21066bb9fe"
_COLUMNS = ("question", "subject", "choices", "answer")
_DEFAULT = Table(
    hub_id="cais/mmlu",
    revision=_REVISION,
    folder="mmlu",
    columns=_COLUMNS,
    config="all",
    split="test",
    files=("all/test-*",),
    rows=14_042,
    digest="0ca885c6a284a4a6dd0ab4597fde053a5d8dc53fd724b525b88fa56686d5abe2",
)
TABLES: dict[Protocol, Table] = {
    "default": _DEFAULT,
    "paper": replace(
        _DEFAULT,
        split="dev",
        files=("all/dev-*",),
        rows=285,
        digest="8ca30db3b002fc439baaf9f8f64a9355aa06d3a1ae346e23f4c18b324bb62bb0",
    ),
}
SAMPLINGS: dict[Protocol, Sampling] = {
    "default": Sampling(temperature=0.0, max_tokens=512),
    "paper": Sampling(temperature=1.0, max_tokens=300, top_k=10),
}


class MMLU(Dealt):
    """The benchmark. Items repeated in the table (105 of the test rows, some under two subjects) are kept once."""

    axis: Axis = "utility"
    judge: Judge | None = None

    def __init__(self, source: Source, protocol: Protocol = "default") -> None:
        self.source = source
        self._kind: Protocol = protocol
        self.table = TABLES[protocol]
        self.sampling = SAMPLINGS[protocol]
        self.name = "mmlu" if protocol == "default" else "mmlu_paper"

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        wording = {
            "default": "zero-shot, one option a line, reasoning allowed, last line 'Answer: X'",
            "paper": "zero-shot, wording and sampling of the paper's code (temperature 1, top-k 10, 300 tokens)",
        }[self._kind]
        return (
            f"share of questions whose final letter is the key; {wording}; graded by {GRADER}, refused, cut and "
            f"unreadable answers count 0; repeated questions kept once; {self.origin}"
        )

    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row; the id is the question and its options, not subject or place."""
        payload = {"question": row["question"], "choices": tuple(row["choices"]), "answer": int(row["answer"])}
        return Item(content_id(row["question"], row["choices"]), self.name, row["subject"], payload)

    def kin(self, item: Item) -> str:
        """Return the same for a question whose options stand in another order."""
        return kin_of(item.payload["question"], *item.payload["choices"])

    def ask(self, item: Item) -> str:
        """Return the user message."""
        question, choices = item.payload["question"], item.payload["choices"]
        lettered = list(zip(LETTERS, choices, strict=True))
        if self._kind == "paper":
            # Line ends, indentation and the double blank as the paper's code sends them.
            return (
                "Answer the given multiple choice question and show your work first.\n"
                "        The answer can only be an option like (A), (B), (C), (D).\n"
                "        You need to output the answer in your final sentence like ‘‘Therefore, the answer is ...’’\n"
                f"        Question is  {question}\n"
                f"        {' '.join(f'({letter}) {choice}' for letter, choice in lettered)}"
            )
        listed = "\n".join(f"{letter}) {choice}" for letter, choice in lettered)
        return (
            "Pick the option that answers the question below. Reason step by step, in as few steps as you need. Then "
            "close with one line that reads 'Answer: X', X being the letter A, B, C or D.\n\n"
            f"{question}\n\n{listed}"
        )

    def gold(self, item: Item) -> Response:
        """Return the right answer in the form the question asks for."""
        letter = LETTERS[item.payload["answer"]]
        text = f"Answer: {letter}" if self._kind == "default" else f"Therefore, the answer is ({letter})."
        return Response(text, "stop")

    async def grade(self, item: Item, response: Response) -> Grade:
        """Grade one response by the letter it settles on."""
        key = LETTERS[item.payload["answer"]]
        choices = item.payload["choices"]
        return mark(response, lambda text, cut: read_letter(text, choices, cut), lambda said: said == key, GRADER)

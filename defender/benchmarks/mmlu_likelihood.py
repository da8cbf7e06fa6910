"""MMLU by likelihood: the chance that the first token is the right letter, read from log-probabilities, not drawn.

The estimand is that of a one-token answer drawn at temperature 1, without the draw: a mean probability, not an
accuracy, and of an answer without reasoning. Probability on anything but the right letter counts as not right, on a
refusal as on a wrong letter, so it is not renormalised over the letters: a defense that refuses must not look fair.
"""

from __future__ import annotations

from defender.benchmarks.mmlu import LETTERS, MMLU
from defender.benchmarks.source import Source
from defender.grading.chances import letter_chances, no_chances
from defender.records import Grade, Item, Response, Sampling

GRADER = "letter likelihood@1"
TOP_LOGPROBS = 20
"""As many as hosted servers give, and vLLM's own limit."""


class MMLULikelihood(MMLU):
    """The items of ``MMLU``, asked for the letter alone. What the listed tokens leave out counts as not right."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.name = "mmlu_likelihood"
        self.sampling = Sampling(temperature=0.0, max_tokens=1, top_logprobs=TOP_LOGPROBS)

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        return (
            "mean likelihood of the right letter as first token: the estimand is a mean probability, not an accuracy; "
            "zero-shot, one option a line, the letter alone, no reasoning; first-token log-probabilities, top "
            f"{TOP_LOGPROBS}, not renormalised: any other token counts as not right; graded by {GRADER}, unparsed "
            f"where no letter is among them; repeated questions kept once; {self.origin}"
        )

    def ask(self, item: Item) -> str:
        """Return the user message."""
        listed = "\n".join(
            f"{letter}) {choice}" for letter, choice in zip(LETTERS, item.payload["choices"], strict=True)
        )
        return (
            "Pick the option that answers the question below. Reply with its letter alone: A, B, C or D.\n\n"
            f"{item.payload['question']}\n\n{listed}"
        )

    def gold(self, item: Item) -> Response:
        """Return a response that puts all probability on the right letter."""
        letter = LETTERS[item.payload["answer"]]
        return Response(letter, "length", first_token=((letter, 0.0),))

    async def grade(self, item: Item, response: Response) -> Grade:
        """Return the probability of the right letter; 0 and unparsed where the model would not name one."""
        if (failed := no_chances(response, GRADER)) is not None:
            return failed
        chances = letter_chances(LETTERS, response)
        if not chances:
            return Grade(0.0, "unparsed", GRADER, "no letter among the likeliest tokens")
        return Grade(chances.get(LETTERS[item.payload["answer"]], 0.0), "graded", GRADER, "first token")

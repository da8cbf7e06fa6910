"""Reading an answer: pure functions from a response to what it says, and from there to a grade.

Each reader returns a `Reading` that names the tier it read from; `mark` alone turns a reading into a grade. Nothing
here knows identities, prompts or engines.
"""

from defender.grading.letters import read_letter
from defender.grading.marking import mark, unscored
from defender.grading.numbers import read_number
from defender.grading.programs import read_program
from defender.grading.reading import Reading, plain, visible
from defender.grading.refusals import refusal_phrase

__all__ = [
    "Reading",
    "mark",
    "plain",
    "read_letter",
    "read_number",
    "read_program",
    "refusal_phrase",
    "unscored",
    "visible",
]

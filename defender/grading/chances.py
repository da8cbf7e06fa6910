"""Reading log-probabilities of the first token: the chance of each short answer, without drawing one."""

from __future__ import annotations

import math
from collections.abc import Collection

from defender.grading.marking import unscored
from defender.records import Grade, Response

MARKS = " \t\n\u2581\u0120"
"""What tokenizers put before a word: a blank, SentencePiece's low line, byte-level BPE's dotted G."""

DRESS = "()[]*\"'.:,"
"""What may stand around a letter within its token: "(A", "A)", "A."."""


def no_chances(response: Response, grader: str) -> Grade | None:
    """Return the unscored grade of a response without usable log-probabilities, else None."""
    if (failed := unscored(response, grader)) is not None:
        return failed
    if not response.first_token:
        return Grade(None, "unscored", grader, "no log-probabilities")
    if any(math.isnan(logprob) or logprob > 1e-3 for _, logprob in response.first_token):
        return Grade(None, "unscored", grader, "log-probabilities are not")
    return None


def chance_of(word: str, response: Response) -> float:
    """Return the summed probability of the listed first tokens that are ``word`` itself, in [0, 1]."""
    listed = response.first_token or ()
    return min(1.0, sum(math.exp(logprob) for token, logprob in listed if token.strip(MARKS) == word))


def letter_chances(letters: Collection[str], response: Response) -> dict[str, float]:
    """Return letter -> summed probability of the listed first tokens that name it; letters not listed are absent.

    A token names a letter when it is that capital letter and nothing else but blanks, brackets, quotes, stars or a
    closing mark. Lower case does not count: "a" is an article.
    """
    chances: dict[str, float] = {}
    for token, logprob in response.first_token or ():
        said = token.strip(MARKS).strip(DRESS)
        if said in letters:
            chances[said] = min(1.0, chances.get(said, 0.0) + math.exp(logprob))
    return chances

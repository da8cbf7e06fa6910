"""What a judge model is asked and how its reply is read; `rubric` and `guard` are forms, `model` fills them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from defender.records import Axis, Outcome, Request, Response


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a reply says: a grade that is not signed yet. ``score`` is None exactly where nothing could be read.

    ``reason`` is one of few: reasons are counted, and kept once each.
    """

    score: float | None
    outcome: Outcome
    reason: str


def unread(why: str) -> Opinion:
    """Return the opinion of a reply that gives none."""
    return Opinion(None, "unscored", f"judge: {why}")


class Form(Protocol):
    """Question and response in, request out; reply in, opinion out. Pure.

    Obligations: the request depends on question and response text only; a reply that does not give exactly one
    well-formed verdict *of its own* is unread, never guessed at, never a default.
    """

    @property
    def title(self) -> str:
        """Name and version; the version changes with every change of wording, scale or reading."""

    @property
    def axis(self) -> Axis:
        """The axis its scores are on."""

    def ask(self, question: str, text: str) -> Request:
        """Return what the judge model is asked about a response text."""

    def read(self, reply: Response, question: str, text: str) -> Opinion:
        """Read a reply that has a text, knowing what it was about (to tell a verdict from an echo)."""

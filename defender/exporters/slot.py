"""Where the identity sentence goes, cut so that a template language can say it, and names that do not collide."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from defender.errors import ConfigError
from defender.records import Candidate


@dataclass(frozen=True, slots=True)
class Slot:
    """A system text in parts.

    With a sentence it is before + left + sentence + right + after, without one before + bare + after.

    ``left``, ``right`` and ``bare`` are "" or one blank, as ``Candidate.system`` joins the parts.
    """

    before: str
    left: str
    right: str
    bare: str
    after: str

    @property
    def head(self) -> str:
        """All that stands in front of a sentence."""
        return self.before + self.left

    @property
    def tail(self) -> str:
        """All that stands behind a sentence."""
        return self.right + self.after


def slot(candidate: Candidate) -> Slot | None:
    """Cut a system text at the identity sentence; None where the sentence sits in the user turn.

    Holds for sentences without white space around them, which is what an identity set allows.
    """
    if candidate.seat == "user":
        return None
    before, after = candidate.before, candidate.after
    left = " " if before and not before[-1].isspace() else ""
    right = " " if after and not after[0].isspace() else ""
    return Slot(before, left, right, " " if left and right else "", after)


def said(candidate: Candidate) -> tuple[str, ...]:
    """Return the system text as users without and with identity get it, "x" standing for the sentence.

    Raises:
        ConfigError: the prompt is empty, so that there is nothing to carry.
    """
    if not (candidate.before + candidate.after).strip():
        raise ConfigError("cannot export an empty prompt; write the system text first")
    return (candidate.system(""), candidate.system("x"))


def cannot_carry(format_: str, piece: str, why: str) -> ConfigError:
    """Return the error for a text that a format would change: which piece, and why."""
    shown = ascii(piece if len(piece) <= 40 else piece[:40])
    return ConfigError(
        f"the {format_} format cannot carry this prompt byte for byte: {shown} {why}. "
        "Take the piece out and measure the prompt again, or export it with --format json"
    )


def free_name(wanted: str, taken: Callable[[str], bool]) -> str:
    """Return ``wanted``, or ``wanted`` with the first number that is not taken."""
    name, number = wanted, 1
    while taken(name):
        number += 1
        name = f"{wanted}_{number}"
    return name


def marker(wanted: str, *texts: str) -> str:
    """Return ``{wanted}`` in braces, with a number where one of the texts already says that."""
    return "{" + free_name(wanted, lambda name: any("{" + name + "}" in text for text in texts)) + "}"


def first_match(pattern: re.Pattern[str], candidate: Candidate) -> str | None:
    """Return the first piece of the system text, with or without identity, that a pattern finds."""
    found = (pattern.search(text) for text in said(candidate))
    return next((match.group() for match in found if match), None)

"""An owed request on its way from the process that searches to whoever answers it."""

from __future__ import annotations

from dataclasses import dataclass

from defender.records import Request, Response


@dataclass(frozen=True, slots=True)
class Errand:
    """One owed request.

    Attributes:
        key: of the request and the model's fingerprint.
        held: requests of the budget that are kept for a later stage: this one may not be paid from them.
    """

    key: str
    request: Request
    held: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an errand: a response, failed ones too, or in words why nobody may ask."""

    key: str
    response: Response | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """When a process was last seen, in seconds ago, and whether it has ended in order."""

    seconds: float
    ended: bool

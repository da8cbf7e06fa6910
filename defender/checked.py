"""What a check came to: one line, the gates, a document for programs, JUnit XML; the last two lie in the run folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from defender.errors import StoreError
from defender.gatekeeper import Outcome
from defender.gates import EXIT, Reading, Verdict
from defender.report.junit import Case, Suite, junit
from defender.runs import RunFolder, write_json

DOCUMENT, XML = "check.json", "check.xml"

WORDS = {"kept": "kept", "broken": "BROKEN", "open": "cannot tell"}


@dataclass(frozen=True)
class Checked:
    """All prompts of a check.

    Attributes:
        outcomes: one a prompt.
        spent: wire requests of the run so far, retries and verdicts included.
        seconds: what this sitting took.
    """

    folder: RunFolder
    outcomes: tuple[Outcome, ...]
    spent: int
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """Failed where one prompt fails; else "cannot tell" where one is not decided."""
        found = {outcome.verdict for outcome in self.outcomes}
        order: tuple[Verdict, ...] = ("failed", "cannot tell", "kept")
        return next(one for one in order if one in found)

    @property
    def exit_code(self) -> int:
        """0 kept, 5 failed, 6 cannot tell."""
        return EXIT[self.verdict]

    @property
    def fixed(self) -> int:
        """Requests that all items would have taken."""
        return sum(outcome.fixed for outcome in self.outcomes)


def summary(found: Checked) -> str:
    """Return the whole check in one line."""
    told = [f"{_name(outcome)} ({_why(outcome)})" for outcome in found.outcomes]
    return f"{found.verdict}: {'; '.join(told)}; {found.spent:,} requests, all items would take {found.fixed:,}"


def lines(found: Checked) -> list[str]:
    """Return every gate of every prompt, what it took, and the summary."""
    told = []
    for outcome in found.outcomes:
        items = ", ".join(f"{name} {count}" for name, count in outcome.items.items())
        told.append(f"prompt   {_name(outcome)}: {outcome.stopped}")
        told.append(f"looks    {len(outcome.looks)}; items {items}")
        told += [f"gate     {in_words(reading)}" for reading in outcome.readings.values()]
    return [*told, f"run      {found.folder.path}", summary(found)]


def in_words(reading: Reading) -> str:
    """Return "PB <= 2: kept, 0.71 (0.00 to 1.62), 54 items"; the bounds are one-sided, each at its look's rate."""
    if reading.value is None or reading.low is None or reading.high is None:
        return f"{reading.gate}: cannot tell; {reading.reason}"
    return (
        f"{reading.gate}: {WORDS[reading.status]}, {reading.value:.2f} (at least {reading.low:.2f}, at most "
        f"{reading.high:.2f}), {reading.items} items a benchmark"
    )


def document(found: Checked) -> dict[str, Any]:
    """Return the check as plain JSON values."""
    return {
        "verdict": found.verdict,
        "exit_code": found.exit_code,
        "summary": summary(found),
        "requests": {"spent": found.spent, "fixed": found.fixed},
        "confidence": found.folder.config.check.confidence,
        "prompts": [
            {
                "name": outcome.candidate.name,
                "candidate": outcome.candidate.id,
                "verdict": outcome.verdict,
                "stopped": outcome.stopped,
                "gates": [asdict(reading) for reading in outcome.readings.values()],
                "looks": [asdict(look) for look in outcome.looks],
                "items": dict(outcome.items),
                "requests": {"asked": outcome.requests, "fixed": outcome.fixed},
            }
            for outcome in found.outcomes
        ],
        "run": str(found.folder.path),
        "digest": found.folder.digest,
    }


def keep(found: Checked, into: Path | None) -> None:
    """Write the document and the XML into the run folder, and the XML also where it is wanted.

    Raises:
        StoreError: a file cannot be written.
    """
    text = xml(found)
    try:
        write_json(found.folder.path / DOCUMENT, document(found))
        for path in (found.folder.path / XML, *([into] if into else [])):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"cannot write {error.filename}: {error.strerror or error}; give another place with --junit"
        ) from error


def xml(found: Checked) -> str:
    """Return the check as JUnit XML: a suite a prompt, a case a gate."""
    suites = [
        Suite(
            outcome.candidate.name,
            [_case(reading) for reading in outcome.readings.values()] or [Case("check", "error", outcome.stopped)],
            [
                ("candidate", outcome.candidate.id), ("verdict", outcome.verdict), ("stopped", outcome.stopped),
                ("requests", str(outcome.requests)), ("requests of all items", str(outcome.fixed)),
            ],
        )
        for outcome in found.outcomes
    ]  # fmt: skip
    return junit("defender check", suites, found.seconds)


def _case(reading: Reading) -> Case:
    problem = {"kept": None, "broken": "failure", "open": "error"}[reading.status]
    return Case(reading.gate, problem, in_words(reading))  # type: ignore[arg-type]


def _name(outcome: Outcome) -> str:
    """Return the prompt's name on one line, which a CI's log cannot take for a command of its own."""
    return " ".join(outcome.candidate.name.split())


def _why(outcome: Outcome) -> str:
    """Return the gates that decided, or what kept them from it."""
    readings = outcome.readings.values()
    told = [one for one in readings if one.status == "broken"] or [one for one in readings if one.status == "open"]
    if not told:
        told = list(readings)
    said = ", ".join(f"{one.gate}: {'unknown' if one.value is None else f'{one.value:.2f}'}" for one in told)
    return f"{said or 'nothing asked'}{f'; {outcome.stopped}' if outcome.verdict == 'cannot tell' else ''}"

"""What the dashboard says about a trial: text, PB, floors and what became of it, as Markdown that shows any text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from defender.answer import answer
from defender.errors import ConfigError
from defender.report.markdown import fenced
from defender.report.tables import markdown_text, visible
from defender.results import read_results
from defender.runs import STUDY, RunFolder

if TYPE_CHECKING:
    from defender.proposers.board import Board


AXES = ("utility", "safety", "over_refusal")


def opened(folder: RunFolder, host: str, port: int) -> Board:
    """Return the dashboard of a search's study, every trial annotated.

    Raises:
        ConfigError: the run has no study, the extra is missing, or the port is taken. StoreError.
    """
    from defender.proposers.board import Board

    if folder.server is None and not (folder.path / STUDY).is_file():
        raise ConfigError(
            f"{folder.path} has no study ({STUDY}): a search writes it, a {folder.config.command} does not; name "
            "the run of a 'defender search'"
        )
    board = Board(folder.study, folder.name, host, port)
    board.annotate(note, about(folder.name, answer(read_results(folder))))
    return board


def note(attrs: Mapping[str, Any]) -> str:
    """Return the note on one trial, from the attributes that ``proposers.outcome`` gave it."""
    parts = [f"## {markdown_text(str(attrs.get('name', '')))}", fenced(visible(str(attrs.get("text", ""))))]
    if attrs.get("seat") == "user":
        parts.append("The sentence about the user goes in front of the question.")
    if "pb" in attrs:
        low, high = attrs["interval"]
        parts.append(
            f"**PB {attrs['pb']:.2f}** ({100 * attrs['level']:g} % {low:.2f} to {high:.2f}), "
            f"noise floor {attrs['noise_floor']:.2f}"
        )
        axes = [f"{axis.replace('_', '-')} {attrs[axis]:.1f} %" for axis in AXES if attrs.get(axis) is not None]
        parts.append(", ".join(axes))
    parts += [f"- floor {markdown_text(name)}: {_gap(gap)}" for name, gap in dict(attrs.get("gaps", {})).items()]
    parts.append(f"**Decision:** {markdown_text(str(attrs.get('decision', 'unknown')))}")
    if attrs.get("failure"):
        parts.append(f"**Failure:** {markdown_text(str(attrs['failure']))}")
    return "\n\n".join(part for part in parts if part)


def _gap(gap: float | None) -> str:
    if gap is None:
        return "not measured"
    return "shown to be kept" if gap <= 0 else f"not shown to be kept: the lower bound is {gap:.2f} short"


def about(run: str, answer: str) -> str:
    """Return the note on the study: the run and its result."""
    return (
        f"## {markdown_text(run)}\n\n{markdown_text(answer)}\n\nValues are signed PB on the items of the search, which "
        "guide and claim nothing; claims are made on held-out items, in the run's report."
    )

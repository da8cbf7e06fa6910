"""Spaces to propose from: one small enough to exhaust, and those that ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from defender.records import Candidate
from defender.space import Choice, Space, load_space

SMALL = Space(
    "small",
    {"plain": "You are an assistant.", "fair": "You are fair."},
    {"kind": {"a": "Be kind.", "b": "Stay kind."}, "calm": {"a": "Be calm."}},
    2,
    ("last", "before_clauses"),
    {"Original": Choice("plain"), "Kind": Choice("plain", (("kind", "b"),))},
)
SMALL_TEXTS = 2 * (1 + 2 * 3 + 2 * 4)
"""Openings x (no clause; one of 3 in 2 places; 2 x 1 pairs in 2 orders, 2 places)."""

COMPACT = replace(SMALL, openings={"plain": "You are an assistant."})
COMPACT_TEXTS = SMALL_TEXTS // 2

WIDE = load_space(Path(__file__).parents[2] / "search_spaces" / "clauses.yaml")
PAPER = load_space(Path(__file__).parents[2] / "search_spaces" / "paper.yaml")


def point(candidate: Candidate) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the opening and the clauses of a candidate from a space."""
    choice = Choice.of(candidate)
    assert choice is not None
    return choice.opening, choice.clauses

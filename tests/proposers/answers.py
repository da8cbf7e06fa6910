"""Answers of a writer model, in the forms DSPy's adapters read."""

from __future__ import annotations

import json

CLAUSES = [
    {"text": "Weigh every word.", "aims_at": "careless answers"},
    {"text": "Take your time.", "aims_at": "haste"},
    {"text": "Say it plainly.", "aims_at": "clutter"},
]


def as_chat(clauses: object = CLAUSES) -> str:
    """Return an answer as DSPy's ChatAdapter reads it."""
    return f"[[ ## clauses ## ]]\n{json.dumps(clauses)}\n\n[[ ## completed ## ]]"


def as_json(clauses: object = CLAUSES) -> str:
    """Return an answer as DSPy's JSONAdapter reads it."""
    return json.dumps({"clauses": clauses})

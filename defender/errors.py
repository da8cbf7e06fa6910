"""Everything that can go wrong, as one tree.

DefenderError                what a user can read and act on; carries the exit code
├── ConfigError        2     a file, option or name is wrong, before anything was spent
│   ├── SpaceError     2     a search space or identity file does not say what it must
│   ├── DataMissing    2     a dataset is not where it should be, or is gated
│   └── ResumeRefused  2     the run folder was started with another configuration
├── StoreError         2     the run folder cannot be written (full, read-only, locked, foreign)
├── EngineDown         3     no request can succeed: dead endpoint, wrong key, unknown model
├── IncompleteMatrix   4     too many cells are missing for a PB to mean anything
├── NothingFeasible    4     no candidate keeps the floors
├── Interrupted      130     the user asked to stop; what was paid for is kept
└── BudgetError        2     the budget cannot pay for what was asked
    └── BudgetSpent    -     raised inside a run at the limit; the loops catch it and end in order

Exit codes 5 (a gate is broken) and 6 (cannot tell) are verdicts of ``defender check`` and no errors.
A failed request is not an error here: it is a ``Response`` with an ``ErrorKind`` and its grade is unscored.
"""

from __future__ import annotations

from copy import copy
from typing import TypeVar

E = TypeVar("E", bound=BaseException)


class DefenderError(Exception):
    """Base of all errors meant for the user. The message says: expected, got, where, what to run next."""

    exit_code = 1


def again(error: E) -> E:
    """Return an error like one that others were told already, caused by that one.

    Every raise adds to an error's traceback: one error raised to thousands who wait would keep all their frames.
    """
    try:
        fresh = copy(error)
    except Exception:  # a guest's error that cannot be made anew: told as it is, without the frames so far
        return error.with_traceback(None)
    fresh.__cause__ = error
    return fresh


class ConfigError(DefenderError):
    """A file, option or name is wrong. Nothing was spent."""

    exit_code = 2


class SpaceError(ConfigError):
    """A search space, identity or run file does not say what it must; the message has file and line."""


class DataMissing(ConfigError):
    """A dataset is not at the given place, is gated, or the machine is offline."""


class ResumeRefused(ConfigError):
    """The run folder was started with another configuration; the message shows the difference."""


class StoreError(DefenderError):
    """The run folder cannot be written or read: disk full, read-only, locked, or not a run of ours."""

    exit_code = 2


class BudgetError(DefenderError):
    """The budget cannot pay for the smallest useful piece of work."""

    exit_code = 2


class BudgetSpent(BudgetError):
    """One more request would overshoot the budget. The loops catch this and end in order."""


class EngineDown(DefenderError):
    """No request can succeed on this endpoint; the message says what was seen."""

    exit_code = 3


class IncompleteMatrix(DefenderError):
    """Too many cells are missing for an estimate; the message counts them per identity and reason."""

    exit_code = 4


class NothingFeasible(DefenderError):
    """No candidate keeps the floors; the message says by how much the best ones miss."""

    exit_code = 4


class Interrupted(DefenderError):
    """The user asked to stop. Everything paid for is kept; the same command with --resume goes on."""

    exit_code = 130


def install(extra: str) -> str:
    """Return the command that installs an optional part of this package, which is on no index under this name."""
    return f"pip install '.[{extra}]' in the clone of defender"

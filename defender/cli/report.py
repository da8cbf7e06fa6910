"""``defender report``."""

from __future__ import annotations

from pathlib import Path

from defender.cli.console import say_conclusion
from defender.cli.options import Json, RunName, Runs, Store


def report(run: RunName, store: Store = None, runs: Runs = Path("runs"), json: Json = False) -> None:
    """Write a run's report again, offline, from what is stored."""
    from defender.runs import load_run

    say_conclusion(load_run(runs, run, store), json)

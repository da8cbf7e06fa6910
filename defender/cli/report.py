"""``defender report``."""

from __future__ import annotations

from pathlib import Path

from defender.cli.console import say, say_conclusion
from defender.cli.options import Json, RunName, Runs, Store


def report(run: RunName, store: Store = None, runs: Runs = Path("runs"), json: Json = False) -> None:
    """Write a run's report again, offline, from what is stored."""
    from defender.abreast import conclude_several
    from defender.runs import load_run
    from defender.several import read_group

    group = read_group(runs, run)
    if group is not None:
        say(*conclude_several(group), json)
        return
    say_conclusion(load_run(runs, run, store), json)

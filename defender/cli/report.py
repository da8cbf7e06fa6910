"""``defender report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import say, say_conclusion
from defender.cli.options import Json, RunName, Runs, Store


def report(
    run: RunName,
    beside: Annotated[
        list[str] | None, typer.Option(help="Another run, to show its model's PB beside; repeatable.")
    ] = None,
    show_items: Annotated[
        bool, typer.Option("--show-items", help="Also questions and answers, which may be harmful, in the page.")
    ] = False,
    store: Store = None,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Write a run's report again, offline, from what is stored: a page, Markdown, tables and figures."""
    from defender.abreast import conclude_several
    from defender.runs import load_run
    from defender.several import read_group

    group = read_group(runs, run, store)
    if group is not None:
        say(*conclude_several(group), json)
        return
    say_conclusion(load_run(runs, run, store), json, [load_run(runs, name, store) for name in beside or ()], show_items)

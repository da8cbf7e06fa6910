"""``defender ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import names, say, wait, watching
from defender.cli.options import Data, InFlight, Json, MaxRequests, Quiet, Resume, RunName, Runs, Store

CHANGES = "left-out, added, order, placement, role, wording, opening, combinations"


def ablate(
    run: RunName,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="Another prompt of the run than the winner, by name or id.")
    ] = None,
    only: Annotated[str | None, typer.Option(help=f"Comma-separated, out of: {CHANGES} (default: all).")] = None,
    items: Annotated[int | None, typer.Option(help="Items per benchmark (default: all that claims were on).")] = None,
    margin: Annotated[
        float | None, typer.Option(help="PB points that count as no loss (default: 0.15).", show_default=False)
    ] = None,
    data: Data = None,
    max_requests: MaxRequests = None,
    in_flight: InFlight = None,
    price: Annotated[bool, typer.Option("--price", help="Say what it would cost at most, and send nothing.")] = False,
    runs: Runs = Path("runs"),
    store: Store = None,
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = None,
) -> None:
    """Say what each clause of a prompt does, which may go, and offer the shorter prompt."""
    from defender.ablating import asked, open_ablation, priced, run_ablation
    from defender.reckoning import conclude
    from defender.runs import load_run

    parent = load_run(runs, run, store)
    changes = asked(names(only), items, margin) | {
        "data": data or parent.config.data,
        "budget": {"max_requests": max_requests},
        "speed": {"in_flight": in_flight or parent.config.speed.in_flight},
    }
    opened = open_ablation(parent, prompt, changes, resume=resume, make=not price)
    if price:
        say(*priced(opened), json)
        return
    with watching(opened.folder, json or quiet) as watch:
        wait(run_ablation(opened, watch))
    say(*conclude(opened.folder), json)

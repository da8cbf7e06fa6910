"""``defender dashboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import print_json
from defender.cli.options import Json, RunName, Runs, Store


def dashboard(
    run: RunName,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    store: Store = None,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Open a search's trials in optuna-dashboard, each with a note of its text, PB, floors and decision."""
    from defender.notes import opened
    from defender.runs import load_run

    board = opened(load_run(runs, run, store), host, port)
    if json:
        print_json({"url": board.url})
    else:
        typer.echo(f"{board.url}  (Ctrl-C ends it)")
    board.serve()

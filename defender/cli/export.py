"""``defender export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import print_json
from defender.cli.options import Json, RunName, Runs


def export(
    run: RunName,
    format: Annotated[str, typer.Option("--format", "-f", help="text, json or yaml; 'all' for every format.")] = "text",
    into: Annotated[Path, typer.Option("--into", help="Folder to write to.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Export although it is not confirmed as better.")] = False,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Write the winning prompt for production, with its provenance."""
    from defender.delivery import deliver
    from defender.runs import load_run

    files = deliver(load_run(runs, run), format, into, force=force)
    if json:
        print_json({"files": [{"path": f.path, "format": f.format, "sha256": f.sha256} for f in files]})
    else:
        for file in files:
            typer.echo(f"{file.format:6} {file.path}  sha256 of the prompt {file.sha256}")

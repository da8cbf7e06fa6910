"""The commands, put together, and what happens to an error."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from defender import __version__
from defender.cli.ablate import ablate
from defender.cli.calibrate import calibrate
from defender.cli.check import check
from defender.cli.console import harmless
from defender.cli.dashboard import dashboard
from defender.cli.doctor import doctor
from defender.cli.export import export
from defender.cli.measure import measure
from defender.cli.plan import plan
from defender.cli.report import report
from defender.cli.schema import schema
from defender.cli.search import search
from defender.cli.serve import serve
from defender.cli.worker import worker
from defender.errors import DefenderError

app = typer.Typer(
    help="Find the system prompt that makes an assistant treat every user the same: measure personalization bias, "
    "search defense prompts, confirm on held-out items, export.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts twice as fast
)

COMMANDS = (
    *(search, measure, ablate, plan, report, export, check),
    *(serve, worker, doctor, calibrate, dashboard, schema),
)
for command in COMMANDS:
    app.command()(command)


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Parse what comes before the command."""
    if version:
        typer.echo(f"defender {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a DefenderError is one line on stderr and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # or a name the console has no signs for ends a run
    try:
        app()
    except DefenderError as error:
        typer.echo(harmless(f"error: {' '.join(str(error).split())}"), err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("stopped; everything paid for is kept, run the same command again to go on", err=True)
        sys.exit(130)

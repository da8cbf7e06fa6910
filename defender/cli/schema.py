"""``defender schema``: what run files, search spaces and identity sets may say."""

from __future__ import annotations

from typing import Annotated

import typer

from defender.cli.console import print_json
from defender.errors import ConfigError


def schema(
    kind: Annotated[str, typer.Argument(help="run, space or identities.")] = "run",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The table of docs/configuration.md (run only).")
    ] = False,
) -> None:
    """Print the JSON Schema of a kind of file, for editors and checks."""
    from defender.schemas.reference import KINDS, reference, schema_of

    known = {name: name for name in KINDS}
    if kind not in known or (markdown and kind != "run"):
        raise ConfigError(f"no schema '{kind}'{' in Markdown' if markdown else ''}; there are: {', '.join(KINDS)}")
    if markdown:
        typer.echo(reference(), nl=False)
    else:
        print_json(schema_of(known[kind]))

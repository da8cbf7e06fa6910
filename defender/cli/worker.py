"""``defender worker``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from defender.cli.console import print_json, servers, wait
from defender.cli.options import BaseUrl, InFlight, Json, KeyEnv, Model, Quiet


def worker(
    run: Annotated[
        str, typer.Option("--run", envvar="DEFENDER_STORE", help="postgresql+psycopg://USER@HOST/DATABASE#RUN.")
    ],
    name: Annotated[str, typer.Option(help="The run's name, where the URL does not end in '#RUN'.")] = "",
    model: Model = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    in_flight: InFlight = None,
    patience: Annotated[
        float, typer.Option("--wait", min=30, help="Seconds to wait for a run whose leader has gone without a word.")
    ] = 300.0,
    lease: Annotated[
        float, typer.Option(min=1, help="Seconds after which others ask what a lost worker was asking.")
    ] = 30.0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer requests of a search or measurement that runs elsewhere, with this machine's own endpoint."""
    from defender.address import address_of
    from defender.workplace import Joining, join

    def tell(words: str) -> None:
        if not (quiet or json):
            print(words, file=sys.stderr, flush=True)

    brings = Joining(servers(base_url), model, api_key_env, in_flight, patience, lease)
    answered, why = wait(join(address_of(run, name), brings, tell))
    if json:
        print_json({"answered": answered, "ended": why})
    else:
        typer.echo(f"answered {answered} requests; {why}")

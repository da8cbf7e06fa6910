"""``defender serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import settle, wait
from defender.cli.options import Config, Quiet


def serve(
    model: Annotated[str | None, typer.Argument(help="A preset (llama-3.1-8b, ...), a hub id, or a folder.")] = None,
    config: Config = None,
    port: Annotated[int | None, typer.Option(help="Where to listen (default: a free port).")] = None,
    host: Annotated[str | None, typer.Option(help="0.0.0.0 lets other machines ask (default: this one only).")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Tokens of prompt and answer together.")] = None,
    tensor_parallel: Annotated[int | None, typer.Option(help="GPUs the model is split over.")] = None,
    python: Annotated[str | None, typer.Option(help="The Python that has vLLM.")] = None,
    log: Annotated[Path, typer.Option(help="Where vLLM's log goes.")] = Path("vllm.log"),
    quiet: Quiet = False,
) -> None:
    """Start the model's server the way a run would, and keep it until Ctrl-C; runs started meanwhile share it."""
    from defender.presets import presets
    from defender.serving import serve_model

    settings = settle("measure", config, {
        "model.name": model if model in presets() else None, "model.vllm": None if model in presets() else model,
        "model.server.port": port, "model.server.host": host, "model.server.python": python,
        "model.server.max_model_len": max_model_len, "model.server.tensor_parallel": tensor_parallel,
    })  # fmt: skip

    def ready(url: str, name: str, where: str) -> None:
        typer.echo(url)
        if not quiet:
            typer.echo(f"serving {name}; log {where}; Ctrl-C ends it", err=True)
            typer.echo(f"defender measure --model {name} --base-url {url}", err=True)

    try:
        wait(serve_model(settings, log, lambda words: None if quiet else typer.echo(words, err=True), ready))
    except KeyboardInterrupt:
        if not quiet:
            typer.echo("ended", err=True)

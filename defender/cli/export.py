"""``defender export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import print_json
from defender.cli.options import Json, RunName, Runs, Store

FORMATS = (
    "text, json, yaml, litellm, vllm, kubernetes, openai, langchain, langfuse, prompty, dotprompt, promptfoo, mlflow, "
    "dspy"
)


def export(
    run: RunName,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help=f"{FORMATS}; 'all' for every format that can carry the prompt; 'parquet' for all cells.",
        ),
    ] = "text",
    into: Annotated[Path, typer.Option("--into", help="Folder to write to.")] = Path(),
    prompt: Annotated[str | None, typer.Option("--prompt", help="Another prompt of the run than the winner.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Export although it is not shown to be better.")] = False,
    model_template: Annotated[
        Path | None,
        typer.Option("--model-template", help="vllm: the served model's folder, or its own chat template."),
    ] = None,
    responses: Annotated[
        bool, typer.Option("--responses", help="parquet: with the answers, which may hold harmful text.")
    ] = False,
    store: Store = None,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Write the winning prompt for production, with its provenance."""
    from defender.delivery import deliver
    from defender.extract import extract
    from defender.runs import load_run

    folder = load_run(runs, run, store)
    if format == "parquet":
        found = extract(folder, into, responses=responses)
        if json:
            print_json({"path": str(found.path), "cells": found.cells})
        else:
            typer.echo(f"{'parquet':10} {found.path}  {found.cells} cells")
        return
    done = deliver(folder, format, into, prompt=prompt, force=force, model_template=model_template)
    if json:
        files = [{"path": f.path, "format": f.format, "sha256": f.sha256} for f in done.files]
        print_json({"files": files, "refused": dict(done.refused)})
        return
    for file in done.files:
        typer.echo(f"{file.format:10} {file.path}  sha256 of the prompt {file.sha256}")
    for name, why in done.refused.items():
        typer.echo(f"{name:10} not written: {why}", err=True)

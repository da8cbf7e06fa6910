"""The options that commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option("--config", help="YAML run file; options below override it.")]
SpaceOption = Annotated[str | None, typer.Option("--space", help="Search space: a YAML path, or clauses, paper.")]
Model = Annotated[
    str | None, typer.Option("--model", help="'embedded', a preset (llama-3.1-8b, ...), or a name your server serves.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", help="As a name: 'embedded', a preset (llama-3.1-8b, ...), one your server serves; repeatable."
    ),
]
BaseUrl = Annotated[
    list[str] | None, typer.Option("--base-url", help="OpenAI-compatible endpoint, http://HOST:PORT/v1; repeatable.")
]
Vllm = Annotated[str | None, typer.Option("--vllm", help="Start vLLM here with this model: a hub id or a folder.")]
KeyEnv = Annotated[str | None, typer.Option("--api-key-env", help="Environment variable that holds the API key.")]
Alias = Annotated[
    str | None, typer.Option("--alias", help="Name that stands for the URL, so that answers survive a move.")
]
Identities = Annotated[str | None, typer.Option("--identities", help="'paper' (its 31) or the path of a YAML file.")]
Benchmarks = Annotated[
    str | None, typer.Option("--benchmarks", help="Comma-separated benchmark names, or own Python files.")
]
Protocol = Annotated[str | None, typer.Option("--protocol", help="'default' for decisions, 'paper' to reproduce it.")]
Data = Annotated[str | None, typer.Option("--data", envvar="DEFENDER_DATA", help="Folder with datasets in hub layout.")]
JudgeKind = Annotated[str | None, typer.Option("--judge", help="auto, refusal, model, guard or classifier.")]
JudgeModel = Annotated[str | None, typer.Option("--judge-model", help="The judge model's served name or checkpoint.")]
JudgeUrl = Annotated[str | None, typer.Option("--judge-base-url", help="The judge's OpenAI-compatible endpoint.")]
AnswerTokens = Annotated[
    int | None, typer.Option("--answer-tokens", help="The most tokens of an answer, where a protocol allows more.")
]
Proposer = Annotated[
    str | None, typer.Option("--proposer", help="thompson (default), tpe, nsga2, random, exhaustive, listed.")
]
Strategy = Annotated[
    str | None, typer.Option("--strategy", help="race (default); to compare: random, seeds, tpe, gepa, mipro, copro.")
]
Joint = Annotated[
    str | None, typer.Option("--joint", help="With several --model: one prompt for all, by their 'worst' or 'mean' PB.")
]
MaxRequests = Annotated[int | None, typer.Option("--max-requests", help="Budget of wire requests, retries included.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="Budget of tokens, prompts and answers.")]
MaxUsd = Annotated[float | None, typer.Option("--max-usd", help="Budget in dollars, by the run file's price table.")]
MaxHours = Annotated[float | None, typer.Option("--max-hours", help="Budget of hours at work, all sittings together.")]
InFlight = Annotated[int | None, typer.Option("--in-flight", help="Requests awaiting the engine at once.")]
Run = Annotated[str | None, typer.Option("--run", help="Run name or folder; the same command again resumes it.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of all runs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an existing run; refuse to start a new one.")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="DEFENDER_STORE", help="Keep the run in PostgreSQL: postgresql+psycopg://USER@HOST/DATABASE."
    ),
]
Phrasings = Annotated[
    str | None, typer.Option(help="'same' sentence about the user as the search, or 'held_out' ones.")
]
Workers = Annotated[
    str | None, typer.Option("--workers", help="With --store: 'join' (they answer beside this machine) or 'only' they.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[
    bool | None,
    typer.Option("--quiet/--progress", "-q", help="No progress on stderr, or lines of it even where that is a pipe."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Run name under --runs, or its folder.")]

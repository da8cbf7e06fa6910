"""``defender check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import budget_of, judge_of, names, open_or_resume, say, settle, wait, watching
from defender.cli.options import (
    Alias,
    AnswerTokens,
    BaseUrl,
    Benchmarks,
    Config,
    Data,
    Identities,
    InFlight,
    Json,
    JudgeKind,
    JudgeModel,
    JudgeUrl,
    KeyEnv,
    MaxHours,
    MaxRequests,
    MaxTokens,
    MaxUsd,
    Model,
    Protocol,
    Quiet,
    Resume,
    Run,
    Runs,
    Store,
    Vllm,
)


def check(
    prompt: Annotated[list[Path], typer.Argument(help="Prompt files, or prompts that 'defender export' wrote.")],
    max_pb: Annotated[float | None, typer.Option(help="The most personalization bias, points.")] = None,
    min_utility: Annotated[float | None, typer.Option(help="The least mean utility, percent.")] = None,
    min_safety: Annotated[float | None, typer.Option(help="The least mean safety, percent.")] = None,
    max_over_refusal: Annotated[float | None, typer.Option(help="The most harmless requests refused, percent.")] = None,
    confidence: Annotated[float | None, typer.Option(help="1 - the chance of either wrong verdict (0.95).")] = None,
    config: Config = None,
    model: Model = None,
    base_url: BaseUrl = None,
    vllm: Vllm = None,
    api_key_env: KeyEnv = None,
    alias: Alias = None,
    identities: Identities = None,
    benchmarks: Benchmarks = None,
    protocol: Protocol = None,
    data: Data = None,
    judge: JudgeKind = None,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    items: Annotated[int | None, typer.Option(help="The most items per benchmark (default: all).")] = None,
    repeats: Annotated[int | None, typer.Option(help="Times each cell is asked (default: 1; paper: 3).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds the draw of items.")] = None,
    answer_tokens: AnswerTokens = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    max_hours: MaxHours = None,
    in_flight: InFlight = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write the JUnit XML here.")] = None,
    store: Store = None,
    run: Run = None,
    runs: Runs = Path("runs"),
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hold prompts to limits: exit code 0 where all are kept, 5 where one is broken, 6 where nobody can tell."""
    from defender.checked import document, keep, lines
    from defender.checking import run_check

    settings = settle("check", config, {
        "model.name": model, "model.base_url": base_url, "model.vllm": vllm, "model.api_key_env": api_key_env,
        "model.alias": alias, "model.max_tokens": answer_tokens, "identities": identities,
        "benchmarks": names(benchmarks), "protocol": protocol, "data": data,
        **judge_of(judge, judge_model, judge_base_url),
        "measure.items": items, "measure.repeats": repeats, "prompts": [str(path) for path in prompt], "seed": seed,
        "check.max_pb": max_pb, "check.min_utility": min_utility, "check.min_safety": min_safety,
        "check.max_over_refusal": max_over_refusal, "check.confidence": confidence,
        **budget_of(max_requests, max_tokens, max_usd, max_hours), "speed.in_flight": in_flight, "store": store,
    })  # fmt: skip
    prepared, folder = open_or_resume(settings, runs, run, resume)
    with watching(folder, quiet or json) as watch:
        found = wait(run_check(folder, prepared, watch))
    keep(found, junit)
    say(lines(found), document(found), json)
    raise typer.Exit(found.exit_code)

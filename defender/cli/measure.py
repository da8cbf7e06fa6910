"""``defender measure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import begin, budget_of, judge_of, models_of, names, settle
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
    Models,
    Protocol,
    Quiet,
    Resume,
    Run,
    Runs,
    SpaceOption,
    Store,
    Vllm,
    Workers,
)


def measure(
    prompt: Annotated[list[Path] | None, typer.Argument(help="Prompt files; none measures the space's seeds.")] = None,
    config: Config = None,
    space: SpaceOption = None,
    model: Models = None,
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
    items: Annotated[int | None, typer.Option(help="Items per benchmark (default: all).")] = None,
    repeats: Annotated[int | None, typer.Option(help="Times each cell is asked (default: 1; paper: 3).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds the draw of items.")] = None,
    answer_tokens: AnswerTokens = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    max_hours: MaxHours = None,
    in_flight: InFlight = None,
    store: Store = None,
    workers: Workers = None,
    run: Run = None,
    runs: Runs = Path("runs"),
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = None,
) -> None:
    """Measure prompts: the full table of PB, interval, noise floor, utility and safety."""
    from defender.session import run_measure

    settings = settle("measure", config, {
        "space": space or ("paper" if config is None and not prompt else None), **models_of(model),
        "model.base_url": base_url, "model.vllm": vllm, "model.api_key_env": api_key_env, "model.alias": alias,
        "model.max_tokens": answer_tokens, "identities": identities, "benchmarks": names(benchmarks),
        "protocol": protocol, "data": data, **judge_of(judge, judge_model, judge_base_url), "measure.items": items,
        "measure.repeats": repeats, "prompts": [str(path) for path in prompt] if prompt else None,
        "seed": seed, **budget_of(max_requests, max_tokens, max_usd, max_hours), "speed.in_flight": in_flight,
        "store": store, "speed.workers": workers,
    })  # fmt: skip
    begin(run_measure, settings, (runs, run, resume), json, quiet)

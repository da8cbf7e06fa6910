"""``defender search``."""

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
    Joint,
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
    Phrasings,
    Proposer,
    Protocol,
    Quiet,
    Resume,
    Run,
    Runs,
    SpaceOption,
    Store,
    Strategy,
    Vllm,
    Workers,
)


def search(
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
    items: Annotated[int | None, typer.Option(help="Search items per benchmark, for the best (default: 96).")] = None,
    confirm_items: Annotated[int | None, typer.Option(help="Held-out items per benchmark (default: 80).")] = None,
    confirm_phrasings: Phrasings = None,
    candidates: Annotated[int | None, typer.Option(help="The most candidates to measure.")] = None,
    generation: Annotated[int | None, typer.Option(help="Candidates raced side by side.")] = None,
    finalists: Annotated[int | None, typer.Option(help="Candidates that go to confirm beside the seeds.")] = None,
    proposer: Proposer = None,
    writer_model: Annotated[
        str | None, typer.Option(help="A served model that writes new clauses while searching.")
    ] = None,
    writer_base_url: Annotated[str | None, typer.Option(help="The writer's OpenAI-compatible endpoint.")] = None,
    strategy: Strategy = None,
    joint: Joint = None,
    min_utility: Annotated[str | None, typer.Option(help="Floor: percent ('60') or 'Original-1'.")] = None,
    min_safety: Annotated[str | None, typer.Option(help="Floor: percent ('90') or 'Original-1'.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds the proposer and the draw of items.")] = None,
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
    """Find defense prompts: race candidates, confirm the best on held-out items, write prompt and report."""
    from defender.session import run_search

    settings = settle("search", config, {
        "space": space, **models_of(model), "model.base_url": base_url, "model.vllm": vllm, "model.alias": alias,
        "model.api_key_env": api_key_env, "model.max_tokens": answer_tokens, "identities": identities,
        "benchmarks": names(benchmarks), "protocol": protocol, "data": data, "search.items": items,
        **judge_of(judge, judge_model, judge_base_url), "confirm.items": confirm_items,
        "confirm.phrasings": confirm_phrasings, "search.candidates": candidates, "search.generation": generation,
        "search.finalists": finalists, "search.proposer": proposer, "search.strategy": strategy, "search.joint": joint,
        "search.writer.model": writer_model, "search.writer.base_url": writer_base_url, "floors.utility": min_utility,
        "floors.safety": min_safety, "seed": seed, "speed.in_flight": in_flight, "store": store,
        "speed.workers": workers, **budget_of(max_requests, max_tokens, max_usd, max_hours),
    })  # fmt: skip
    begin(run_search, settings, (runs, run, resume), json, quiet)

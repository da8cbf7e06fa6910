"""``defender doctor``."""

from __future__ import annotations

from pathlib import Path

import typer

from defender.cli.console import counting, harmless, judge_of, names, print_json, settle, wait
from defender.cli.options import (
    AnswerTokens,
    BaseUrl,
    Benchmarks,
    Config,
    Data,
    Json,
    JudgeKind,
    JudgeModel,
    JudgeUrl,
    KeyEnv,
    Model,
    Protocol,
    Quiet,
    Runs,
    Vllm,
)


def doctor(
    config: Config = None,
    model: Model = None,
    base_url: BaseUrl = None,
    vllm: Vllm = None,
    api_key_env: KeyEnv = None,
    benchmarks: Benchmarks = None,
    protocol: Protocol = None,
    data: Data = None,
    judge: JudgeKind = None,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    answer_tokens: AnswerTokens = None,
    runs: Runs = Path("runs"),
    json: Json = False,
    quiet: Quiet = None,
) -> None:
    """Say what is missing on this machine and how to get it; exit 2 when something asked for cannot work."""
    from defender.examination import examine

    settings = settle("measure", config, {
        "model.name": model, "model.base_url": base_url, "model.vllm": vllm, "model.api_key_env": api_key_env,
        "model.max_tokens": answer_tokens, "benchmarks": names(benchmarks), "protocol": protocol, "data": data,
        **judge_of(judge, judge_model, judge_base_url),
    })  # fmt: skip
    with counting(json or quiet) as told:
        findings = wait(examine(settings, runs, told))
    if json:
        print_json({"findings": [finding.as_dict() for finding in findings]})
    else:
        for finding in findings:
            typer.echo(harmless(f"{finding.state:8} {finding.what}: {finding.detail}"))
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(2)

"""``defender plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import judge_of, names, say, settle
from defender.cli.options import (
    BaseUrl,
    Benchmarks,
    Config,
    Data,
    Identities,
    Json,
    JudgeKind,
    JudgeModel,
    JudgeUrl,
    MaxRequests,
    Model,
    Protocol,
    Runs,
    SpaceOption,
)


def plan(
    prompt: Annotated[list[Path] | None, typer.Argument(help="Prompt files; none plans the space's seeds.")] = None,
    config: Config = None,
    space: SpaceOption = None,
    model: Model = None,
    base_url: BaseUrl = None,
    identities: Identities = None,
    benchmarks: Benchmarks = None,
    protocol: Protocol = None,
    data: Data = None,
    judge: JudgeKind = None,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    within: Annotated[float | None, typer.Option(help="Wish: PB to within this many points (95 %).")] = None,
    tell: Annotated[list[str] | None, typer.Option(help="Wish: tell two prompts apart, 'D4:D3'; repeatable.")] = None,
    pilot: Annotated[str | None, typer.Option(help="A run that measured these prompts: plan from its numbers.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Times each cell is asked.")] = None,
    max_requests: MaxRequests = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Requests a second the server answers.")] = None,
    usd_in: Annotated[float | None, typer.Option(min=0, help="Dollars per million prompt tokens.")] = None,
    usd_out: Annotated[float | None, typer.Option(min=0, help="Dollars per million completion tokens.")] = None,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Say what a measurement or search would cost and show, before it is paid for."""
    from defender.build import prepare
    from defender.planned import document, lines
    from defender.planning import Wishes, forecast, pairs_of
    from defender.results import read_results
    from defender.runs import load_run

    settings = settle("measure" if prompt else "search", config, {
        "space": space or ("paper" if config is None and not prompt else None), "model.name": model,
        "model.base_url": base_url, "identities": identities, "benchmarks": names(benchmarks), "protocol": protocol,
        "data": data, **judge_of(judge, judge_model, judge_base_url), "measure.repeats": repeats,
        "prompts": [str(path) for path in prompt] if prompt else None,
    })  # fmt: skip
    limit = settings.budget.max_requests if max_requests is None else max_requests
    wishes = Wishes(within, pairs_of(tell or ()), limit, rate, usd_in, usd_out)
    found = forecast(prepare(settings), wishes, read_results(load_run(runs, pilot)) if pilot else None)
    say(lines(found), document(found), json)

"""The command line: parse, build, call, print. No decisions here; rooms are imported when a command needs them."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from defender import __version__
from defender.errors import DefenderError

if TYPE_CHECKING:
    from defender.build import Prepared
    from defender.config import RunConfig
    from defender.runs import RunFolder

T = TypeVar("T")

app = typer.Typer(
    help="Find the system prompt that makes an assistant treat every user the same: measure personalization bias, "
    "search defense prompts, confirm on held-out items, export.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts twice as fast
)

Config = Annotated[Path | None, typer.Option("--config", help="YAML run file; options below override it.")]
SpaceOption = Annotated[str | None, typer.Option("--space", help="Search space: a YAML path, or clauses, paper.")]
Model = Annotated[str | None, typer.Option("--model", help="'embedded', or the model name your server serves.")]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="OpenAI-compatible endpoint, http://HOST:PORT/v1.")]
KeyEnv = Annotated[str | None, typer.Option("--api-key-env", help="Environment variable that holds the API key.")]
Alias = Annotated[
    str | None, typer.Option("--alias", help="Name that stands for the URL, so that answers survive a move.")
]
Identities = Annotated[str | None, typer.Option("--identities", help="'paper' (its 31) or the path of a YAML file.")]
Benchmarks = Annotated[str | None, typer.Option("--benchmarks", help="Comma-separated benchmark names.")]
Protocol = Annotated[str | None, typer.Option("--protocol", help="'default' for decisions, 'paper' to reproduce it.")]
Data = Annotated[str | None, typer.Option("--data", envvar="DEFENDER_DATA", help="Folder with datasets in hub layout.")]
JudgeKind = Annotated[str | None, typer.Option("--judge", help="refusal (default), model, guard or classifier.")]
JudgeModel = Annotated[str | None, typer.Option("--judge-model", help="The judge model's served name or checkpoint.")]
JudgeUrl = Annotated[str | None, typer.Option("--judge-base-url", help="The judge's OpenAI-compatible endpoint.")]
MaxRequests = Annotated[int | None, typer.Option("--max-requests", help="Budget of wire requests, retries included.")]
InFlight = Annotated[int | None, typer.Option("--in-flight", help="Requests awaiting the engine at once.")]
Run = Annotated[str | None, typer.Option("--run", help="Run name or folder; the same command again resumes it.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of all runs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an existing run; refuse to start a new one.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Run name under --runs, or its folder.")]


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Parse what comes before the command."""
    if version:
        typer.echo(f"defender {__version__}")
        raise typer.Exit


@app.command()
def search(
    config: Config = None,
    space: SpaceOption = None,
    model: Model = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    alias: Alias = None,
    identities: Identities = None,
    benchmarks: Benchmarks = None,
    protocol: Protocol = None,
    data: Data = None,
    judge: JudgeKind = None,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    items: Annotated[int | None, typer.Option(help="Search items per benchmark (default: 32).")] = None,
    confirm_items: Annotated[int | None, typer.Option(help="Held-out items per benchmark (default: 80).")] = None,
    candidates: Annotated[int | None, typer.Option(help="The most candidates to measure.")] = None,
    generation: Annotated[int | None, typer.Option(help="Candidates raced side by side.")] = None,
    finalists: Annotated[int | None, typer.Option(help="Candidates that go to confirm beside the seeds.")] = None,
    proposer: Annotated[str | None, typer.Option(help="'sampled' (Optuna) or 'listed' (the seeds only).")] = None,
    min_utility: Annotated[str | None, typer.Option(help="Floor: percent ('60') or 'Original-1'.")] = None,
    min_safety: Annotated[str | None, typer.Option(help="Floor: percent ('90') or 'Original-1'.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds the proposer.")] = None,
    max_requests: MaxRequests = None,
    in_flight: InFlight = None,
    run: Run = None,
    runs: Runs = Path("runs"),
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find defense prompts: race candidates, confirm the best on held-out items, write prompt and report."""
    from defender.session import run_search

    settings = _config("search", config, {
        "space": space, "model.name": model, "model.base_url": base_url, "model.api_key_env": api_key_env,
        "model.alias": alias, "identities": identities, "benchmarks": _names(benchmarks), "protocol": protocol,
        "data": data, **_judge(judge, judge_model, judge_base_url), "search.items": items,
        "confirm.items": confirm_items, "search.candidates": candidates, "search.generation": generation,
        "search.finalists": finalists, "search.proposer": proposer, "floors.utility": min_utility,
        "floors.safety": min_safety, "seed": seed, "budget.max_requests": max_requests,
        "speed.in_flight": in_flight,
    })  # fmt: skip
    prepared, folder = _open(settings, runs, run, resume)
    with _watching(folder, quiet or json) as watch:
        _wait(run_search(folder, prepared, watch))
    _conclude(folder, json)


@app.command()
def measure(
    prompt: Annotated[list[Path] | None, typer.Argument(help="Prompt files; none measures the space's seeds.")] = None,
    config: Config = None,
    space: SpaceOption = None,
    model: Model = None,
    base_url: BaseUrl = None,
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
    repeats: Annotated[int | None, typer.Option(help="Times each cell is asked.")] = None,
    max_requests: MaxRequests = None,
    in_flight: InFlight = None,
    run: Run = None,
    runs: Runs = Path("runs"),
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure prompts: the full table of PB, interval, noise floor, utility and safety."""
    from defender.session import run_measure

    settings = _config("measure", config, {
        "space": space or ("paper" if config is None and not prompt else None), "model.name": model,
        "model.base_url": base_url, "model.api_key_env": api_key_env, "model.alias": alias, "identities": identities,
        "benchmarks": _names(benchmarks), "protocol": protocol, "data": data,
        **_judge(judge, judge_model, judge_base_url), "measure.items": items,
        "measure.repeats": repeats, "prompts": [str(path) for path in prompt] if prompt else None,
        "budget.max_requests": max_requests, "speed.in_flight": in_flight,
    })  # fmt: skip
    prepared, folder = _open(settings, runs, run, resume)
    with _watching(folder, quiet or json) as watch:
        _wait(run_measure(folder, prepared, watch))
    _conclude(folder, json)


@app.command()
def report(run: RunName, runs: Runs = Path("runs"), json: Json = False) -> None:
    """Write a run's report again, offline, from what is stored."""
    from defender.runs import load_run

    _conclude(load_run(runs, run), json)


@app.command()
def export(
    run: RunName,
    format: Annotated[str, typer.Option("--format", "-f", help="text, json or yaml; 'all' for every format.")] = "text",
    into: Annotated[Path, typer.Option("--into", help="Folder to write to.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Export although it is not confirmed as better.")] = False,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Write the winning prompt for production, with its provenance."""
    from defender.delivery import deliver
    from defender.runs import load_run

    files = deliver(load_run(runs, run), format, into, force=force)
    if json:
        _print_json({"files": [{"path": f.path, "format": f.format, "sha256": f.sha256} for f in files]})
    else:
        for file in files:
            typer.echo(f"{file.format:6} {file.path}  sha256 of the prompt {file.sha256}")


@app.command()
def doctor(
    model: Model = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    benchmarks: Benchmarks = None,
    protocol: Protocol = None,
    data: Data = None,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Say what is missing on this machine and how to get it; exit 2 when something asked for cannot work."""
    from defender.examination import examine

    settings = _config("measure", None, {
        "model.name": model, "model.base_url": base_url, "model.api_key_env": api_key_env,
        "benchmarks": _names(benchmarks), "protocol": protocol, "data": data,
    })  # fmt: skip
    findings = _wait(examine(settings, runs))
    if json:
        _print_json({"findings": [finding.as_dict() for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.state:8} {finding.what}: {finding.detail}")
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(2)


@app.command()
def calibrate(
    labelled: Annotated[Path, typer.Argument(help="CSV with the columns question, response, label.")],
    judge: JudgeKind = None,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    axis: Annotated[str, typer.Option(help="'safety' or 'over_refusal'.")] = "safety",
    rubric: Annotated[
        str, typer.Option(help="do_not_answer, strong_reject or xstest (judge models).")
    ] = "do_not_answer",
    json: Json = False,
) -> None:
    """Score a judge against labelled responses: agreement and errors per class, with intervals."""
    from defender.examination import calibrated

    settings = _config("measure", None, _judge(judge, judge_model, judge_base_url))
    _print(*_wait(calibrated(settings, labelled, axis, rubric)), json)


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text is not None else None


def _judge(kind: str | None, model: str | None, base_url: str | None) -> dict[str, Any]:
    return {"judge.kind": kind, "judge.name": model, "judge.base_url": base_url}


def _config(command: str, path: Path | None, overrides: dict[str, Any]) -> RunConfig:
    from defender.config import load_config

    return load_config(path, {"command": command, **overrides})


def _open(config: RunConfig, runs: Path, name: str | None, resume: bool) -> tuple[Prepared, RunFolder]:
    """Build what can be built before a folder is made, then open the folder."""
    from defender.build import prepare
    from defender.runs import open_run

    prepared = prepare(config)
    return prepared, open_run(config, runs, name, contents=prepared.contents, must_exist=resume)


def _watching(folder: RunFolder, quiet: bool) -> Any:
    from defender.progress import watching

    return watching(folder, quiet=quiet)


def _wait(work: Coroutine[Any, Any, T]) -> T:
    import asyncio

    return asyncio.run(work)


def _conclude(folder: RunFolder, json: bool) -> None:
    from defender.conclusion import conclude

    _print(*conclude(folder), json)


def _print(lines: list[str], document: dict[str, Any], json: bool) -> None:
    if json:
        _print_json(document)
    else:
        typer.echo("\n".join(lines))


def _print_json(document: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(document, indent=1, ensure_ascii=False))


def main() -> None:
    """Run the command line; a DefenderError is one line on stderr and its exit code."""
    try:
        app()
    except DefenderError as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("stopped; everything paid for is kept, run the same command again to go on", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()

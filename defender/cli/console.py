"""What commands do alike: settle the configuration, open the run, wait, print."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import category

import typer

if TYPE_CHECKING:
    from defender.build import Prepared
    from defender.config import RunConfig
    from defender.runs import RunFolder

T = TypeVar("T")

COLLECT = (50_000, 20, 100)
"""Allocations, and times, between two collections of each generation (Python's own: 700, 10, 10)."""


def names(text: str | None) -> list[str] | None:
    """Split a comma-separated option."""
    return [name.strip() for name in text.split(",") if name.strip()] if text is not None else None


def judge_of(kind: str | None, model: str | None, base_url: str | None) -> dict[str, Any]:
    """Return the settings of the judge options."""
    return {"judge.kind": kind, "judge.name": model, "judge.base_url": base_url}


def budget_of(requests: int | None, tokens: int | None, usd: float | None, hours: float | None) -> dict[str, Any]:
    """Return the settings of the budget options."""
    given = {"max_requests": requests, "max_tokens": tokens, "max_usd": usd, "max_hours": hours}
    return {f"budget.{name}": value for name, value in given.items()}


def servers(given: list[str] | None) -> str | tuple[str, ...] | None:
    """Return the address of --base-url; several where it was given again, or with commas."""
    found = tuple(url.strip() for several in given or () for url in several.split(",") if url.strip())
    return found[0] if len(found) == 1 else found or None


def settle(command: str, path: Path | None, overrides: dict[str, Any]) -> RunConfig:
    """Lay the options over the run file. Raises ConfigError with file and line, or the option."""
    from defender.config import load_config

    return load_config(
        path, {"command": command, **overrides, "model.base_url": servers(overrides.get("model.base_url"))}
    )


def open_or_resume(config: RunConfig, runs: Path, name: str | None, resume: bool) -> tuple[Prepared, RunFolder]:
    """Build what can be built before a folder is made, then open the folder."""
    from defender.build import prepare
    from defender.runs import open_run

    prepared = prepare(config)
    return prepared, open_run(config, runs, name, contents=prepared.contents, must_exist=resume)


def watching(folder: RunFolder, quiet: bool | None) -> Any:
    """Show progress on stderr while inside; None where that is a terminal."""
    from defender.progress import watching

    return watching(folder, quiet=quiet)


def counting(quiet: bool | None) -> Any:
    """Show on stderr how far a count is, while inside; None where that is a terminal."""
    from defender.progress import counting

    return counting(quiet=quiet)


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, as the one thing this process does.

    A run keeps hundreds of thousands of small objects to its end, and Python's collector walks them again and again in
    search of garbage there is hardly any of: a quarter of a request's CPU. So it looks less often while a run works.
    """
    import asyncio
    import gc

    before = gc.get_threshold()
    gc.set_threshold(*COLLECT)
    try:
        return asyncio.run(work)
    finally:
        gc.set_threshold(*before)


def models_of(named: list[str] | None) -> dict[str, Any]:
    """Return the settings of the model option: one replaces what a run file says, several are measured side by side."""
    if not named:
        return {}
    return {"model.name": named[0], "models": []} if len(named) == 1 else {"models": named}


def begin(work: Any, config: RunConfig, place: tuple[Path, str | None, bool], json: bool, quiet: bool | None) -> None:
    """Open or resume what was asked for, of one model or of several, do its work and print what it concludes.

    ``place``: folder of all runs, name or None, and whether it must exist.
    """
    if not config.models:
        carry_out(work, open_or_resume(config, *place), json, quiet)
        return
    from defender.abreast import conclude_several
    from defender.several import group_path, run_several

    runs, name, resume = place
    path = group_path(config, runs, name)
    group = wait(run_several(config, path, lambda folder: watching(folder, json or quiet), must_exist=resume))
    say(*conclude_several(group), json)


def carry_out(work: Any, opened: tuple[Prepared, RunFolder], json: bool, quiet: bool | None) -> None:
    """Do a run's work, showing how it goes; then write its report and print what it concludes."""
    prepared, folder = opened
    with watching(folder, json or quiet) as watch:
        wait(work(folder, prepared, watch))
    say_conclusion(folder, json)


def say_conclusion(folder: RunFolder, json: bool, others: Sequence[RunFolder] = (), items: bool = False) -> None:
    """Write the run's report, other runs' models beside its own, and print what it concludes."""
    from defender import conclusion, reckoning

    if folder.config.command == "ablate":
        say(*reckoning.conclude(folder), json)
    else:
        say(*conclusion.conclude(folder, others, show_items=items), json)


def say(lines: list[str], document: dict[str, Any], json: bool) -> None:
    """Print lines for a person, or the document for a program."""
    if json:
        print_json(document)
    else:
        typer.echo(harmless("\n".join(lines)))


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document, in ASCII where stdout has no signs for what is in it."""
    import json
    import sys

    text = json.dumps(document, indent=1, ensure_ascii=False)
    text = "".join(sign if _stays(sign) else json.dumps(sign)[1:-1] for sign in text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=1)
    typer.echo(text)


def harmless(text: str) -> str:
    """Return text in which what a terminal would act on shows as U+FFFD; line ends and tabs stay."""
    return "".join(sign if _stays(sign) else "\ufffd" for sign in text)


def _stays(sign: str) -> bool:
    """Tell whether a character shows as itself: no control, no direction override, no half of one.

    Joiners stay: Persian, Hindi and emoji are written with them.
    """
    return sign.isprintable() or sign in "\n\t\u200c\u200d" or category(sign) == "Zs"

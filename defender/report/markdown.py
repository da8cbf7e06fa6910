"""The report's page: the answer, the prompt to copy and what it cost first; then what stands behind them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from defender.errors import StoreError
from defender.kinds import Kinds
from defender.records import Candidate
from defender.report import answers, details, tables
from defender.report.context import Answered, Cost, ReportContext, find
from defender.report.figure import Cloud, after, before, write_figure
from defender.report.sections import located
from defender.report.tables import duration, markdown_text, shown, to_csv, to_markdown, visible


def write_report(context: ReportContext, into: Path) -> list[Path]:
    """Write ``report.md`` and, where there is something to show, ``figure.svg``, ``figure.png`` and two tables.

    Pure: the same context gives the same bytes. ``cells.csv`` is the winner's scores by identity, ``answers.csv`` the
    kinds of answers by benchmark and identity.

    Raises:
        StoreError: the folder cannot be written.
    """
    paths = [into / "report.md"]
    try:
        into.mkdir(parents=True, exist_ok=True)
        (into / "report.md").write_bytes(page(context).encode("utf-8"))
        if context.measured:
            (into / "cells.csv").write_bytes(to_csv(tables.identities(context.measured, context.identities)).encode())
            paths.append(into / "cells.csv")
        if kinds := _kinds(context.answers):
            counted = answers.by_identity(kinds, context.identities, context.standouts)
            (into / "answers.csv").write_bytes(to_csv(counted).encode())
            paths.append(into / "answers.csv")
    except OSError as error:
        raise StoreError(f"cannot write {into}: {error}; free the place or name another folder") from error
    clouds = _clouds(context)
    return [*paths, *(write_figure(clouds, context.identities, into) if clouds else [])]


def page(context: ReportContext) -> str:
    """Return ``report.md``."""
    parts = [f"# {markdown_text(context.run)}", _prose(context.answer)]
    parts += _prompt(context.winner) if context.selecting else []
    parts.append(_cost(context.cost))
    if context.caveats:
        parts.append("\n>\n".join(f"> **Caveat.** {_prose(caveat)}" for caveat in context.caveats))
    if _clouds(context):
        parts.append("![Safety against utility, one point an identity, before and after](figure.svg)")
    for heading, frame in _frames(context):
        if not frame.empty:
            parts.append(f"## {heading}\n\n{to_markdown(frame)}")
    if context.methods:
        parts.append("## Methods\n\n" + "".join(_method(name, text) for name, text in context.methods.items()))
    if context.reproduce:
        parts.append("## How to reproduce\n\n" + fenced("\n".join(shown(line) for line in context.reproduce), "sh"))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def fenced(text: str, language: str = "text") -> str:
    """Return a code block whose fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _frames(context: ReportContext) -> list[tuple[str, pd.DataFrame]]:
    """Return the tables with their headings, in reading order."""
    floors = [
        {"floor": f.name, "at least": f.least, "measured": f.measured, "kept": "yes" if f.kept else "no"}
        for f in context.floors
    ]
    found = [
        (f"Prompts, {context.where}", tables.prompts(context.confirm, context.paper)),
        ("Verdicts", tables.comparisons(context.comparisons)),
        ("Floors", tables.frame(floors, ("floor", "at least", "measured", "kept"))),
        ("Prompts, during search", tables.prompts(context.search, context.paper)),
    ]
    if context.measured and context.shown:
        name = "The winner" if context.winner else markdown_text(context.shown.name)
        several = context.details.standings.get(context.shown.digest, ())
        found.append((f"{name}, by category", tables.categories(context.measured, context.identities)))
        if several:
            found.append((f"{name}: worst and best, against chance", details.extremes(several)))
            found.append((f"{name}, by identity", details.by_identity(context.measured, several, context.identities)))
        else:
            found.append((f"{name}, by identity", tables.identities(context.measured, context.identities)))
    found.append(("PB by part", details.places(located(context), context.details.changes)))
    found.append(("PB by model", details.models(context.details.models)))
    found.append(("Models", details.runs(context.details.models)))
    found += _answer_frames(context)
    found.append(("What each clause did in the search (hints, not claims)", details.effects(context.details.effects)))
    found.append(("Trials", tables.trials(context.trials)))
    log = [
        {"prompt": step.candidate, "stage": step.stage, "decision": step.decision, "reason": step.reason}
        for step in context.decisions
    ]
    found.append(("Decision log", tables.frame(log, ("prompt", "stage", "decision", "reason"))))
    return found


def _answer_frames(context: ReportContext) -> list[tuple[str, pd.DataFrame]]:
    """Return the tables of kinds of answers: over everybody, by prompt, by identity, and why some have no score."""
    kinds = _kinds(context.answers)
    found = [("Kinds of answers", answers.outcomes(kinds))]
    if len(context.answers) > 1:
        named = [(candidate.name, one) for candidate, several in context.answers for one in several]
        found.append(("Kinds of answers, by prompt", answers.wide(answers.by_prompt(named), "benchmark", "prompt")))
    found.append(("Identities that stand out", answers.standing_out(context.standouts)))
    long = answers.by_identity(kinds, context.identities, context.standouts)
    for name, part in long.groupby("benchmark", sort=False):
        title = f"Kinds of answers, by identity: {markdown_text(str(name))}"
        found.append((title, answers.wide(part, "category", "identity")))
    nobody = answers.by_identity(_kinds(context.nobody), ())
    found.append(("Kinds of answers with nobody named (no&#95;persona, outside PB)", answers.wide(nobody, "benchmark")))
    found.append(("Unscored cells, by identity", answers.unscored(kinds)))
    found.append(("Unscored cells with nobody named", answers.unscored(_kinds(context.nobody))))
    found.append(("How answers were read", answers.readings(kinds)))
    return found


def _kinds(answered: Sequence[Answered]) -> list[Kinds]:
    return [one for _, several in answered for one in several]


def _prompt(winner: Candidate | None) -> list[str]:
    """Return the prompt to copy, or that there is none."""
    if winner is None:
        return ["**No prompt is recommended.**"]
    text = visible(winner.template)
    said = f"## The prompt: {markdown_text(winner.name)}"
    where = (
        "`{identity}` marks where the sentence about the user goes; leave it out where nothing is known."
        if winner.seat == "system"
        else "The sentence about the user goes in front of the question, in the user message."
    )
    if text != winner.template:
        where += " Characters that cannot be shown are replaced here: take the text from `defender export`."
    return [said, fenced(text), where]


def _cost(cost: Cost) -> str:
    tokens = f"{cost.prompt_tokens:,} prompt and {cost.completion_tokens:,} completion tokens"
    dollars = "" if cost.dollars is None else f", ${cost.dollars:,.2f}".replace("$", "&#36;")
    shares = f" Of these, {'; '.join(markdown_text(share) for share in cost.shares)}." if cost.shares else ""
    return f"**Cost:** {cost.requests:,} requests, {tokens}, {duration(cost.seconds)}{dollars}.{shares}"


def _method(name: str, text: str) -> str:
    return f"- **{markdown_text(name)}**: {markdown_text(text)}\n"


def _prose(text: str) -> str:
    """Return one paragraph that Markdown cannot take for a heading, list or quote."""
    safe = markdown_text(text).strip()
    safe = re.sub(r"^([#+=-])", lambda found: f"&#{ord(found[1])};", safe)
    return re.sub(r"^(\d+)([.)])", lambda found: f"{found[1]}&#{ord(found[2])};", safe)


def _clouds(context: ReportContext) -> list[Cloud]:
    """Return what the figure shows: the baseline and the winner, where both axes were measured."""
    original = find(context.baseline, context.stage)
    clouds = [before(original[0].name, original[1])] if original else []
    if context.shown and context.measured and context.shown.digest != context.baseline:
        clouds.append(after(context.shown.name, context.measured))
    return [cloud for cloud in clouds if {"utility", "safety"} <= cloud.estimate.axes.keys()]

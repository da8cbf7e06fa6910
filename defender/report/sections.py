"""What the page's sections hold: the facts of the first screen, the tables beside the charts, and the downloads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from defender.kinds import Kinds
from defender.parts import Part
from defender.records import Candidate
from defender.report import answers, details, tables
from defender.report.context import ReportContext, find
from defender.report.tables import between, duration, frame, to_csv

Titled = list[tuple[str, pd.DataFrame]]


def facts(context: ReportContext) -> list[tuple[str, str]]:
    """Return what the first screen says beside the answer: (what, value) pairs."""
    found = []
    original, measured = find(context.baseline, context.stage), context.measured
    if measured and context.shown:
        before = f"{original[1].pb:.2f} → " if original and original[0].digest != context.shown.digest else ""
        interval = f"{100 * measured.interval.level:g} % {between(measured.interval)}"
        found.append((f"PB {context.where}", f"{before}{measured.pb:.2f} ({interval})"))
        found.append(("noise floor", f"{measured.noise_floor:.2f}"))
    found += [
        (f"floor {f.name}", f"{f.measured:.2f} against {f.least:.2f}: {'kept' if f.kept else 'BROKEN'}")
        for f in context.floors
    ]
    return [*found, ("cost", _cost(context))]


def compared(context: ReportContext) -> list[Candidate]:
    """Return the baseline and the prompt shown, each once, where they were measured in the same stage."""
    original = find(context.baseline, context.stage)
    found = [original[0]] if original else []
    if context.shown and context.measured and context.shown.digest != context.baseline:
        found.append(context.shown)
    return found


def sections(context: ReportContext) -> dict[str, Titled]:
    """Return section -> its tables with their titles; empty ones are left out."""
    kinds = [one for _, several in context.answers for one in several]
    floors = [
        {"floor": f.name, "at least": f.least, "measured": f.measured, "kept": "yes" if f.kept else "no"}
        for f in context.floors
    ]
    log = [
        {"prompt": step.candidate, "stage": step.stage, "decision": step.decision, "reason": step.reason}
        for step in context.decisions
    ]
    found: dict[str, Titled] = {
        "prompts": [
            (f"Prompts, {context.where}", tables.prompts(context.confirm, context.paper)),
            ("Verdicts", tables.comparisons(context.comparisons)),
            ("Floors", tables.frame(floors, ("floor", "at least", "measured", "kept"))),
        ],
        "search": [("Prompts, during search", tables.trials(context.trials))],
        "who": _who(context),
        "where": [("PB by part", details.places(located(context), context.details.changes))],
        "kinds": _kinds(context, kinds),
        "kinds_who": _kinds_who(context, kinds),
        "read": [("How answers were read", answers.readings(kinds))],
        "log": [("Decision log", frame(log, ("prompt", "stage", "decision", "reason")))],
        "clauses": [("Effects of clauses in the search", details.effects(context.details.effects))],
        "models": [
            ("PB by model", details.models(context.details.models)),
            ("Models", details.runs(context.details.models)),
        ],
        "versions": [("Versions", details.settings(context.details.versions))],
    }
    return {name: [(title, table) for title, table in several if not table.empty] for name, several in found.items()}


def downloads(context: ReportContext) -> list[tuple[str, str, str]]:
    """Return what can be taken from the page: file name, media type and text."""
    known = [(c, e) for c in compared(context) if (e := find(c.digest, context.stage))]
    told = [(c, e[1], context.details.standings.get(c.digest, ())) for c, e in known]
    kinds = [one for _, several in context.answers for one in several]
    files = {
        "prompts.csv": tables.prompts(context.confirm or context.search, context.paper),
        "cells.csv": tables.identities(context.measured, context.identities) if context.measured else frame([], ()),
        "deviations.csv": details.standings(told, context.identities),
        "parts.csv": details.parts(located(context)),
        "answers.csv": answers.by_identity(kinds, context.identities, context.standouts),
        "verdicts.csv": tables.comparisons(context.comparisons),
    }
    found = [(name, "text/csv", to_csv(table)) for name, table in files.items() if not table.empty]
    return [*found, ("report.json", "application/json", json.dumps(_document(context), ensure_ascii=True, indent=1))]


def _who(context: ReportContext) -> Titled:
    found, shown = context.measured, context.shown
    if found is None or shown is None:
        return []
    several = context.details.standings.get(shown.digest, ())
    if not several:
        return [(f"{shown.name}, by identity", tables.identities(found, context.identities))]
    return [
        (f"{shown.name}: worst and best", details.extremes(several)),
        (f"{shown.name}, by identity", details.by_identity(found, several, context.identities)),
    ]


def _kinds(context: ReportContext, kinds: Sequence[Kinds]) -> Titled:
    found = [("Kinds of answers", answers.outcomes(kinds))]
    if len(context.answers) > 1:
        named = [(candidate.name, one) for candidate, several in context.answers for one in several]
        found.append(("Kinds of answers, by prompt", answers.wide(answers.by_prompt(named), "benchmark", "prompt")))
    found.append(("Identities that stand out", answers.standing_out(context.standouts)))
    nobody = answers.by_identity([one for _, several in context.nobody for one in several], ())
    found.append(("With nobody named (no_persona, outside PB)", answers.wide(nobody, "benchmark")))
    found.append(("Unscored cells, by identity", answers.unscored(kinds)))
    return found


def _kinds_who(context: ReportContext, kinds: Sequence[Kinds]) -> Titled:
    long = answers.by_identity(kinds, context.identities, context.standouts)
    return [
        (str(name), answers.wide(part, "category", "identity")) for name, part in long.groupby("benchmark", sort=False)
    ]


def located(context: ReportContext) -> list[tuple[Candidate, Sequence[Part]]]:
    """Return the baseline and the prompt shown with their parts."""
    found = context.details.parts
    return [(c, found[c.digest]) for c in compared(context) if c.digest in found]


def _cost(context: ReportContext) -> str:
    spent = context.cost
    dollars = "" if spent.dollars is None else f", ${spent.dollars:,.2f}"
    tokens = f"{spent.prompt_tokens + spent.completion_tokens:,} tokens"
    return f"{spent.requests:,} requests, {tokens}, {duration(spent.seconds)}{dollars}"


def _document(context: ReportContext) -> dict[str, Any]:
    """Return the page's numbers as plain JSON values."""
    winner = context.winner
    return {
        "run": context.run,
        "answer": context.answer,
        "winner": {"name": winner.name, "template": winner.template, "seat": winner.seat} if winner else None,
        "prompts": [
            {"name": c.name, "template": c.template, "pb": e.pb, "interval": [e.interval.low, e.interval.high]}
            | {"level": e.interval.level, "noise_floor": e.noise_floor, "pb_raw": e.pb_raw}
            | {"axes": {axis: {"mean": a.mean, "by_identity": dict(a.by_identity)} for axis, a in e.axes.items()}}
            for c, e in context.confirm or context.search
        ],
        "comparisons": [
            {"prompt": c.candidate, "against": c.baseline, "verdict": c.verdict, "difference_of_squares": c.difference}
            | {"interval": [c.interval.low, c.interval.high], "p_adjusted": c.p_adjusted}
            for c in context.comparisons
        ],
        "floors": [
            {"floor": f.name, "at_least": f.least, "measured": f.measured, "kept": f.kept} for f in context.floors
        ],
        "settings": json.loads(context.details.settings or "{}"),
        "versions": dict(context.details.versions),
    }

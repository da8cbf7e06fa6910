"""An ablation's report: what each clause does, what may go, and what the clauses add in every combination.

Everything is shown as in the run's own report: tables are frames of ``tables``, every text is made harmless there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from defender.ablation import Finding
from defender.credit import Credit
from defender.errors import StoreError
from defender.records import Candidate, PBEstimate
from defender.report.changes import change_rows, credit_rows
from defender.report.markdown import fenced
from defender.report.page import linked, rendered
from defender.report.tables import between, frame, markdown_text, shown, to_csv, to_markdown, visible

HEADINGS: Mapping[str, str] = {
    "left out": "Each clause left out",
    "added": "One clause more",
    "order": "Neighbours swapped",
    "placement": "The identity sentence elsewhere",
    "role": "The identity sentence in the other message",
    "wording": "Other wordings",
    "opening": "Other openings",
}

_ADDS = "What each clause adds"


@dataclass(frozen=True)
class AblationContext:
    """Everything the report says; all of it can be derived again from the ablation's database.

    Attributes:
        run: the run's name. ``answer``: the result in words, one paragraph.
        prompt: what was taken apart, with its estimate on the ablation's items.
        shorter: the prompt that is offered, or None; ``offer``: what came of looking for one, in words.
        findings: kind -> one a change. ``failures``: change -> why it could not be judged.
        credits: the clauses' Shapley values, () where combinations were not measured; ``game``: how, in words.
        importance: Optuna's, method -> parameter -> share; ``importance_note``: why something is missing.
        methods: heading -> text.
        cost: what was spent, in words. ``caveats``: what the numbers do not show.
    """

    run: str
    answer: str
    prompt: Candidate
    measured: PBEstimate
    shorter: Candidate | None
    offer: str
    findings: Mapping[str, Sequence[Finding]]
    failures: Mapping[str, str]
    credits: Sequence[Credit]
    game: str
    importance: Mapping[str, Mapping[str, float]]
    importance_note: str
    cost: str
    caveats: Sequence[str] = ()
    methods: Mapping[str, str] = field(default_factory=dict)


def write_ablation(context: AblationContext, into: Path) -> list[Path]:
    """Write ``ablation.md``, ``ablation.html``, ``ablation.csv`` (every change) and ``clauses.csv`` (every value).

    Raises:
        StoreError: the folder cannot be written.
    """
    files = {"ablation.md": ablation_page(context), "ablation.html": ablation_html(context), **_data(context)}
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (into / name).write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise StoreError(f"cannot write {into}: {error}; free the place or name another folder") from error
    return [into / name for name in files]


def _data(context: AblationContext) -> dict[str, str]:
    """Return the tables a program reads: file name -> CSV; no ``clauses.csv`` where combinations were not measured."""
    files = {"ablation.csv": to_csv(changes(context.findings, plain=True))}
    return files | ({"clauses.csv": to_csv(credit_table(context.credits))} if context.credits else {})


def ablation_html(context: AblationContext) -> str:
    """Return ``ablation.html``: one page without a network, in the house's style."""
    kinds = [
        (kind.replace(" ", "-"), HEADINGS[kind], rows, _narrow(changes({kind: some})), some)
        for kind, some in context.findings.items()
        if (rows := change_rows(some)) is not None
    ]
    titles = {HEADINGS[kind] for kind in context.findings}
    credited = [(title, table) for title, table in _credit_tables(context.credits) if not table.empty]
    named = titles | {title for title, _ in credited}
    return rendered("ablation.html", {
        "c": context,
        "facts": _facts(context),
        "kinds": kinds,
        "shared": credit_rows(context.credits),
        "credits": [(_shorter(title), table) for title, table in credited],
        "more": [(title, table) for title, table in ablation_tables(context) if title not in named],
        "downloads": [(name, linked("text/csv", text)) for name, text in _data(context).items()],
    })  # fmt: skip


def _narrow(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of changes that fits a page, which says PB as it is and the reasons elsewhere."""
    kept = table.drop(columns=["reason", "PB as it is"])
    kept = kept.rename(columns={"difference of squares": "PB² difference"})
    return kept.rename(columns=lambda name: str(name).removesuffix(" change"))


def _shorter(title: str) -> str:
    """Return a title as it is under a heading that says what clauses are about."""
    rest = title.removeprefix(f"{_ADDS}, ")
    return rest[0].upper() + rest[1:]


def _facts(context: AblationContext) -> list[tuple[str, str]]:
    """Return what the ablation measured in a few words each: (what, value)."""
    found = context.measured
    level = f"{100 * found.interval.level:g} %"
    return [
        (
            "PB on the ablation's items",
            f"{found.pb:.2f} ({level} {found.interval.low:.2f} to {found.interval.high:.2f})",
        ),
        ("noise floor", f"{found.noise_floor:.2f}"),
        ("cost", context.cost),
    ]


def ablation_page(context: AblationContext) -> str:
    """Return ``ablation.md``."""
    parts = [f"# {markdown_text(context.run)}: what each clause does", markdown_text(context.answer)]
    parts.append(f"## The prompt: {markdown_text(context.prompt.name)}\n\n{fenced(visible(context.prompt.template))}")
    parts.append("## A shorter prompt\n\n" + markdown_text(context.offer))
    if context.shorter is not None:
        parts.append(fenced(visible(context.shorter.template)))
    parts.append(f"**Cost:** {markdown_text(context.cost)}")
    parts += [f"> **Caveat.** {markdown_text(caveat)}" for caveat in context.caveats]
    for heading, table in ablation_tables(context):
        parts.append(f"## {heading}\n\n{to_markdown(table)}")
    parts.append(
        "## Methods\n\n"
        + "".join(f"- **{markdown_text(k)}**: {markdown_text(v)}\n" for k, v in context.methods.items())
    )
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def ablation_tables(context: AblationContext) -> list[tuple[str, pd.DataFrame]]:
    """Return the tables with their headings, in reading order; empty ones are left out."""
    found = [(HEADINGS[kind], changes({kind: some})) for kind, some in context.findings.items()]
    found += [(heading, table) for heading, table in _credit_tables(context.credits)]
    found.append(("Importance of choices over the search's trials (Optuna)", importance_table(context.importance)))
    failed = [{"change": name, "why": why} for name, why in context.failures.items()]
    found.append(("Not judged", frame(failed, ("change", "why"))))
    return [(heading, table) for heading, table in found if not table.empty]


def changes(findings: Mapping[str, Sequence[Finding]], *, plain: bool = False) -> pd.DataFrame:
    """Return one row a change; ``difference`` is in squared points, below 0 where the change is fairer.

    ``plain`` gives interval ends and means as columns of numbers, for a program.
    """
    rows = []
    for kind, some in findings.items():
        for found in some:
            one = found.difference
            row: dict[str, object] = {"kind": kind} if plain else {}
            row |= {"change": found.name, "verdict": found.fate}
            row |= {"PB": max(0.0, one.first) ** 0.5, "PB as it is": max(0.0, one.second) ** 0.5}
            row["difference of squares"] = one.difference
            if plain:
                row |= {"low": one.interval.low, "high": one.interval.high, "p": one.p}
            else:
                row[f"{100 * one.interval.level:g} % interval"] = between(one.interval)
            row["p (Holm)"] = found.p_adjusted
            row |= {
                f"{axis if plain else _in_words(axis)} change": mean.difference for axis, mean in found.means.items()
            }
            rows.append({**row, "reason": found.reason})
    return frame(rows, list(rows[0]) if rows else ())


def _credit_tables(credits: Sequence[Credit]) -> list[tuple[str, pd.DataFrame]]:
    """Return Shapley values: of PB^2 with interval, and how they divide over axes, benchmarks and categories."""
    main = [one for one in credits if one.quantity == "PB^2" and not one.part]
    if not main:
        return []
    points = {one.clause: one.value for one in credits if one.quantity == "PB"}
    rows: list[dict[str, object]] = []
    for one in sorted(main, key=lambda one: one.value):
        told = between(one.interval) if one.interval else ""
        rows.append({"clause": one.clause, "PB^2": one.value, "interval": told, "PB": points.get(one.clause)})
    total: dict[str, object] = {"clause": "all together", "PB^2": sum(one.value for one in main), "interval": ""}
    rows.append({**total, "PB": sum(points.values())})
    found = [(f"{_ADDS}, PB^2 and PB (below 0 is fairer)", frame(rows, list(rows[0])))]
    titles = {"mean": "to axis means, percentage points", "axis": "by axis", "benchmark": "by benchmark"}
    for kind, title in titles.items():
        some = [
            c for c in credits if (c.quantity == "mean" if kind == "mean" else c.kind == kind and c.quantity == "PB^2")
        ]
        found.append((f"{_ADDS}, {title}" + ("" if kind == "mean" else " (PB^2)"), _wide(some)))
    both = [c for c in credits if c.kind in ("category", "between") and not c.axis]
    found.append((f"{_ADDS}, by category of identities (PB^2, parts of the whole)", _wide(both)))
    return found


def _wide(credits: Sequence[Credit]) -> pd.DataFrame:
    """Return one row a clause, one column a part."""
    rows: dict[str, dict[str, object]] = {}
    for one in credits:
        rows.setdefault(one.clause, {"clause": one.clause})[_in_words(one.part)] = one.value
    table = list(rows.values())
    return frame(table, list(table[0]) if table else ())


def _in_words(part: str) -> str:
    """Return an axis by what its mean is the share of, where its name says the contrary; other parts as they are."""
    return "harmless answered" if part == "over_refusal" else part


def credit_table(credits: Sequence[Credit]) -> pd.DataFrame:
    """Return one row a value, every part: ``clauses.csv``."""
    columns = ("clause", "quantity", "part", "kind", "axis", "value", "low", "high", "sampling error")
    rows = [
        dict(
            zip(
                columns,
                (
                    one.clause, one.quantity, one.part, one.kind, one.axis, one.value,
                    one.interval.low if one.interval else float("nan"),
                    one.interval.high if one.interval else float("nan"), one.sampling,
                ),
                strict=True,
            )
        )
        for one in credits
    ]  # fmt: skip
    return frame(rows, columns)


def importance_table(importance: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return one row a parameter of the search space, its share by each method."""
    names = sorted(
        {name for shares in importance.values() for name in shares},
        key=lambda name: -max(shares.get(name, 0.0) for shares in importance.values()),
    )
    rows = [{"choice": name, **{method: shares.get(name) for method, shares in importance.items()}} for name in names]
    return frame(rows, ("choice", *importance))


def terminal_rows(findings: Mapping[str, Sequence[Finding]]) -> list[str]:
    """Return the changes as lines that fit 80 columns."""
    lines = []
    for kind, some in findings.items():
        lines.append(f"{kind:<28}{'PB':>6}{'diff. of squares':>18}  {'95 % interval':17}p (Holm)")
        for found in sorted(some, key=lambda one: -one.difference.difference):
            one = found.difference
            interval = f"{one.interval.low:+.2f} to {one.interval.high:+.2f}"
            lines.append(
                f"  {shown(found.name)[:25]:<26}{max(0.0, one.first) ** 0.5:6.2f}{one.difference:+18.3f}  {interval:17}"
                f"{found.p_adjusted:.2g}  {found.fate}"
            )
        lines.append("")
    return lines

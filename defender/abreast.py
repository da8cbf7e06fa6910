"""Several models side by side: one column a model, the same prompts on the same items; lines, markdown, a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from defender.conclusion import conclude
from defender.errors import IncompleteMatrix
from defender.formats import Surroundings, build_exporter
from defender.records import Comparison, PBEstimate
from defender.report.tables import markdown_text
from defender.results import Results, read_candidate
from defender.several import Group, columns, transfer

PAGE = "models.md"

Cell = Callable[[PBEstimate], str]


def _mean(axis: str) -> Cell:
    return lambda found: f"{found.axes[axis].mean:.1f}" if axis in found.axes else "-"


PARTS: Mapping[str, Cell] = {
    "PB": lambda found: f"{found.pb:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f})",
    "noise floor": lambda found: f"{found.noise_floor:.2f}",
    "utility": _mean("utility"),
    "safety": _mean("safety"),
}
"""What is shown of a prompt on a model, a table each."""


def conclude_several(group: Group) -> tuple[list[str], dict[str, Any]]:
    """Write every run's report and the group's page; return what to print, as lines and as one document.

    Raises:
        ConfigError: a model was not measured yet. StoreError: a folder cannot be read or written.
    """
    documents, said = {}, {}
    for folder in group.runs:
        rest = [other for other in group.runs if other is not folder]
        said[folder.name], documents[folder.name] = conclude(folder, rest)
    found = dict(columns(group))
    lines = [line for part in PARTS for line in (*_table(found, part), "")]
    lines += [*_fairest(found), *_failures(found)]
    tried: dict[str, tuple[Comparison, ...]] = {}
    if group.searched:
        finder, *others = found
        lines = [
            *said[group.runs[0].name],
            "",
            f"found on {finder}, tried on the held-out items of the others",
            "",
            *lines,
        ]
        for name in others:
            try:
                tried[name] = transfer(found[name], len(found))
            except IncompleteMatrix as reason:
                lines.append(f"{name}: no verdict: {reason}")
                continue
            lines += [f"verdict  on {name}: {_words(one)}: {one.reason}" for one in tried[name]]
    prompt = ""
    if group.joint:
        best = read_candidate(group.joint["winner"])
        prompt = build_exporter("text", Surroundings()).write(best, {}, group.path / "best")[0].path
        lines = [*_chosen(group.joint, list(found)), *lines]
    page = group.path / PAGE
    page.write_text(_page(group, found, tried), encoding="utf-8")
    lines += ["", *(f"run      {folder.path}" for folder in group.runs), f"report   {page}"]
    lines += [f"prompt   {prompt}"] if prompt else []
    document = {
        "models": {name: documents[folder.name] for name, folder in zip(found, group.runs, strict=True)},
        "worst": {
            prompt: {"pb": pb, "model": model, "mean": mean} for prompt, (pb, model, mean) in _spread(found).items()
        },
        "transfer": {name: [asdict(one) for one in verdicts] for name, verdicts in tried.items()},
        "joint": dict(group.joint),
        "prompt": prompt,
        "page": str(page),
    }
    return lines, document


def _prompts(found: Mapping[str, Results]) -> dict[str, str]:
    """Return id -> name of the prompts that more than one model was asked, in the order they were first asked."""
    seen: dict[str, list[str]] = {}
    for results in found.values():
        for key in results.claims.matrices:
            seen.setdefault(key, []).append(results.candidates[key].name)
    return {key: names[0] for key, names in seen.items() if len(names) > 1 or len(found) == 1}


def _rows(found: Mapping[str, Results], part: str) -> list[list[str]]:
    """Return the rows of one table, head first: a prompt, then a cell a model; "-" where there is no estimate."""
    rows = [[part, *found]]
    for key, name in _prompts(found).items():
        estimates = [results.claims.estimates.get(key) for results in found.values()]
        rows.append([name, *(PARTS[part](one) if one else "-" for one in estimates)])
    return rows


def _table(found: Mapping[str, Results], part: str) -> list[str]:
    rows = _rows(found, part)
    wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows]


def _spread(found: Mapping[str, Results]) -> dict[str, tuple[float, str, float]]:
    """Return prompt -> (its highest PB, on which model, its mean PB), where every model has an estimate of it."""
    spread = {}
    for key, name in _prompts(found).items():
        estimates = {model: results.claims.estimates.get(key) for model, results in found.items()}
        known = {model: one.pb for model, one in estimates.items() if one is not None}
        if len(known) == len(found):
            worst = max(known, key=known.__getitem__)
            spread[name] = (known[worst], worst, fmean(known.values()))
    return spread


def _fairest(found: Mapping[str, Results]) -> list[str]:
    spread = _spread(found)
    if not spread:
        return []
    by_worst = min(spread, key=lambda name: spread[name][0])
    by_mean = min(spread, key=lambda name: spread[name][2])
    pb, model, _ = spread[by_worst]
    return [
        f"worst    {by_worst} has the lowest PB where each prompt's is highest: {pb:.2f}, on {model}",
        f"mean     {by_mean} has the lowest mean PB: {spread[by_mean][2]:.2f}; both are read off, not tested",
    ]


def _failures(found: Mapping[str, Results]) -> list[str]:
    return [
        f"{results.candidates[key].name} on {model}: no estimate: {why}"
        for model, results in found.items()
        for key, why in results.claims.failures.items()
    ]


def _words(found: Comparison) -> str:
    joint = "from" if found.verdict == "not distinguishable" else "than"
    return f"{found.candidate} is {found.verdict} {joint} {found.baseline}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown_text, cells))} |"


def _chosen(joint: Mapping[str, Any], models: list[str]) -> list[str]:
    """Return what a joint search concluded: the prompt, and what each model says of it on held-out items."""
    winner = read_candidate(joint["winner"])
    lines = [f"winner   {winner.name}, by the {joint['by']} PB over the models", f"         {winner.template}", ""]
    for model in models:
        said = joint["models"][model]
        kept = ", ".join(f"{floor} {'kept' if gap <= 0 else 'BROKEN'}" for floor, gap in sorted(said["floors"].items()))
        lines.append(f"on {model}: PB {said['confirm_pb']:.2f} on held-out items; {kept or 'no floors'}")
        lines += [
            f"verdict  {one['verdict']}, against {one['baseline']}: {one['reason']}" for one in said["comparisons"]
        ]
    return [*lines, ""]


def _page(group: Group, found: Mapping[str, Results], tried: Mapping[str, tuple[Comparison, ...]]) -> str:
    """Return the group's page in markdown."""
    parts = [f"# {len(found)} models, the same prompts on the same items", ""]
    if group.joint:
        chosen = filter(None, map(str.strip, _chosen(group.joint, list(found))))
        parts += [*(f"- {markdown_text(line)}" for line in chosen), ""]
    for part in PARTS:
        head, *rows = _rows(found, part)
        parts += [_row(head), f"|{'---|' * len(head)}"]
        parts += [*map(_row, rows), ""]
    parts += [f"- {markdown_text(line)}" for line in (*_fairest(found), *_failures(found))]
    for model, verdicts in tried.items():
        parts += [f"- {markdown_text(f'on {model}: {_words(one)}; {one.reason}')}" for one in verdicts]
    parts += [
        "",
        *(
            f"- {markdown_text(f'{name}: {results.folder.path}')}: report.html, report.md"
            for name, results in found.items()
        ),
    ]
    return "\n".join(parts) + "\n"

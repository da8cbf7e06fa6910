"""What a finished command prints for a person: short lines, the table, the cost."""

from __future__ import annotations

from textwrap import wrap

from defender.kinds import Kinds, strange, together
from defender.layout import build_floors
from defender.purse import dollars_of, in_dollars, limits_of, shares_in_words, spent_in_words
from defender.records import Comparison, PBEstimate
from defender.report.context import Floor
from defender.results import Results, Stage

WIDTH = 80
"""Columns of a terminal that lines keep to; prompts and paths stay whole, to be copied."""


def in_words(found: PBEstimate) -> str:
    """Return "0.72 (95 % 0.61 to 0.84)"."""
    interval = found.interval
    return f"{found.pb:.2f} ({100 * interval.level:g} % {interval.low:.2f} to {interval.high:.2f})"


def floors_of(results: Results, stage: Stage) -> list[Floor]:
    """Return the winner's floors with what was required and measured; kept as decided on lower bounds."""
    winner = results.winner
    if winner is None:
        return []
    rows = []
    for floor in build_floors(results.folder.config):
        measured = stage.estimates[winner.id].axes[floor.axis].mean
        least = floor.value
        if floor.relative_to is not None:
            base = next(key for key in results.baselines if results.candidates[key].name == floor.relative_to)
            least = stage.estimates[base].axes[floor.axis].mean - floor.value
        rows.append(Floor(str(floor), least, measured, results.gaps[winner.id][str(floor)] <= 0))
    return rows


def search_lines(results: Results) -> list[str]:
    """Return what a confirmed search found; empty without a winner."""
    winner = results.winner
    if winner is None:
        return []
    stage = results.claims
    found = stage.estimates[winner.id]
    said = [f"{slot.removeprefix('clause:')}={way}" for slot, way in winner.parts]
    lines = [
        *_wrapped(f"winner   {winner.name}  {' '.join(said)}"),
        f"         {winner.template}",
        *_wrapped(
            f"PB       {in_words(found)}, noise floor {found.noise_floor:.2f}, PB_raw {found.pb_raw:.2f}; "
            f"{sum(stage.items.values())} held-out items x {len(results.identities)} identities"
        ),
    ]
    if results.folder.config.confirm.phrasings == "held_out":
        lines += _wrapped("users    said who they are in held-out phrasings, not in the sentence the search used")
    for floor in floors_of(results, stage):
        kept = "kept" if floor.kept else "BROKEN"
        lines += _wrapped(
            f"floor    {floor.name}: {floor.measured:.2f} against {floor.least:.2f}, {kept} (lower bound)"
        )
    if "over_refusal" in found.axes:
        lines.append(f"guard    harmless requests answered: {found.axes['over_refusal'].mean:.1f} %")
    for comparison in results.verdicts:
        lines += _wrapped(f"verdict  {_against(comparison)}: {comparison.reason}")
    return [*lines, *_strange(results), "", *_table(results, stage), "", f"search   ended because {results.stopped}"]


def measure_lines(results: Results) -> list[str]:
    """Return what a measurement found: what to know before reading it, the table, and who has no estimate."""
    stage = results.claims
    lines = _strange(results)
    lines += ["", *_table(results, stage)] if lines else _table(results, stage)
    without: dict[str, list[str]] = {}
    for key, why in stage.failures.items():
        without.setdefault(why, []).append(results.candidates[key].name)
    for why, names in without.items():
        lines += _wrapped(f"{', '.join(names)}: no estimate: {why}")
    for said in nobody_lines(results, stage):
        lines += _wrapped(f"no_persona: {said}")
    if results.figures:
        source = results.figures_source or "as published"
        lines += _wrapped(f"paper: {source}; other models and items, for orientation only")
    return lines


def nobody_lines(results: Results, stage: Stage) -> list[str]:
    """Return a line a prompt on the reference point outside PB: the user nothing is said about."""
    return [
        f"{results.candidates[key].name} " + ", ".join(f"{name} {mean:.1f}" for name, mean in means.items())
        for key, means in stage.reference.items()
    ]


def cost_lines(results: Results) -> list[str]:
    """Return what was spent, against the budget where there is one."""
    spend = results.spend
    config = results.folder.config
    limits = limits_of(config)
    failed = f", {spend['errors']} failed" if spend["errors"] else ""
    said = f"cost     {spent_in_words(spend, limits)}{failed}"
    if limits.tokens is None:
        said += f", {spend['tokens']} tokens"
    if limits.hours is None:
        said += f", {results.seconds:.0f} s"
    dollars = dollars_of(config, spend)
    if limits.usd is None and dollars:
        said += f", {in_dollars(dollars)}"
    said += _hits(results)
    shares = [f"         of which the {share}" for share in shares_in_words(spend)]
    seen = [line for kind, many, detail in results.failed for line in _wrapped(f"failed   {many} {kind}: {detail}")]
    return [said, *shares, *seen]


def _hits(results: Results) -> str:
    looked_up, found = results.prefix_cache
    return f", {100 * found / looked_up:.0f} % of prompt tokens in the server's prefix cache" if looked_up else ""


def _strange(results: Results) -> list[str]:
    """Return a line for every benchmark whose answers often show neither success nor failure."""
    found = [strange(one) for one in together(one for _, kinds in results.answered for one in kinds)]
    lines = [line for said in found if said for line in _wrapped(f"answers  {said}")]
    context = results.card.get("context")
    if context and any(_lacks_room(one) for _, kinds in results.answered for one in kinds):
        lines += _wrapped(
            f"context  {context} tokens, which prompt and answer did not always fit: lower the limit of answers with "
            "--answer-tokens, or serve the model with a longer one"
        )
    return lines


def _lacks_room(kinds: Kinds) -> bool:
    return any("context_length" in kinds.unscored(identity) for identity in kinds.identities)


def _wrapped(line: str) -> list[str]:
    """Return a labelled line as lines that fit, the later ones under the first one's text."""
    return wrap(line, WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False)


def _against(found: Comparison) -> str:
    joint = "from" if found.verdict == "not distinguishable" else "than"
    return f"{found.verdict} {joint} {found.baseline}"


def _table(results: Results, stage: Stage) -> list[str]:
    """Return the paper's table as text that fits 80 columns; nothing where nobody has an estimate."""
    if not stage.estimates:
        return []
    shown = ["search" if stage.name == "search" else ""]
    paper = bool(results.figures) and any(results.candidates[key].name in results.figures for key in stage.estimates)
    head = f"{'prompt':14}{'PB_raw':>7}{'PB':>7}  {'95 % interval':15}{'noise':>6}{'utility':>9}{'safety':>8}"
    lines = [*filter(None, shown), head + (f"{'paper':>7}" if paper else "")]
    for key, found in stage.estimates.items():
        name = results.candidates[key].name
        axes = [found.axes[axis].mean if axis in found.axes else float("nan") for axis in ("utility", "safety")]
        interval = f"{found.interval.low:.2f} to {found.interval.high:.2f}"
        row = f"{name[:13]:14}{found.pb_raw:7.2f}{found.pb:7.2f}  {interval:15}{found.noise_floor:6.2f}"
        row += "".join(f"{value:{width}.1f}" for value, width in zip(axes, (9, 8), strict=True))
        if paper:
            row += f"{results.figures[name]:7.2f}" if name in results.figures else f"{'-':>7}"
        lines.append(row)
    return lines

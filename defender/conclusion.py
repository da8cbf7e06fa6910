"""What a finished command says: the report on disk, the lines for a terminal, the document for ``--json``."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from defender.delivery import document, provenance
from defender.formats import build_exporter
from defender.layout import build_floors
from defender.records import Candidate, Comparison, OutcomeMatrix, PBEstimate
from defender.report import markdown
from defender.results import Results, Stage, read_results
from defender.runs import RunFolder
from defender.seal import card_in_words, card_of, same_model
from defender.settings import EMBEDDED

WIDTH = 100
"""Columns of a terminal that most lines keep to; prompts and paths stay whole, to be copied."""

STAGES = {-1: "confirm", -2: "writing"}
"""Where decisions outside the race were made."""

TEACHING = (
    "The embedded model is a teaching-size model with planted bias, for trying the tool and for knowing the truth; "
    "claims about real models need real models."
)


def conclude(folder: RunFolder) -> tuple[list[str], dict[str, Any]]:
    """Write a run's report (and the winner's prompt), and return what to print, as lines and as one document.

    Raises:
        ConfigError: nothing was measured yet. StoreError: the folder cannot be read or written.
    """
    results = read_results(folder)
    paths = markdown.write_report(context(results), folder.path)
    prompt = _write_prompt(results)
    lines = _measure_lines(results) if folder.config.command == "measure" else _search_lines(results)
    lines += ["", *_cost_lines(results), f"run      {folder.path}", f"report   {paths[0]}"]
    if prompt:
        lines.append(f"prompt   {prompt}")
    if folder.config.model.name == EMBEDDED:
        lines += ["", *wrap(TEACHING, WIDTH, break_on_hyphens=False)]
    return lines, document(results, _answer(results), [str(path) for path in paths], prompt)


def context(results: Results) -> markdown.ReportContext:
    """Return everything the report says."""
    stage = _claims(results)
    baseline = results.baselines[0] if results.baselines else next(iter(stage.estimates), "")
    floors = _floors(results, stage) if results.winner else []
    return markdown.ReportContext(
        run=results.folder.name,
        answer=_answer(results),
        winner=results.winner,
        cost=markdown.Cost(
            results.spend["reserved"],
            results.spend["prompt_tokens"],
            results.spend["completion_tokens"],
            results.seconds,
        ),
        baseline=results.candidates[baseline].digest if baseline in results.candidates else "",
        spotlight=_fairest(results, stage),
        selecting=results.folder.config.command == "search",
        where="on held-out items" if stage.name == "confirm" else "on all items asked",
        search=_measured(results, results.stages.get("search")),
        confirm=_measured(results, stage if stage.name != "search" else None),
        comparisons=results.comparisons,
        floors=floors,
        decisions=[
            markdown.Step(d.name, STAGES.get(d.block, f"block {d.block + 1}, {d.items} items"), d.action, d.reason)
            for d in results.decisions
        ],
        identities=list(results.identities.values()),
        matrices=_matrices(results, stage),
        paper=results.figures,
        methods=_methods(results, stage),
        caveats=_caveats(results, stage),
        reproduce=_reproduce(results),
    )


def _claims(results: Results) -> Stage:
    """Return the stage claims are made on: confirm, else the measurement, else what the search saw."""
    for name in ("confirm", "measure", "search"):
        if name in results.stages and results.stages[name].matrices:
            return results.stages[name]
    return next(iter(results.stages.values()))


def _measured(results: Results, stage: Stage | None) -> list[tuple[Candidate, PBEstimate]]:
    return [(results.candidates[key], found) for key, found in stage.estimates.items()] if stage else []


def _matrices(results: Results, stage: Stage) -> Sequence[OutcomeMatrix]:
    """Return the winner's cells, or in a plain measurement everybody's: what kinds of answers there were."""
    if results.winner:
        return stage.matrices.get(results.winner.id, ())
    return [matrix for found in stage.matrices.values() for matrix in found]


def _fairest(results: Results, stage: Stage) -> Candidate | None:
    """Return the prompt with the lowest corrected PB^2; nobody where nothing could be estimated."""
    best = min(stage.estimates, key=lambda key: stage.estimates[key].corrected2, default=None)
    return results.candidates[best] if best else None


def _answer(results: Results) -> str:
    stage = _claims(results)
    if results.winner is None:
        if results.folder.config.command == "search":
            return "The search is not finished: no prompt has been confirmed. Run the same command again to go on."
        fairest = _fairest(results, stage)
        if fairest is None:
            return "No prompt could be estimated: " + "; ".join(sorted(set(stage.failures.values())))
        return (
            f"Lowest estimate: {fairest.name} with PB {in_words(stage.estimates[fairest.id])}. "
            "Nothing was selected here, so nothing is claimed beyond each row's interval."
        )
    found = stage.estimates[results.winner.id]
    floors = "floors kept" if all(floor.kept for floor in _floors(results, stage)) else "a floor is broken"
    against = "; ".join(f"{c.baseline}: {c.verdict}" for c in _verdicts(results))
    return f"The winner has PB {in_words(found)} on held-out items, {floors}. Against {against}."


def in_words(found: PBEstimate) -> str:
    """Return "0.72 (95 % 0.61 to 0.84)"."""
    interval = found.interval
    return f"{found.pb:.2f} ({100 * interval.level:g} % {interval.low:.2f} to {interval.high:.2f})"


def _verdicts(results: Results) -> list[Comparison]:
    winner = results.winner.name if results.winner else ""
    return [c for c in results.comparisons if c.candidate == winner]


def _floors(results: Results, stage: Stage) -> list[markdown.Floor]:
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
        rows.append(markdown.Floor(str(floor), least, measured, results.gaps[winner.id][str(floor)] <= 0))
    return rows


def _search_lines(results: Results) -> list[str]:
    if results.winner is None:
        return [_answer(results)]
    stage = _claims(results)
    found = stage.estimates[results.winner.id]
    said = [f"{slot.removeprefix('clause:')}={way}" for slot, way in results.winner.parts]
    lines = [
        f"winner   {results.winner.name}  {' '.join(said)}",
        f"         {results.winner.template}",
        f"PB       {in_words(found)}, noise floor {found.noise_floor:.2f}, PB_raw {found.pb_raw:.2f}; "
        f"{sum(stage.items.values())} held-out items x {len(results.identities)} identities",
    ]
    for floor in _floors(results, stage):
        kept = "kept" if floor.kept else "BROKEN"
        lines.append(f"floor    {floor.name}: {floor.measured:.2f} against {floor.least:.2f}, {kept} (lower bound)")
    if "over_refusal" in found.axes:
        lines.append(f"guard    harmless requests answered: {found.axes['over_refusal'].mean:.1f} %")
    for comparison in _verdicts(results):
        lines += _wrapped(f"verdict  {_against(comparison)}: {comparison.reason}")
    return [*lines, "", *_table(results, stage), "", f"search   ended because {results.stopped}"]


def _wrapped(line: str) -> list[str]:
    """Return a labelled line as lines that fit, the later ones under the first one's text."""
    return wrap(line, WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False)


def _against(found: Comparison) -> str:
    joint = "from" if found.verdict == "not distinguishable" else "than"
    return f"{found.verdict} {joint} {found.baseline}"


def _measure_lines(results: Results) -> list[str]:
    stage = _claims(results)
    lines = _table(results, stage)
    for key, why in stage.failures.items():
        lines.append(f"{results.candidates[key].name}: no estimate: {why}")
    lines += [f"no_persona: {said}" for said in _nobody(results, stage)]
    if results.figures:
        lines.append(f"paper: {results.figures_source or 'as published'}; other models and items, for orientation only")
    return lines


def _nobody(results: Results, stage: Stage) -> list[str]:
    """Return a line a prompt on the reference point outside PB: the user nothing is said about."""
    return [
        f"{results.candidates[key].name} " + ", ".join(f"{name} {mean:.1f}" for name, mean in means.items())
        for key, means in stage.reference.items()
    ]


def _table(results: Results, stage: Stage) -> list[str]:
    """Return the paper's table as text that fits 80 columns."""
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


def _cost_lines(results: Results) -> list[str]:
    spend = results.spend
    limit = results.folder.config.budget.max_requests
    of = f" of {limit}" if limit else ""
    failed = f", {spend['errors']} failed" if spend["errors"] else ""
    tokens = spend["prompt_tokens"] + spend["completion_tokens"]
    return [f"cost     {spend['reserved']}{of} requests{failed}, {tokens} tokens, {results.seconds:.0f} s"]


def _methods(results: Results, stage: Stage) -> dict[str, str]:
    config = results.folder.config
    items = ", ".join(f"{name} {count}" for name, count in stage.items.items())
    methods = {
        "model": card_in_words(results.card),
        **({"judge": card_in_words(results.judge)} if results.judge else {}),
        "identities": f"{len(results.identities)} ({config.identities}); no_persona is a reference point outside PB",
        "items": f"{stage.name}: {items}; the same items for every prompt and identity",
        **{f"benchmark {name}": str(value["protocol"]) for name, value in results.protocols.items()},
        "measure": (
            "PB_raw is the paper's (population variance over identities, arXiv 2406.11107); PB subtracts what item "
            "sampling adds; intervals come from the jackknife over items (variance grows with the value tested, as in "
            "Wilson's interval); noise floor is the PB_raw a perfectly fair model would show here"
        ),
        "settings": f"seed {config.seed}, protocol {config.protocol}, digest {results.folder.digest[:12]}",
    }
    if stage.reference:
        methods["no_persona"] = "nobody named, percent: " + "; ".join(_nobody(results, stage))
    if config.command == "search":
        methods["race"] = (
            f"up to {config.search.candidates} candidates, {config.search.generation} side by side, items revealed in "
            f"blocks {config.search.blocks}, dropped at one-sided level {config.search.alpha} on paired differences"
        )
    return methods


def _caveats(results: Results, stage: Stage) -> list[str]:
    notes = [TEACHING] if results.folder.config.model.name == EMBEDDED else []
    if results.judge and (same := same_model(card_of(results.card), card_of(results.judge))):
        notes.append(f"{same[0].upper()}{same[1:]}.")
    blurred = [
        f"{results.candidates[key].name} (PB {found.pb:.2f}, noise floor {found.noise_floor:.2f})"
        for key, found in stage.estimates.items()
        if found.noise_floor >= found.pb
    ]
    if blurred:
        notes.append(f"Not above the noise floor, so not told from a fair model by these items: {', '.join(blurred)}.")
    notes += [f"{results.candidates[key].name}: {why}" for key, why in stage.failures.items()]
    return notes


def _reproduce(results: Results) -> list[str]:
    config = results.folder.config
    model = "" if config.model.name == EMBEDDED else f" --model {config.model.name} --base-url {config.model.base_url}"
    what = " ".join(config.prompts) if config.prompts else f"--space {config.space}"
    seed = f" --seed {config.seed}" if config.command == "search" else ""
    return [f"defender {config.command} {what}{model}{seed}", f"defender report {results.folder.path}"]


def _write_prompt(results: Results) -> str | None:
    if results.winner is None:
        return None
    into = results.folder.path / "best"
    return build_exporter("text").write(results.winner, provenance(results, results.winner), into)[0].path

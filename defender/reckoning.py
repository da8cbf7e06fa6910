"""What a finished ablation says: the report on disk, the lines for a terminal, the document for ``--json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from defender.ablated import Ablated, read_ablation
from defender.ablation import Finding
from defender.conclusion import TEACHING
from defender.delivery import provenance
from defender.dissection import SHORTER
from defender.formats import Surroundings, build_exporter
from defender.lines import WIDTH, in_words
from defender.report.ablation import AblationContext, terminal_rows, write_ablation
from defender.results import read_results
from defender.runs import RunFolder
from defender.seal import card_in_words
from defender.settings import EMBEDDED
from defender.shapley import Game


def conclude(folder: RunFolder) -> tuple[list[str], dict[str, Any]]:
    """Write an ablation's report, and the shorter prompt where one is offered; return lines and one document.

    Raises what ``read_ablation`` raises; StoreError: the folder cannot be written.
    """
    found = read_ablation(folder)
    context = _context(found)
    paths = [str(path) for path in write_ablation(context, folder.path)]
    prompt = _write_prompt(found)
    lines = [
        *wrap(context.answer, WIDTH, break_on_hyphens=False),
        "",
        *terminal_rows(found.findings),
        *_credit_lines(found),
        *wrap(f"shorter  {context.offer}", WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False),
        *(wrap(f"unpaid   {'; '.join(found.unpaid)}", WIDTH, subsequent_indent=" " * 9) if found.unpaid else []),
        *(wrap(f"stopped  {found.spent}", WIDTH, subsequent_indent=" " * 9) if found.spent else []),
        f"cost     {context.cost}",
        f"run      {folder.path}",
        f"report   {paths[0]}",
        f"page     {paths[1]}",
    ]
    if prompt:
        name = found.shorter.name if found.shorter else SHORTER
        lines += [f"prompt   {prompt}", f"         defender export {folder.path.parent} --prompt {name}"]
    if folder.config.model.name == EMBEDDED:
        lines += ["", *wrap(TEACHING, WIDTH, break_on_hyphens=False)]
    return lines, _document(found, context, paths, prompt)


def _answer(found: Ablated) -> str:
    """Say in one paragraph which clauses are needed, which may go, and which nobody can tell."""
    fates: dict[str, list[str]] = {}
    for one in found.findings.get("left out", ()):
        fates.setdefault(one.fate, []).append(one.name)
    said = "; ".join(f"{fate}: {', '.join(names)}" for fate, names in fates.items())
    margin = found.folder.config.ablate.margin
    better = [
        f"{one.name} ({one.fate})"
        for kind, some in found.findings.items()
        if kind != "left out"
        for one in some
        if one.fate in ("helps", "better changed")
    ]
    lead = (
        f"{found.prompt.name} has PB {in_words(found.measured)} on the ablation's items. "
        f"Clauses, by what leaving them out does (margin {margin:g} points of PB): {said or 'it has none'}."
    )
    return lead + (f" Shown to be better than it is: {', '.join(better)}." if better else "")


def _context(found: Ablated) -> AblationContext:
    offered = found.offer
    words = str(offered.get("reason", ""))
    if found.shorter is not None:
        state = "is offered" if offered.get("shown") else "is not offered"
        words = f"{found.shorter.name} {state}: {words}"
        if offered.get("chosen"):
            words += f". Chosen on the ablation's items: {offered['chosen']}"
    else:
        words = f"none: {words}"
    limit = found.folder.config.budget.max_requests
    of = f" of {limit}" if limit else ""
    spend = found.spend
    tokens = spend["prompt_tokens"] + spend["completion_tokens"]
    return AblationContext(
        run=f"{found.folder.path.parent.name}/{found.folder.name}",
        answer=_answer(found),
        prompt=found.prompt,
        measured=found.measured,
        shorter=found.shorter if offered.get("shown") else None,
        offer=words,
        findings=found.findings,
        failures=found.failures,
        credits=found.credits,
        game=_game_in_words(found.game),
        importance=found.importance["methods"],
        importance_note=found.importance["reason"],
        cost=f"{spend['reserved']}{of} requests, {tokens} tokens",
        caveats=[TEACHING] if found.folder.config.model.name == EMBEDDED else [],
        methods=_methods(found),
    )


def _game_in_words(game: Game | None) -> str:
    if game is None:
        return "combinations of clauses were not measured"
    if game.exact:
        return f"exact, over all {len(game.coalitions)} combinations of {len(game.players)} clauses"
    pairs = 0 if game.orders_K_P_S is None else len(game.orders_K_P_S)
    return (
        f"{2 * pairs} sampled orders of {len(game.players)} clauses, each with its reverse "
        f"({len(game.coalitions)} combinations); what sampling adds is in the intervals"
    )


def _methods(found: Ablated) -> dict[str, str]:
    items = ", ".join(f"{name} {count}" for name, count in found.items.items())
    margin = found.folder.config.ablate.margin
    methods = {
        "model": card_in_words(found.card),
        "items": f"{items}, {len(found.identities)} identities; the same items and seeds for every change",
        "verdicts": (
            "each change against the prompt itself, paired on items, on corrected PB^2 and axis means; p-values are "
            "Holm's over all changes of one kind (means: over its axes too), at 5 % a kind; 'no detectable loss' needs "
            f"the loss to be shown below {margin:g} points of PB (Holm's steps, one-sided intervals; the margin is "
            "taken at the lower end of the prompt's own interval), else it is not shown"
        ),
        "Shapley values": (
            f"{_game_in_words(found.game)}; of corrected PB^2, the clauses' values sum to the prompt's less that "
            "without clauses; the column PB is the same of PB in points; intervals from the jackknife over items"
        ),
        "a shorter prompt": (
            "chosen on the ablation's items, then asked on items that nothing was chosen by, against the prompt and "
            "the baseline; it is offered where the loss is shown below the margin there and every floor is kept"
        ),
    }
    note = found.importance["reason"]
    methods["importance"] = (
        "Optuna's, over the trials the search happened to make: what tells its best trials from all of them, a hint "
        "and no claim" + (f"; {note}" if note else "")
    )
    return methods


def _credit_lines(found: Ablated) -> list[str]:
    main = sorted((one for one in found.credits if one.quantity == "PB^2" and not one.part), key=lambda one: one.value)
    if not main:
        return []
    points = {one.clause: one.value for one in found.credits if one.quantity == "PB"}
    lines = [f"{'Shapley values':<28}{'PB^2':>8}  {'95 % interval':19}{'PB':>7}"]
    for one in main:
        interval = f"{one.interval.low:+.3f} to {one.interval.high:+.3f}" if one.interval else ""
        lines.append(f"  {one.clause[:25]:<26}{one.value:+8.3f}  {interval:19}{points[one.clause]:+7.3f}")
    total, whole = sum(one.value for one in main), sum(points.values())
    return [*lines, f"  {'all clauses together':<26}{total:+8.3f}  {'':19}{whole:+7.3f}", ""]


def _document(found: Ablated, context: AblationContext, paths: Sequence[str], prompt: str | None) -> dict[str, Any]:
    """Return everything as plain JSON values, for ``--json``."""
    return {
        "run": str(found.folder.path),
        "digest": found.folder.digest,
        "answer": context.answer,
        "prompt": {"candidate": found.prompt.id, "name": found.prompt.name, "text": found.prompt.template},
        "pb": found.measured.pb,
        "interval": [found.measured.interval.low, found.measured.interval.high],
        "margin": found.folder.config.ablate.margin,
        "changes": {kind: [_finding(one) for one in some] for kind, some in found.findings.items()},
        "not judged": dict(found.failures),
        "shapley": {
            "how": context.game,
            "combinations": len(found.game.coalitions) if found.game else 0,
            "values": [asdict(one) for one in found.credits],
        },
        "importance": dict(found.importance),
        "offer": dict(found.offer) | {"text": found.shorter.template if found.shorter else None},
        "unpaid": list(found.unpaid),
        "stopped": found.spent,
        "spend": dict(found.spend),
        "report": list(paths),
        "best": prompt,
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "change": one.name,
        "verdict": one.fate,
        "difference": one.difference.difference,
        "interval": [one.difference.interval.low, one.difference.interval.high],
        "p": one.difference.p,
        "p_adjusted": one.p_adjusted,
        "no_loss": one.no_loss,
        "no_gain": one.no_gain,
        "means": {axis: mean.difference for axis, mean in one.means.items()},
        "falls": dict(one.falls),
        "losable": one.losable,
        "reason": one.reason,
    }


def _write_prompt(found: Ablated) -> str | None:
    """Write the shorter prompt next to the run's best one, where it is offered."""
    if found.shorter is None or not found.offer.get("shown"):
        return None
    into = found.folder.path.parent / "best"
    results = read_results(found.folder)
    written = build_exporter("text", Surroundings()).write(found.shorter, provenance(results, found.shorter), into)
    return written[0].path

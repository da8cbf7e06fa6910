"""Hand the winner over: what may be exported, with which provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from defender import __version__
from defender.errors import ConfigError, NothingFeasible, StoreError
from defender.formats import Surroundings, build_exporter, exporters, read_template
from defender.kinds import Kinds, Reading, standouts, strange
from defender.purse import dollars_of
from defender.records import Candidate, Comparison, Export
from defender.results import Results, Stage, read_results
from defender.runs import ABLATION, CONFIG, RunFolder, load_run

BARE = ("text", "json", "yaml", "kubernetes")
"""Formats that carry the text and leave the conversation to whoever reads them."""


@dataclass(frozen=True)
class Delivery:
    """What was written, and which formats could not be: format -> why (only where every format was asked for)."""

    files: tuple[Export, ...]
    refused: Mapping[str, str]


def deliver(
    folder: RunFolder,
    format: str,
    into: Path,
    *,
    prompt: str | None = None,
    force: bool = False,
    model_template: Path | None = None,
) -> Delivery:
    """Export the winner of a search, or a prompt of the run by name.

    Args:
        folder: a run.
        format: an exporter's name, or "all": every format that can carry this prompt, the others named.
        into: folder to write to, created when absent.
        prompt: name or id of one of the run's prompts; None for the winner.
        force: export although it is not confirmed, misses a floor, or is not shown to be better than the baseline.
        model_template: the served model's own chat template, a file or its folder, for the vllm format.

    Raises:
        NothingFeasible: nothing is confirmed, or the prompt is in doubt (see ``force``) and not forced.
        ConfigError: unknown format, or one that cannot carry this prompt. StoreError: ``into`` cannot be written.
    """
    if model_template is not None and format not in ("vllm", "all"):
        raise ConfigError(f"--model-template is for the vllm format; leave it out of an export as {format}")
    template = read_template(model_template)
    results = _holding(folder, prompt)
    candidate = _choose(results, prompt, force)
    around = Surroundings([i.sentence for i in results.identities.values() if i.sentence], template)
    chosen = list(exporters(around).values()) if format == "all" else [build_exporter(format, around)]
    told = provenance(results, candidate)
    files: list[Export] = []
    refused: dict[str, str] = {}
    try:
        into.mkdir(parents=True, exist_ok=True)
        for exporter in chosen:
            try:
                if not force:
                    _seated(results, exporter.format)
                files += exporter.write(candidate, told, into)
            except ConfigError as error:
                if format != "all":
                    raise
                refused[exporter.format] = str(error)
    except OSError as error:
        raise StoreError(
            f"cannot write to {into}: {error.strerror or error}; give another folder with --into"
        ) from error
    return Delivery(tuple(files), refused)


def provenance(results: Results, candidate: Candidate) -> dict[str, Any]:
    """Return where a prompt comes from and what was shown for it, as plain JSON values.

    ``date`` is the day (UTC) the run was begun, so that the same run gives the same bytes whenever it is exported.
    """
    confirm = results.stages.get("confirm") or results.stages.get("measure")
    found = confirm.estimates.get(candidate.id) if confirm else None
    measured = (
        {
            "pb": round(found.pb, 4),
            "interval": [round(found.interval.low, 4), round(found.interval.high, 4)],
            "level": found.interval.level,
            "noise_floor": round(found.noise_floor, 4),
            "pb_raw": round(found.pb_raw, 4),
            "axes": {axis: round(value.mean, 3) for axis, value in found.axes.items()},
            "items": {name: value.items for name, value in found.benchmarks.items()},
        }
        if found
        else None
    )
    return {
        "tool": f"defender {__version__}",
        "run": results.folder.name,
        "digest": results.folder.digest,
        "candidate": candidate.id,
        "parts": [list(part) for part in candidate.parts],
        "model": {key: str(value) for key, value in results.card.items()},
        "judge": {key: str(value) for key, value in results.judge.items()},
        "measured": measured,
        "floors": dict(results.folder.config.floors),
        "floor_gaps": dict(results.gaps.get(candidate.id, {})),
        "verdicts": {c.baseline: c.verdict for c in _verdicts(results, candidate)},
        "date": None if results.began is None else datetime.fromtimestamp(results.began, UTC).strftime("%Y-%m-%d"),
    }


def document(results: Results, answer: str, paths: list[str], prompt: str | None) -> dict[str, Any]:
    """Return the whole outcome as plain JSON values, for ``--json``."""
    return {
        "run": str(results.folder.path),
        "digest": results.folder.digest,
        "answer": answer,
        "winner": provenance(results, results.winner) | {"template": results.winner.template}
        if results.winner
        else None,
        "stages": {
            name: {
                "items": dict(stage.items),
                "estimates": {results.candidates[key].name: asdict(found) for key, found in stage.estimates.items()},
                "failures": {results.candidates[key].name: why for key, why in stage.failures.items()},
                "reference": {results.candidates[key].name: dict(means) for key, means in stage.reference.items()},
                "answers": _answers(results, stage),
            }
            for name, stage in results.stages.items()
        },
        "comparisons": [asdict(comparison) for comparison in results.comparisons],
        "spend": dict(results.spend) | {"usd": dollars_of(results.folder.config, results.spend)},
        "prefix_cache": dict(zip(("looked_up", "found"), results.prefix_cache, strict=True)),
        "seconds": results.seconds,
        "report": paths,
        "prompt": prompt,
    }


def _answers(results: Results, stage: Stage) -> dict[str, Any]:
    """Return prompt -> benchmark -> kinds of answers, with counts; none for the search, which drops prompts midway."""
    if stage.name == "search":
        return {}
    found = {}
    for key, kinds in stage.kinds.items():
        nobody = {one.benchmark: _counts(one) for one in stage.nobody.get(key, ())}
        found[results.candidates[key].name] = {
            one.benchmark: _counts(one) | {"reference": nobody.get(one.benchmark)} for one in kinds
        }
    return found


def _counts(kinds: Kinds) -> dict[str, Any]:
    """Return cells by kind and identity, why some are unscored, how answers were read, and who stands out."""
    read: dict[Reading, int] = {}
    for found in kinds.readings.values():
        for how, n in found.items():
            read[how] = read.get(how, 0) + n
    return {
        "cells": kinds.cells,
        "kinds": kinds.totals,
        "identities": {key: kinds.of(key) for key in kinds.identities},
        "unscored": {key: reasons for key in kinds.identities if (reasons := kinds.unscored(key))},
        "read": [asdict(how) | {"cells": n} for how, n in sorted(read.items(), key=lambda pair: -pair[1])],
        "standouts": [asdict(found) for found in standouts(kinds)],
        "notice": strange(kinds),
    }


def _seated(results: Results, format: str) -> None:
    """Refuse formats that make a system message of what was measured in the user's. Raises ConfigError."""
    if results.card.get("system_role") == "user" and format not in BARE:
        raise ConfigError(
            f"the chat template of {results.card.get('model')} has no system role, so the run put the system text in "
            f"front of the user's message; {format} would send a system message, which was not measured. Export as "
            f"{', '.join(BARE)} and put the text there yourself, or give --force"
        )


def _verdicts(results: Results, candidate: Candidate) -> Sequence[Comparison]:
    return [c for c in results.comparisons if c.candidate == candidate.name]


def _holding(folder: RunFolder, prompt: str | None) -> Results:
    """Return the run, or the ablation in its folder that offers a prompt of that name; its evidence is its own."""
    results = read_results(folder)
    if prompt is None or any(prompt in (c.label, c.id) for c in results.candidates.values()):
        return results
    for kept in sorted(folder.path.glob(f"{ABLATION}*/{CONFIG}")):
        with suppress(ConfigError):  # one that has measured nothing yet offers nothing
            found = read_results(load_run(folder.path, kept.parent.name))
            if found.winner is not None and prompt in (found.winner.label, found.winner.id):
                return found
    return results


def _choose(results: Results, prompt: str | None, force: bool) -> Candidate:
    candidate = _winner(results) if prompt is None else _named(results, prompt)
    doubts = [] if force else _doubts(results, candidate)
    if doubts:
        who = "the winner" if prompt is None else candidate.name
        raise NothingFeasible(
            f"{who} {'; '.join(doubts)}. Measure more (--confirm-items, --max-requests), or export it all the same "
            "with --force"
        )
    return candidate


def _winner(results: Results) -> Candidate:
    if results.folder.config.command != "search":
        raise NothingFeasible(
            f"{results.folder.path} measured prompts and selected none; export needs a run of 'defender search', or "
            "--prompt NAME --force"
        )
    if results.winner is None and results.over:
        raise NothingFeasible(
            f"{results.folder.path} ended without a winner: {results.without}; or name a prompt of it with "
            "--prompt NAME --force"
        )
    if results.winner is None:
        raise NothingFeasible(
            f"{results.folder.path} has no confirmed winner; finish it with "
            f"'defender search --run {results.folder.path} --resume', read 'defender report {results.folder.path}', "
            "or name a prompt of it with --prompt NAME --force"
        )
    return results.winner


def _named(results: Results, prompt: str) -> Candidate:
    found = next((c for c in results.candidates.values() if prompt in (c.label, c.id)), None)
    if found is None:
        names = [candidate.name for candidate in results.candidates.values()]
        rest = f" and {len(names) - 20} more" if len(names) > 20 else ""
        raise ConfigError(f"{results.folder.path} has no prompt '{prompt}'; it has {', '.join(names[:20])}{rest}")
    return found


def _doubts(results: Results, candidate: Candidate) -> list[str]:
    """Say what keeps a prompt from being shown safe to ship: unconfirmed, infeasible, or not better."""
    confirm = results.stages.get("confirm")
    if confirm is None or candidate.id not in confirm.estimates or candidate.id not in results.gaps:
        return ["is not confirmed on held-out items"]
    missed = [f"misses the floor {name} by {gap:.2f}" for name, gap in results.gaps[candidate.id].items() if gap > 0]
    baseline = results.candidates[results.baselines[0]]
    verdict = next((c for c in _verdicts(results, candidate) if c.baseline == baseline.name), None)
    if verdict is None:
        why = "it is the baseline itself" if candidate == baseline else "it was not a finalist"
    else:
        why = verdict.reason
    if verdict is None or verdict.verdict != "better":
        missed.append(f"is not shown to be better than {baseline.name}: {why}")
    return missed

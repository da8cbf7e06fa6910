"""Hand the winner over: what may be exported, with which provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from defender import __version__
from defender.errors import NothingFeasible, StoreError
from defender.formats import build_exporter, exporters
from defender.kinds import Kinds, Reading, standouts, strange
from defender.records import Candidate, Comparison, Export
from defender.results import Results, Stage, read_results
from defender.runs import RunFolder


def deliver(folder: RunFolder, format: str, into: Path, *, force: bool = False) -> list[Export]:
    """Export the winner of a search.

    Args:
        folder: a run.
        format: an exporter's name, or "all".
        into: folder to write to, created when absent.
        force: export although the verdict against the baseline is not "better".

    Raises:
        NothingFeasible: nothing is confirmed, or the winner is not better than the baseline and not forced.
        ConfigError: unknown format. StoreError: ``into`` cannot be written.
    """
    chosen = list(exporters().values()) if format == "all" else [build_exporter(format)]
    results = read_results(folder)
    candidate = _choose(results, force)
    into_files: list[Export] = []
    try:
        into.mkdir(parents=True, exist_ok=True)
        for exporter in chosen:
            into_files += exporter.write(candidate, provenance(results, candidate), into)
    except OSError as error:
        raise StoreError(
            f"cannot write to {into}: {error.strerror or error}; give another folder with --into"
        ) from error
    return into_files


def provenance(results: Results, candidate: Candidate) -> dict[str, Any]:
    """Return where a prompt comes from and what was shown for it, as plain JSON values."""
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
    changed = results.folder.database.stat().st_mtime
    return {
        "tool": f"defender {__version__}",
        "run": results.folder.name,
        "digest": results.folder.digest,
        "candidate": candidate.id,
        "parts": [list(part) for part in candidate.parts],
        "model": {key: str(value) for key, value in results.card.items()},
        "measured": measured,
        "floors": dict(results.folder.config.floors),
        "floor_gaps": dict(results.gaps.get(candidate.id, {})),
        "verdicts": {c.baseline: c.verdict for c in _verdicts(results, candidate)},
        "date": datetime.fromtimestamp(changed, UTC).strftime("%Y-%m-%d"),
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
        "spend": dict(results.spend),
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


def _verdicts(results: Results, candidate: Candidate) -> Sequence[Comparison]:
    return [c for c in results.comparisons if c.candidate == candidate.name]


def _choose(results: Results, force: bool) -> Candidate:
    if results.folder.config.command == "measure":
        raise NothingFeasible(
            f"{results.folder.path} measured prompts and selected none; export needs a run of 'defender search'"
        )
    if results.winner is None:
        raise NothingFeasible(
            f"{results.folder.path} has no confirmed winner; finish it with "
            f"'defender search --run {results.folder.path} --resume', or read 'defender report {results.folder.path}'"
        )
    baseline = results.candidates[results.baselines[0]] if results.baselines else None
    shown = {c.baseline: c for c in _verdicts(results, results.winner)}
    verdict = shown.get(baseline.name) if baseline else None
    if not force and (verdict is None or verdict.verdict != "better"):
        why = verdict.reason if verdict else "it is the baseline itself"
        raise NothingFeasible(
            f"the winner is not shown to be better than {baseline.name if baseline else 'a baseline'}: {why}. "
            "Measure more (--confirm-items, --max-requests), or export it all the same with --force"
        )
    return results.winner

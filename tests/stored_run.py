"""Runs in their folders, made by the real sessions on the scripted engine: no weights, a second of work."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from defender.build import prepare
from defender.config import RunConfig
from defender.confirm import SearchResult
from defender.contracts import Meter
from defender.engines.scripted import Answer, PlantedBias, Scripted
from defender.identities import load_identities
from defender.records import ModelCard
from defender.runs import RunFolder, open_run
from defender.session import Watch, run_measure, run_search

SPACE = """
version: 1
name: small
opening: {plain: You are a helpful assistant.}
clauses:
  equal: {a: Treat people equally.}
  ignore: {a: Please ignore the rest.}
max_clauses: 2
placement: [last]
seeds:
  Original: {}
  D1: {clauses: {equal: a}}
figures: {source: a table, Original: 3.53}
"""
SENTENCES = ("a man", "a woman", "a young person", "an old person", "a rich person", "a poor person")


def settings(folder: Path, **changes: Any) -> RunConfig:
    """Return a configuration whose space and identities lie in ``folder``; keys may be whole sections."""
    (folder / "small.yaml").write_text(SPACE)
    (folder / "people.yaml").write_text(f"identities: {{People: [{', '.join(SENTENCES)}]}}\n")
    few: dict[str, Any] = {
        "space": str(folder / "small.yaml"),
        "identities": str(folder / "people.yaml"),
        "search": {"items": 8, "candidates": 6, "generation": 4, "finalists": 2},
        "confirm": {"items": 8},
        "measure": {"items": 4},
    }
    return RunConfig.model_validate(few | changes)


def world(config: RunConfig) -> PlantedBias:
    """Return the planted bias over the run's own identities."""
    return PlantedBias([identity.sentence for identity in load_identities(Path(config.identities))])


def searched(
    config: RunConfig, folder: Path, *, answer: Answer | None = None, watch: Watch | None = None
) -> tuple[RunFolder, SearchResult]:
    """Search in ``folder``/one as the command line does, on the scripted engine."""
    prepared = prepare(config)
    run = open_run(config, folder, "one", contents=prepared.contents)

    def engine(_: RunConfig, meter: Meter) -> Scripted:
        return Scripted(answer or world(config), ModelCard("scripted", server="defender"), meter)

    return run, asyncio.run(run_search(run, prepared, watch or Watch(), engine))


def measured(config: RunConfig, folder: Path, *, answer: Answer | None = None) -> RunFolder:
    """Measure in ``folder``/one as the command line does, on the scripted engine."""
    prepared = prepare(config)
    run = open_run(config, folder, "one", contents=prepared.contents)

    def engine(_: RunConfig, meter: Meter) -> Scripted:
        return Scripted(answer or world(config), ModelCard("scripted", server="defender"), meter)

    asyncio.run(run_measure(run, prepared, Watch(), engine))
    return run


def copied(run: RunFolder, into: Path) -> RunFolder:
    """Return a copy of a run that a test may write to."""
    shutil.copytree(run.path, into / run.name)
    return RunFolder(into / run.name, run.config, run.digest, resumed=True)

"""A search on a scripted world whose answers differ a little from item to item, and an ablation of its prompts."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from defender.ablating import Opened, open_ablation, run_ablation
from defender.config import RunConfig
from defender.contracts import Meter
from defender.engines.scripted import PlantedBias, Scripted
from defender.identities import load_identities
from defender.records import ModelCard, Request, Response, digest_of
from defender.runs import RunFolder
from defender.session import Watch
from tests.stored_run import searched, settings

SPACE = """
version: 1
name: taken apart
opening: {plain: You are a helpful assistant., bare: You are an assistant.}
clauses:
  equal: {a: Treat people equally., b: Serve people equally.}
  ignore: {a: Please ignore the rest.}
  tone: {a: Keep it short., b: Keep it friendly.}
  caution: {a: Be careful.}
max_clauses: 3
placement: [last, user_turn]
seeds:
  Original: {}
  Full: {clauses: {equal: a, ignore: a, tone: a}}
"""


class Rough(PlantedBias):
    """Planted bias, and on top of it what an item does to an identity, whatever the prompt; the prompt adds a hair."""

    def __call__(self, request: Request) -> Response | str:
        said = super().__call__(request)
        if isinstance(said, str) or not said.first_token:
            return said
        (first, chance), *rest = ((word, math.exp(share)) for word, share in said.first_token)
        moved = min(0.999, max(0.001, chance + _share(request.messages[-1], 0.08) + _share(request.messages, 0.002)))
        kept = [(first, moved), *((word, 1.0 - moved) for word, _ in rest)]
        return replace(said, first_token=tuple((word, math.log(share)) for word, share in kept))


def _share(what: object, width: float) -> float:
    return width * (int(digest_of(what)[:8], 16) / 16**8 - 0.5)


def configured(folder: Path, **changes: Any) -> RunConfig:
    """Return the configuration of a search over the seeds, its floors low."""
    path = folder / "apart.yaml"
    path.write_text(SPACE)
    few: dict[str, Any] = {
        "space": str(path),
        "search": {"items": 6, "candidates": 2, "finalists": 1, "proposer": "listed"},
        "confirm": {"items": 10},
        "floors": {"utility": "Original-5", "safety": "Original-5"},
    }
    return settings(folder, **(few | changes))


def answering(config: RunConfig) -> PlantedBias:
    return Rough([identity.sentence for identity in load_identities(Path(config.identities))])


def parent(folder: Path, **changes: Any) -> RunFolder:
    """Search in ``folder``/one; the winner says all three clauses."""
    config = configured(folder, **changes)
    return searched(config, folder, answer=answering(config))[0]


def opened(run: RunFolder, prompt: str | None = None, **changes: Any) -> Opened:
    return open_ablation(run, prompt, {"ablate": changes.pop("ablate", {})} | changes)


def ablated(at: Opened, watch: Watch | None = None) -> list[str]:
    """Run the ablation; return the system texts that were asked, one a request."""
    asked: list[str] = []
    world = answering(at.parent.config)

    def answer(request: Request) -> Response | str:
        asked.append(request.messages[0][1])
        return world(request)

    def engine(_: RunConfig, meter: Meter) -> Scripted:
        return Scripted(answer, ModelCard("scripted", server="defender"), meter)

    asyncio.run(run_ablation(at, watch or Watch(), engine))
    return asked

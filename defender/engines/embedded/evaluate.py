"""Measure the shipped weights: `python -m defender.engines.embedded.evaluate` writes the exact PB table to the card.

Exact PB is read from first-token probabilities over the item pools, so it has no sampling noise.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defender.engines.embedded.exact import exact_scores
from defender.engines.embedded.lexicon import split_opening
from defender.engines.embedded.planted import IDENTITIES, Placement, effects, gold_probabilities, planted_pb
from defender.engines.embedded.runtime import WEIGHTS, Runtime
from defender.miniature import UTILITY_KINDS, MiniatureItem, items

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pools:
    """The items a measurement runs over."""

    utility: tuple[MiniatureItem, ...]
    unsafe: tuple[MiniatureItem, ...]
    harmless: tuple[MiniatureItem, ...] = ()

    @staticmethod
    def every(step: int, start: int = 0) -> Pools:
        """Return every step-th item of each pool."""
        utility = tuple(item for kind in UTILITY_KINDS for item in items(kind))
        return Pools(utility[start::step], items("unsafe")[start::step], items("harmless")[start::step])


@dataclass(frozen=True)
class Measured:
    """P(gold) in percent, identities x items, for each pool."""

    utility_UI: Floats
    safety_UI: Floats
    answered_UI: Floats

    @property
    def pb(self) -> float:
        """Return PB in percentage points."""
        return planted_pb(self.utility_UI.mean(1), self.safety_UI.mean(1))

    def summary(self) -> dict[str, float]:
        """Return PB, mean utility, mean safety, harmless refusals, and the two standard deviations."""
        return {
            "pb": round(self.pb, 3),
            "utility": round(float(self.utility_UI.mean()), 2),
            "safety": round(float(self.safety_UI.mean()), 2),
            "harmless_refused": round(float(100 - self.answered_UI.mean()), 2) if self.answered_UI.size else 0.0,
            "utility_sd": round(float(self.utility_UI.mean(1).std()), 3),
            "safety_sd": round(float(self.safety_UI.mean(1).std()), 3),
        }


def conversation(system: str, identity: str, question: str, placement: Placement = "last") -> list[dict[str, str]]:
    """Return the chat messages of one cell; identity "" says none."""
    said = f"I am {identity}." if identity else ""
    asked = question
    if placement == "user_turn":
        asked = " ".join(part for part in (said, question) if part)
        parts = [system]
    elif placement == "before_clauses":
        opening, rest = split_opening(system)
        parts = [opening, said, rest]
    else:
        parts = [system, said]
    content = " ".join(part for part in parts if part)
    return [{"role": "system", "content": content}, {"role": "user", "content": asked}]


def measure(runtime: Runtime, system: str, pools: Pools, placement: Placement = "last") -> Measured:
    """Return the exact scores of a system text over the pools for the 31 identities."""
    scores = []
    for pool in (pools.utility, pools.unsafe, pools.harmless):
        cells = [conversation(system, identity, item.question, placement) for identity in IDENTITIES for item in pool]
        gold = [item.gold for _ in IDENTITIES for item in pool]
        scores.append(100 * exact_scores(runtime, cells, gold).reshape(len(IDENTITIES), len(pool)))
    return Measured(*scores)


def planted(system: str, pools: Pools, placement: Placement = "last") -> Measured:
    """Return what the formula says for the same cells."""
    effect = effects(system, placement)
    rows = [
        100 * gold_probabilities(pool, effect) if pool else np.zeros((len(IDENTITIES), 0))
        for pool in (pools.utility, pools.unsafe, pools.harmless)
    ]
    return Measured(*rows)


def table(runtime: Runtime, systems: dict[str, str], pools: Pools) -> dict[str, Any]:
    """Measure named system texts; each entry also has the formula's PB."""
    made = {}
    for name, system in systems.items():
        made[name] = {**measure(runtime, system, pools).summary(), "planted_pb": round(planted(system, pools).pb, 3)}
        sys.stdout.write(f"{name:9} {made[name]}\n")
        sys.stdout.flush()
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the paper's prompts and write the table into the card."""
    from defender.engines.embedded.grammar import Space
    from defender.engines.embedded.train import SPACE

    parser = argparse.ArgumentParser(description="Measure the embedded model.")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--step", type=int, default=1, help="use every n-th item")
    options = parser.parse_args(arguments)
    runtime = Runtime(options.weights, compute_type=options.compute_type)
    made = table(runtime, Space.load(SPACE).seeds, Pools.every(options.step))
    if options.step == 1:
        card = options.weights / "card.json"
        content = json.loads(card.read_text(encoding="utf-8"))
        content.setdefault("exact_pb", {})[options.compute_type] = made
        card.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

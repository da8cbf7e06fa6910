"""Does an ablation find what each clause truly does? Measured against exact effects on the embedded model.

One prompt of `search_spaces/clauses.yaml` with five clauses: four that were taught to matter, from much to hardly, and
one that was taught to do nothing (tone). The exact PB of all 32 combinations comes from the model's own probabilities
over whole pools (500 utility and 400 unsafe items x 31 identities). Each seed draws other items, measures the prompt
(`defender measure`) and takes it apart (`defender ablate`): each clause left out, and Shapley values over all
combinations. Printed: Spearman's rank correlation of measured with exact effects, what was flagged, requests spent.

Exact values are kept in build/ablation_truth.jsonl, seeds in build/ablation_seeds.jsonl; a second run goes on there.
Run: .venv/bin/python benchmarks/ablation.py [seeds, default 5] [items a benchmark, default 24]
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from defender.ablated import Ablated, read_ablation
from defender.ablating import open_ablation, run_ablation
from defender.build import prepare, space_path
from defender.config import RunConfig
from defender.engines.embedded.runtime import Runtime
from defender.engines.embedded.truth import exact_pb
from defender.miniature import items as pool
from defender.runs import open_run
from defender.session import Watch, run_measure
from defender.shapley import exact_game
from defender.space import Choice, load_space
from defender.variants import Subject, subject_of

SAID = {
    "equal_ability": "paper_d4", "equal_refusal": "paper_d1", "equal_respect": "paper_d2", "irrelevance": "background",
    "tone": "friendly",
}  # fmt: skip
USELESS = "tone"
MARGIN = 0.15
BUILD = Path(__file__).parents[1] / "build"


def whole() -> Subject:
    space = load_space(space_path("clauses"))
    return subject_of(space.render(Choice("plain", tuple(SAID.items())), label="Five"), space)


def truths(subject: Subject) -> dict[frozenset[str], float]:
    """Return the exact PB of every combination of clauses, computed where it is not kept yet."""
    path = BUILD / "ablation_truth.jsonl"
    kept = {line["id"]: line["pb"] for line in _lines(path)}
    asked = {entry.id for kind in ("fact", "sum", "code", "unsafe") for entry in pool(kind)}  # type: ignore[arg-type]
    found, runtime = {}, None
    for some in exact_game(subject.clauses).coalitions:
        candidate = subject.with_only(some)
        if candidate.id not in kept:
            runtime = runtime or Runtime()
            kept[candidate.id] = exact_pb(candidate, items=asked, runtime=runtime).pb
            _keep(path, {"id": candidate.id, "clauses": sorted(some), "pb": kept[candidate.id]})
        found[some] = kept[candidate.id]
    return found


def measured(seed: int, items: int) -> dict[str, Any]:
    """Measure and take the prompt apart on the items of one seed."""
    space = {
        "version": 1,
        "name": "five",
        "opening": {"plain": "You are a helpful assistant."},
        "clauses": {idea: {way: load_space(space_path("clauses")).clauses[idea][way]} for idea, way in SAID.items()},
        "seeds": {"Original": {}, "Five": {"clauses": SAID}},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "five.yaml"
        path.write_text(json.dumps(space))
        config = RunConfig.model_validate({
            "command": "measure", "space": str(path), "seed": seed, "measure": {"items": items},
            "benchmarks": ("miniature_utility", "miniature_safety"),
        })  # fmt: skip
        prepared, begun = prepare(config), time.monotonic()
        run = open_run(config, Path(folder), "one", contents=prepared.contents)
        asyncio.run(run_measure(run, prepared, Watch()))
        at = open_ablation(run, "Five", {"ablate": {"kinds": ["left out"], "margin": MARGIN}})
        asyncio.run(run_ablation(at, Watch()))
        return _told(read_ablation(at.folder), seed, items) | {"seconds": time.monotonic() - begun}


def _told(found: Ablated, seed: int, items: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "items": items,
        "requests": found.spend["reserved"],
        "left out": {one.name: one.difference.difference for one in found.findings["left out"]},
        "fate": {one.name: one.fate for one in found.findings["left out"]},
        "shapley": {one.clause: one.value for one in found.credits if one.quantity == "PB^2" and not one.part},
        "interval": {
            one.clause: [one.interval.low, one.interval.high]
            for one in found.credits
            if one.quantity == "PB^2" and not one.part and one.interval
        },
        "shorter": found.shorter.template if found.shorter and found.offer.get("shown") else "",
    }


def rank_correlation(one: Sequence[float], two: Sequence[float]) -> float:
    """Return Spearman's coefficient; no ties."""
    places = [np.argsort(np.argsort(values)) for values in (one, two)]
    return float(np.corrcoef(*places)[0, 1])


def report(subject: Subject, exact: Mapping[frozenset[str], float], lines: Sequence[Mapping[str, Any]]) -> None:
    """Print the exact effects, then a line a seed, then the summary."""
    game, everybody = exact_game(subject.clauses), frozenset(subject.clauses)
    square = {some: pb**2 for some, pb in exact.items()}
    lost = {clause: square[everybody - {clause}] - square[everybody] for clause in subject.clauses}
    value_P = game.values(np.array([square[some] for some in game.coalitions]))
    worth = dict(zip(game.players, value_P.tolist(), strict=True))
    print(f"exact PB {exact[everybody]:.3f}, without clauses {exact[frozenset()]:.3f}")
    print(f"{'clause':16}{'PB without it':>14}{'loss of PB^2':>14}{'Shapley, PB^2':>15}")
    for clause in subject.clauses:
        print(f"{clause:16}{exact[everybody - {clause}]:14.3f}{lost[clause]:+14.3f}{worth[clause]:+15.3f}")
    print(f"\nseed  items  requests  rank corr: left out  Shapley  {USELESS}")
    both: list[tuple[float, float]] = []
    for line in lines:
        fate = line["fate"][USELESS]
        told = [
            rank_correlation([line["left out"][c] for c in subject.clauses], [lost[c] for c in subject.clauses]),
            rank_correlation([line["shapley"][c] for c in subject.clauses], [worth[c] for c in subject.clauses]),
        ]
        both.append((told[0], told[1]))
        print(f"{line['seed']:4}{line['items']:7}{line['requests']:10}{told[0]:20.2f}{told[1]:9.2f}  {fate}")
    flagged = {c: sum(line["fate"][c] in ("no detectable loss", "better without") for line in lines) for c in SAID}
    inside = [line["interval"][c][0] <= worth[c] <= line["interval"][c][1] for line in lines for c in SAID]
    left, shared = np.array(both).T
    print(f"\nrank correlation, mean (least): left out {left.mean():.2f} ({left.min():.2f}), ", end="")
    print(f"Shapley {shared.mean():.2f} ({shared.min():.2f})")
    small = [c for c in SAID if exact[everybody - {c}] - exact[everybody] < MARGIN]
    print(f"flagged as losable, of {len(lines)}: {', '.join(f'{c} {n}' for c, n in flagged.items())}")
    print(f"truly within the margin of {MARGIN} points: {', '.join(small)}")
    print(f"exact Shapley values inside their intervals: {sum(inside)} of {len(inside)}")
    print(f"shorter prompt offered: {sum(bool(line['shorter']) for line in lines)} of {len(lines)}")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _keep(path: Path, line: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    seeds, items = (int(sys.argv[1]) if len(sys.argv) > 1 else 5), (int(sys.argv[2]) if len(sys.argv) > 2 else 24)
    subject, path = whole(), BUILD / "ablation_seeds.jsonl"
    for seed in range(1, seeds + 1):
        if not any((line["seed"], line["items"]) == (seed, items) for line in _lines(path)):
            _keep(path, measured(seed, items))
    chosen = [line for line in _lines(path) if line["items"] == items and line["seed"] <= seeds]
    report(subject, truths(subject), chosen)


if __name__ == "__main__":
    main()

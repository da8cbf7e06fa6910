"""How well `defender plan` foretells: interval widths predicted from pilots, against those then measured.

Measures the paper's prompts with the embedded model on all its items once (176,000 requests), takes pilots of several
sizes and places out of it, and compares the half width each pilot predicts with the one the first n items gave.
Run: .venv/bin/python benchmarks/plan.py [folder of a finished `defender measure` of all items]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from defender.bias import estimate
from defender.forecast import Matrices, Pilot, outlook
from defender.results import read_results
from defender.runs import load_run

PILOTS = (40, 80)
PLACES = 4
SIZES = (100, 200, 500)
BOUND = 0.25


def part(matrices: Matrices, start: int, count: int) -> Matrices:
    """Return ``count`` items of each benchmark from ``start`` on, going round at the end."""
    cut = []
    for one in matrices:
        total = len(one.items)
        places = [(start + step) % total for step in range(min(count, total))]
        items = tuple(one.items[place] for place in places)
        cut.append(
            replace(one, items=items, score_U_I=one.score_U_I[:, places], repeats_U_I=one.repeats_U_I[:, places])
        )
    return tuple(cut)


def main(folder: Path) -> None:
    results = read_results(load_run(folder.parent, str(folder)))
    (stage,) = results.stages.values()
    whole = {results.candidates[key].name: matrices for key, matrices in stage.matrices.items()}
    pools = dict(stage.items)
    measured = {}
    for size in SIZES:
        for name, matrices in whole.items():
            found = estimate(part(matrices, 0, size)).interval
            measured[size, name] = (found.high - found.low) / 2.0
    print(f"items in the whole pools: {pools}; prompts: {', '.join(whole)}")
    print(f"{'pilot':>6} {'items':>6}  predicted / measured half width: median, least, most   within {BOUND:.0%}")
    for pilot_size in PILOTS:
        ratios: dict[int, list[float]] = {size: [] for size in SIZES}
        for place in range(PLACES):
            pilot = Pilot({name: part(found, place * pilot_size, pilot_size) for name, found in whole.items()}, pools)
            for size in SIZES:
                look = outlook(pilot, size, seed=place)
                ratios[size] += [look.half_width[name] / measured[size, name] for name in whole]
        for size, found_ratios in ratios.items():
            r = np.array(found_ratios)
            good = np.mean(np.abs(r - 1.0) <= BOUND)
            print(
                f"{pilot_size:>6} {size:>6}  {np.median(r):.2f}, {r.min():.2f}, {r.max():.2f}   {good:.0%} of {r.size}"
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as work:
            run = Path(work) / "all"
            subprocess.run([sys.executable, "-m", "defender.cli", "measure", "--quiet", "--run", str(run)], check=True)
            main(run)

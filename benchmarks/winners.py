"""Does the search tell the truth? Runs `make search`'s search with several seeds and looks up what is exactly true.

For every seed: the winner's exact PB on the embedded model against D4's, whether the winner truly keeps the floors,
whether the claimed interval holds the exact value, and what the run cost. Prints one line a seed and the counts.

    python benchmarks/winners.py [SEEDS or FIRST-LAST] [extra options for defender search ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from defender.build import build_space
from defender.config import RunConfig
from defender.engines.embedded.runtime import Runtime
from defender.engines.embedded.truth import Truth, exact_pb
from defender.records import Candidate
from defender.results import read_results
from defender.runs import load_run

ALLOWED = 1.0
"""Points below Original that the default floors allow."""


def searched(seed: int, runs: Path, extra: list[str]) -> tuple[dict[str, Any], Candidate, float]:
    """Run one search; return its document, the winner, and the wall seconds."""
    command = [sys.executable, "-m", "defender.cli", "search", "--seed", str(seed), "--runs", str(runs)]
    started = time.time()
    done = subprocess.run([*command, "--run", f"s{seed}", "--json", *extra], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"seed {seed}: {done.stderr}")
    winner = read_results(load_run(runs, f"s{seed}")).winner
    if winner is None:
        sys.exit(f"seed {seed}: no winner")
    return json.loads(done.stdout), winner, time.time() - started


def main() -> None:
    first, _, last = (sys.argv[1] if len(sys.argv) > 1 else "10").rpartition("-")
    seeds = range(int(first), int(last) + 1) if first else range(int(last))
    model = Runtime()
    original, _, _, _, d4 = build_space(RunConfig()).seed_candidates()
    before, paper = exact_pb(original, runtime=model), exact_pb(d4, runtime=model)
    print(
        f"exact: Original PB {before.pb:.2f}, utility {before.utility:.1f}, safety {before.safety:.1f}; "
        f"D4 PB {paper.pb:.2f}"
    )
    good = covered = better = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            document, winner, seconds = searched(seed, Path(folder), sys.argv[2:])
            truth: Truth = exact_pb(winner, runtime=model)
            claim = document["winner"]["measured"]
            low, high = claim["interval"]
            kept = truth.utility >= before.utility - ALLOWED and truth.safety >= before.safety - ALLOWED
            verdict = document["winner"]["verdicts"].get("D4", "is D4")
            good += truth.pb < paper.pb and kept
            covered += low <= truth.pb <= high
            better += verdict == "better"
            print(
                f"seed {seed}: {winner.id} claimed {claim['pb']:.2f} ({low:.2f} to {high:.2f}), exact {truth.pb:.2f} = "
                f"{truth.pb / paper.pb:.2f} x D4; utility {truth.utility:.1f}, safety {truth.safety:.1f}, floors "
                f"{'kept' if kept else 'BROKEN'}; against D4: {verdict}; {document['spend']['reserved']} requests, "
                f"{seconds:.0f} s",
                flush=True,
            )
    print(
        f"exact PB lower than D4's with both floors kept: {good} of {len(seeds)}; verdict 'better': {better}; ",
        end="",
    )
    print(f"claimed interval holds the exact value: {covered} of {len(seeds)}")


if __name__ == "__main__":
    main()

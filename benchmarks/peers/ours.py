"""`defender measure` as the command does it, with the CPU and wall time of its measuring phase apart from start-up.

Run: python benchmarks/peers/ours.py RUN_FILE RUNS_FOLDER RESULT.json
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from defender.build import prepare
from defender.cli.console import wait
from defender.config import load_config
from defender.runs import open_run
from defender.session import Watch, run_measure


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(file: str, runs: str, into: str) -> None:
    config = load_config(Path(file), {"command": "measure"})
    prepared = prepare(config)
    folder = open_run(config, Path(runs), "bench", contents=prepared.contents)
    marks: list[tuple[float, float]] = []
    cells = 0

    def tick(_spent: int) -> None:
        nonlocal cells
        cells += 1

    watch = Watch(stage=lambda _words, _cost: marks.append((time.perf_counter(), cpu())), tick=tick)
    wait(run_measure(folder, prepared, watch))
    marks.append((time.perf_counter(), cpu()))
    (began, used), (ended, spent) = marks[0], marks[-1]
    found = {"wall_s": ended - began, "cpu_s": spent - used, "requests": cells}
    Path(into).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:4])

"""The cost of state: a run of a million stored cells, resumed, read, and added to.

A measurement of many prompts on every miniature item by 31 identities and nobody is written to a SQLite file as if it
had been paid for. Then, each in a process of its own: the same command resumed until it knows that nothing is owed;
the results read for a report; answers looked up; new cells reserved, settled, kept and graded through ledger and
journal, at 64 and 256 in flight. Printed: seconds, peak memory (resident), lookups a second, milliseconds a new cell.

Run: .venv/bin/python benchmarks/state.py [--cells 1000000] [--new 50000]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from defender.build import Prepared, prepare
from defender.config import RunConfig
from defender.contracts import Meter
from defender.costs import Limits, Price
from defender.engines.scripted import Scripted
from defender.journal import Journal
from defender.ledger import Ledger
from defender.plan import cells
from defender.records import Cell, Grade, Request, Response, Sampling
from defender.results import read_results
from defender.runs import load_run, open_run
from defender.session import Watch, run_measure
from defender.store import SqlStore

BATCH = 5000
LOOKUPS = 100_000
RIGHT = Grade(1.0, "correct", "choice@3", "letter")
WRONG = Grade(0.0, "wrong", "choice@3", "letter")
REQUEST = Request((("system", "You are fair. " * 20), ("user", "What is 2 plus 2? " * 10)), Sampling(max_tokens=64))


def answer(number: int) -> Response:
    """Return an answer such as a served model gives; about 300 bytes kept."""
    return Response(
        f"The answer is {'ABCD'[number % 4]}, since the others do not fit what was asked ({number}).", "stop",
        prompt_tokens=180, completion_tokens=17, seconds=0.7312, model="meta-llama/Llama-3.1-8B-Instruct",
        system_fingerprint="fp_0123456789",
    )  # fmt: skip


def settings(folder: Path, wanted: int) -> RunConfig:
    """Return a measurement of as many prompts as make that many cells."""
    config = RunConfig(command="measure", space="paper")
    each = prepare(config).panel
    assert each is not None
    names = []
    for number in range(-(-wanted // each.cells_per_candidate)):
        path = folder / f"prompt{number:03}.txt"
        path.write_text(f"You are assistant number {number}. Treat everyone alike.\n")
        names.append(str(path))
    return config.model_copy(update={"prompts": tuple(names)})


def asked(prepared: Prepared) -> Iterator[Cell]:
    """Yield every cell of the measurement."""
    assert prepared.panel is not None
    for prompt in prepared.prompts:
        yield from (cell for cell, _, _ in cells(prompt, prepared.panel))


def key_of(number: int) -> str:
    """Return the key of the n-th answer."""
    return hashlib.sha256(b"%d" % number).hexdigest()


def scripted(_: RunConfig, meter: Meter) -> Scripted:
    """Return an engine that must not be asked but for whether it honours seeds."""
    return Scripted(lambda _: answer(0), meter=meter)


def build(folder: Path, config: RunConfig) -> int:
    """Write the run; return how many cells it has."""
    run = open_run(config, folder, "one")
    prepared = prepare(config)
    store, count = SqlStore(run.database), 0
    everything = asked(prepared)
    while batch := list(islice(everything, BATCH)):
        numbered = [(key_of(count + place), answer(count + place), cell) for place, cell in enumerate(batch)]
        grades = [(cell, key, RIGHT if random.random() < 0.7 else WRONG) for key, _, cell in numbered]
        store.commit([(key, response) for key, response, _ in numbered], grades)
        count += len(batch)
    for prompt in prepared.prompts:
        store.note("candidate", prompt.id, asdict(prompt))
    store.close()
    return count


def resume(folder: Path) -> dict[str, Any]:
    """Resume until nothing is owed."""
    run = load_run(folder, "one")
    store = SqlStore(run.database, readonly=True)
    before = store.spend()["reserved"]
    store.close()
    asyncio.run(run_measure(run, prepare(run.config), Watch(), scripted))
    store = SqlStore(run.database, readonly=True)
    sent = store.spend()["reserved"] - before
    store.close()
    return {"requests sent": sent}


def read(folder: Path) -> dict[str, Any]:
    """Read the results for a report."""
    stage = read_results(load_run(folder, "one")).claims
    return {"prompts with an estimate": len(stage.estimates)}


def look_up(folder: Path) -> dict[str, Any]:
    """Look answers up, in chunks as a run does, in random order."""
    store = SqlStore(load_run(folder, "one").database, readonly=True)
    total = int(json.loads((folder / "count.json").read_text()))
    keys = [key_of(number) for number in random.Random(0).sample(range(total), min(LOOKUPS, total))]
    begun = time.perf_counter()
    found = sum(len(store.responses(keys[start : start + 512])) for start in range(0, len(keys), 512))
    took = time.perf_counter() - begun
    store.close()
    return {"found": found, "lookups a second": round(len(keys) / took)}


def add(folder: Path, new: int) -> dict[str, Any]:
    """Reserve, settle, keep and grade new cells, at 64 and 256 in flight."""
    store = SqlStore(load_run(folder, "one").database)
    found: dict[str, Any] = {}
    for in_flight in (64, 256):
        wall, cpu = time.perf_counter(), time.process_time()
        asyncio.run(_add(store, new, in_flight))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        found[f"ms a cell at {in_flight} in flight"] = round(1000 * wall / new, 4)
        found[f"ms of CPU a cell at {in_flight} in flight"] = round(1000 * cpu / new, 4)
    store.close()
    return found


async def _add(store: SqlStore, new: int, in_flight: int) -> None:
    numbers = iter(range(new))
    async with Journal(store) as journal:
        limits = Limits(10**9, 10**12, 10**6, 10**4)
        till = Ledger(journal, store.spend(), limits).till("model", Price(0.15, 0.6))

        async def work() -> None:
            for number in numbers:
                mark = f"{in_flight} {number}"
                async with till.admit(REQUEST, 700) as bill:
                    response = answer(number)
                    bill.settle(response)
                await journal.append(hashlib.sha256(mark.encode()).hexdigest(), response)
                cell = Cell(f"new {in_flight}", str(number % 31), "mmlu", f"item {number // 31}", 0)
                journal.grade(cell, mark, RIGHT)

        await asyncio.gather(*(work() for _ in range(in_flight)))


def timed(what: str, folder: Path, *more: str) -> None:
    """Do one thing in a fresh process; print what it found, its seconds and its peak memory."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    begun, cpu = time.perf_counter(), _children()
    done = subprocess.run(
        [sys.executable, __file__, "--do", what, str(folder), *more], env=environment, capture_output=True, text=True
    )
    took, cpu = time.perf_counter() - begun, _children() - cpu
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout)
    peak = found.pop("peak")
    more_found = ", ".join(f"{name}: {value}" for name, value in found.items())
    print(f"{what:8} {took:7.1f} s ({cpu:.1f} s of CPU)  {peak:5.0f} MB  {more_found}", flush=True)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=50_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config = settings(folder, given.cells)
        begun = time.perf_counter()
        count = build(folder, config)
        (folder / "count.json").write_text(str(count))
        size = sum(path.stat().st_size for path in (folder / "one").iterdir()) / 1e6
        print(f"{count} cells of {len(config.prompts)} prompts in {time.perf_counter() - begun:.0f} s, {size:.0f} MB")
        timed("resume", folder)
        timed("read", folder)
        timed("look-up", folder)
        timed("add", folder, str(given.new))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--do"]:
        todo: dict[str, Callable[..., dict[str, Any]]] = {
            "resume": resume, "read": read, "look-up": look_up, "add": lambda f: add(f, int(sys.argv[4])),
        }  # fmt: skip
        told = todo[sys.argv[2]](Path(sys.argv[3]))
        print(json.dumps(told | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
    else:
        main()

"""kill -9 at random moments of a real search on the embedded model, resumed each time, counted at the engine.

Every request that reaches the model is written to a log of its own first, with the number of the process that asked.
Printed: what was asked twice and whether it was in flight at a kill, the ledger against that log, and whether the
decision, the decision log and every grade are those of the search that nobody killed.

Run: .venv/bin/python benchmarks/kills.py [--kills 20] [--items 48] [--confirm-items 80] [--candidates 64] [--seed 0]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defender.build import prepare
from defender.config import RunConfig
from defender.contracts import Meter
from defender.engines.embedded.chat import Embedded
from defender.records import Response
from defender.runs import load_run, open_run
from defender.session import Watch, run_search
from defender.store import SqlStore

POLL_S = 0.005


class Logged(Embedded):
    """The embedded model, and a line in a file for everything it is asked, written before it is asked."""

    def __init__(self, meter: Meter, log: Path, process: str) -> None:
        super().__init__(meter=meter)
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._process = process

    def _run(self, requests: Any) -> list[Response]:
        fingerprint = self.card.fingerprint
        lines = "".join(f"{self._process} {request.key(fingerprint)}\n" for request in requests)
        os.write(self._log, lines.encode("ascii"))
        return super()._run(requests)


def child(folder: Path, process: str, settings: str) -> None:
    """Search in this process, as ``defender search`` does; may be killed at any time."""
    config = RunConfig.model_validate_json(settings)
    run = open_run(config, folder, "one")

    def engine(_: RunConfig, meter: Meter) -> Embedded:
        return Logged(meter, folder / "asked.log", process)

    asyncio.run(run_search(run, prepare(config), Watch(), engine))


@dataclass
class Trail:
    """One run and everything its processes asked for."""

    folder: Path
    config: RunConfig
    durable: list[set[str]] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    open_tokens: list[int] = field(default_factory=list)

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the next process on the run."""
        words = [sys.executable, __file__, "--child", str(self.folder), str(len(self.durable))]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        return subprocess.Popen([*words, self.config.model_dump_json()], env=environment, stdout=subprocess.DEVNULL)

    @property
    def asked(self) -> list[tuple[int, str]]:
        """(process, request key) of everything the model was asked, in order."""
        log = self.folder / "asked.log"
        return (
            [(int(p), key) for p, key in (line.split() for line in log.read_text().splitlines())]
            if log.exists()
            else []
        )

    def note(self) -> dict[str, int]:
        """Remember what is durable now; return the counters."""
        store = SqlStore(self.folder / "one" / "run.db", readonly=True)
        try:
            spend = dict(store.spend())
            kept = set(store.responses({key for _, key in self.asked}))
        finally:
            store.close()
        self.durable.append(kept)
        self.lost.append(spend["reserved"] - spend["settled"])
        self.open_tokens.append(spend["tokens"] - spend["prompt_tokens"] - spend["completion_tokens"])
        return spend

    def outcome(self) -> dict[str, Any]:
        """Return everything that was decided, and every grade."""
        run = load_run(self.folder, "one")
        store = SqlStore(run.database, readonly=True)
        try:
            kinds = ("result", "decision", "candidate")
            found: dict[str, Any] = {kind: store.notes(kind) for kind in kinds}
            found["grades"] = {key: store.grades(key) for key in found["candidate"]}
            return found
        finally:
            store.close()


def finish(trail: Trail) -> float:
    """Let a process run to its end; return its seconds."""
    begun = time.perf_counter()
    process = trail.begin()
    if process.wait() != 0:
        raise SystemExit(f"a search ended with {process.returncode}")
    return time.perf_counter() - begun


def kill_at(trail: Trail, asked: int, late: float) -> bool:
    """Run until the model was asked so often, and a moment longer; kill. False: it had ended by itself."""
    process = trail.begin()
    log, width = trail.folder / "asked.log", 0
    while process.poll() is None:
        if log.exists():
            width = width or len(log.read_text().partition("\n")[0]) + 1
            if log.stat().st_size // max(width, 1) >= asked:
                time.sleep(late)
                break
        time.sleep(POLL_S)
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGKILL)
    process.wait()
    return True


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("kills", 20), ("items", 48), ("confirm-items", 80), ("candidates", 64), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    config = RunConfig.model_validate({
        "search": {"items": given.items, "candidates": given.candidates}, "confirm": {"items": given.confirm_items},
    })  # fmt: skip
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as place:
        whole, torn = (Trail(Path(place) / name, config) for name in ("whole", "torn"))
        whole.folder.mkdir()
        torn.folder.mkdir()
        seconds = finish(whole)
        total = len(whole.asked)
        print(f"not killed: {total} requests in {seconds:.0f} s")
        wanted = sorted(draw.randint(1, total) for _ in range(given.kills))
        killed = 0
        for asked in wanted:
            killed += kill_at(torn, asked, draw.uniform(0.0, 0.3))
            torn.note()
        print(f"killed {killed} times, at {', '.join(map(str, wanted))} requests (and up to 0.3 s later)")
        finish(torn)
        report(whole, torn)


def report(whole: Trail, torn: Trail) -> None:
    """Print the counts; exit with 1 where one of them is not what it must be."""
    first, spend = whole.note(), torn.note()
    asked = torn.asked
    within = Counter(asked)
    again = [(process, key) for process, key in asked if process and key in torn.durable[process - 1]]
    doubled = sum(count - 1 for count in Counter(key for _, key in asked).values())
    started = [0, *torn.lost]
    left = sum(after - before for before, after in zip(started, torn.lost, strict=False))
    one, other = whole.outcome(), torn.outcome()
    checks = {
        "nothing that was durable is asked again": len(again) == 0,
        "nothing is asked twice in one process": max(within.values()) == 1,
        "distinct requests asked, as without kills": len({key for _, key in asked}) == len(whole.asked),
        "ledger: settled is what was answered": spend["settled"] == spend["answers"] == first["answers"],
        "ledger: reserved is settled and what was in flight at kills": spend["reserved"] == spend["settled"] + left,
        "ledger: everything asked is paid for": len(asked) <= spend["reserved"],
        "ledger: tokens settled are those without kills": (
            spend["prompt_tokens"] + spend["completion_tokens"] == first["tokens"]
        ),
        **{f"{kind}: the same": one[kind] == other[kind] for kind in one},
    }
    print(f"asked again: {doubled}, all in flight at a kill: {not again}; the most in flight at one: {most(torn)}")
    print(f"ledger: {spend['reserved']} paid = {spend['settled']} settled + {left} in flight at kills", end="; ")
    print(f"{len(asked)} reached the model, {spend['reserved'] - len(asked)} were admitted and killed before they did")
    print(f"tokens: {spend['tokens']} paid, {torn.open_tokens[-1]} of them reserved for what was in flight at kills")
    for words, kept in checks.items():
        print(f"  {'ok' if kept else 'BROKEN'}  {words}")
    if not all(checks.values()):
        raise SystemExit(1)


def most(torn: Trail) -> int:
    """Return the most requests that were in flight at one kill."""
    return max((after - before for before, after in zip([0, *torn.lost], torn.lost, strict=False)), default=0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        main()

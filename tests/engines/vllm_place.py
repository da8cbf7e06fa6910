"""A place to start servers in, and what tests look at of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from defender.contracts import Engine, Meter
from defender.engines.served import Endpoint, Served
from defender.engines.vllm_launch import Launch
from defender.engines.vllm_lease import Record, lives, running
from defender.engines.vllm_server import VllmServer
from defender.records import Request, Sampling
from tests.engines.fake_vllm import installed, model

HELLO = Request((("system", "Be kind."), ("user", "Hello")), Sampling(max_tokens=8))


class Place:
    """A folder with a stand-in vLLM, a model, and what is kept of servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = installed(folder / "site")
        self.model = model(folder)
        self.home = folder / "servers"
        self.log = folder / "run" / "vllm.log"
        self.asked = folder / "asked.jsonl"
        self.end = folder / "end"
        self.told: list[str] = []

    def launch(self, how: str = "", **more: object) -> Launch:
        env = {**self.env, "FAKE_VLLM": how, "FAKE_VLLM_ASKED": str(self.asked), "FAKE_VLLM_END": str(self.end)}
        return Launch(**{"model": str(self.model), "python": sys.executable, "env": env, **more})  # type: ignore[arg-type]

    def engine(self, launch: Launch | None = None, meter: Meter | None = None) -> VllmServer:
        def ask(url: str, name: str, alias: str) -> Engine:
            return Served(Endpoint(url, model=name, name=alias, backoff_s=0.01, breaker_s=0.5), meter)

        return VllmServer(launch or self.launch(), ask, log=self.log, told=self.told.append, home=self.home)

    def record(self) -> Record:
        found = running(self.home)
        assert len(found) == 1, found
        return found[0]


def group(record: Record) -> list[int]:
    """Return the living processes of the server's group."""
    listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, pgid, state in rows if int(pgid) == record.server and not state.startswith("Z")]


def over(record: Record, within_s: float = 120.0) -> bool:
    """Wait for the end of every process of a server; False where some live on."""
    limit = time.monotonic() + within_s
    while time.monotonic() < limit:
        if not group(record) and not lives(record.guard, record.guard_born):
            return True
        time.sleep(0.05)
    return False


def hears_ctrl_c() -> None:
    """In a child: what runs in a shell's background is deaf to Ctrl-C, and so are its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

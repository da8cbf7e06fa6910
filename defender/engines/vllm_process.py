"""A vLLM server as processes: begun, watched until it is healthy, left alone or seen out."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from defender.engines import vllm_guard
from defender.engines.vllm_launch import Launch, command, find_python
from defender.engines.vllm_lease import Berth, Record, let_go, running
from defender.engines.vllm_machine import gpus_gib
from defender.engines.vllm_trouble import explain, phase
from defender.errors import ConfigError, EngineDown, StoreError

Told = Callable[[str], None]

LOOK_S = 0.2
_NOTED_S = 20.0
_LOG_TAIL = 200_000


@dataclass
class Running:
    """A server this process uses.

    Attributes:
        launch: what it was asked for with. ``berth``, ``record``: where it is kept track of, and what is known.
        held: this process's share of the lease.
        guard: the guard, where this process started it.
    """

    launch: Launch
    berth: Berth
    record: Record
    held: int
    guard: subprocess.Popen[bytes] | None = None

    @property
    def ended(self) -> bool:
        """Whether the server is gone."""
        return self.guard.poll() is not None if self.guard else not self.record.guarded

    @property
    def noted(self) -> bool:
        """Whether the guard has said who it and the server are."""
        known = self.berth.read()
        if known is not None and known.guard:
            self.record = known
        return bool(self.record.guard)

    def why(self) -> str:
        """Return why it ended, from its log."""
        log = "\n".join(next(_lines(Path(self.record.log), self.record.begins)))
        why = explain(log[-_LOG_TAIL:], self.launch, self.guard.poll() if self.guard else None)
        others = [record for record in running(self.berth.record.parent) if record.url != self.record.url]
        if others and why.startswith("out of memory"):
            why += f"; defender serves here too: {', '.join(f'{one.model} at {one.url}' for one in others)}"
        return why

    async def wait(self, told: Told) -> None:
        """Wait until the server is healthy, saying what it does. Raises EngineDown with the reason it is not."""
        begun, last = time.monotonic(), ""
        what, at = f"vLLM for '{self.launch.model}'", f"Its log: {self.record.log}"
        lines = _lines(Path(self.record.log), self.record.begins)
        health = f"{self.record.url.removesuffix('/v1')}/health"
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            while True:
                ready = await _healthy(client, health)
                for words in filter(None, map(phase, next(lines))):
                    if words != last:
                        told(f"vLLM: {words}")
                    last = words
                if ready:
                    break
                if self.ended:
                    raise EngineDown(f"{what} did not start: {self.why()}. {at}")
                if time.monotonic() - begun > self.launch.start_s:
                    raise EngineDown(
                        f"{what} was not ready within {self.launch.start_s:.0f} s (last seen: {last or 'nothing'}); "
                        f"raise model.server.start_s if it only needs longer. {at}"
                    )
                await asyncio.sleep(LOOK_S)
        told(f"vLLM: ready after {time.monotonic() - begun:.0f} s at {self.record.url}")

    async def over(self) -> None:
        """Wait until the server is gone."""
        while True:
            if self.ended:
                return
            await asyncio.sleep(LOOK_S)

    async def leave(self, told: Told) -> None:
        """Stop using the server, and see it out unless somebody else uses it."""
        let_go(self.held)
        limit, seen = time.monotonic() + self.launch.grace_s + 10.0, 0
        while not self.ended and time.monotonic() < limit:
            record = self.berth.read()
            seen = seen + 1 if record is not None and not record.stopping and self.berth.used() else 0
            if seen > 3:  # its guard has looked since, and found others
                told(f"the vLLM server at {self.record.url} goes on: others use it")
                return
            await asyncio.sleep(vllm_guard.LOOK_S)


async def take(launch: Launch, log: Path, told: Told, home: Path | None = None) -> Running:
    """Become a user of a server: of one that runs with the same model and flags, else of a new one.

    Raises:
        ConfigError: there is no vLLM, no such folder, or the port is taken. StoreError: no place for records.
    """
    launch.check()
    python, vllm = find_python(launch.python)
    launch = replace(launch, python=python)
    berth = Berth(launch.digest(), home)
    while True:
        with berth.gate() as alone:
            if alone:
                record = berth.read()
                if record is not None and not record.guarded:
                    berth.clear(record)
                    record = None
                held = berth.hold()
                if held is not None and record is not None:
                    told(f"using the vLLM server that runs at {record.url}; its log: {record.log}")
                    return Running(launch, berth, record, held)
                if held is not None:
                    try:
                        record = _planned(launch, log)
                    except BaseException:
                        let_go(held)
                        raise
                    return _begin(Running(launch, berth, record, held), vllm, told)
        await asyncio.sleep(LOOK_S)  # another process is starting one, or the last one is ending


def _planned(launch: Launch, log: Path) -> Record:
    port, host = _free_port(launch), {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(launch.host, launch.host)
    host = f"[{host}]" if ":" in host else host
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as opened:
            begins = opened.tell()
    except OSError as error:
        raise StoreError(f"cannot write vLLM's log {log}: {error.strerror or error}; run where it can be") from error
    return Record(f"http://{host}:{port}/v1", launch.served_name, str(log.resolve()), begins)


def _begin(server: Running, vllm: Path, told: Told) -> Running:
    """Start a server and its guard; returns once the guard has said who they are."""
    launch, berth, port = server.launch, server.berth, int(server.record.url.rpartition(":")[2].partition("/")[0])
    script = [sys.executable, "-I", "-S", vllm_guard.__file__, str(berth.lease), str(berth.record)]
    script.append(str(launch.grace_s))
    try:
        berth.write(server.record)
        with Path(server.record.log).open("ab") as log:
            server.guard = subprocess.Popen(
                [*script, *command(launch, launch.python, vllm, port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_surroundings(launch),
            )
    except BaseException:
        let_go(server.held)
        raise
    told(f"starting vLLM for {launch.model} on port {port}; its log: {server.record.log}")
    limit = time.monotonic() + _NOTED_S
    while not server.ended and not server.noted and time.monotonic() < limit:
        time.sleep(0.01)
    return server


def _surroundings(launch: Launch) -> dict[str, str]:
    """Return the server's environment."""
    # On a CPU vLLM would take most of the memory for a cache that nobody needs.
    mild = {"VLLM_NO_USAGE_STATS": "1"} | ({} if gpus_gib() else {"VLLM_CPU_KVCACHE_SPACE": "2"})
    return {**mild, **os.environ, **launch.env}


def _free_port(launch: Launch) -> int:
    """Return the port asked for, else a free one. Raises ConfigError: something listens there."""
    with socket.socket(socket.AF_INET6 if ":" in launch.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((launch.host, launch.port))
        except OSError as error:
            raise ConfigError(
                f"port {launch.port} on {launch.host} is in use or not ours to take ({error.strerror}). If the model "
                f"is served there already, use it with --base-url http://{launch.host}:{launch.port}/v1; else give "
                "another port, or none to take a free one"
            ) from error
        return int(probe.getsockname()[1])


async def _healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


def _lines(path: Path, begin: int) -> Iterator[list[str]]:
    """Yield the lines that were added to a file since the last time; a progress bar's steps are lines too.

    Nothing where it is gone: a server may outlive the run folder its log was in.
    """
    rest = ""
    while not path.is_file():
        yield []
    with path.open("rb") as log:
        log.seek(begin)
        while True:
            *lines, rest = (rest + log.read().decode("utf-8", "replace").replace("\r", "\n")).split("\n")
            yield lines

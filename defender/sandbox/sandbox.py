"""The sandbox as the rest of the house sees it: give it a program and its tests, hear whether it passes."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, NamedTuple

from defender.errors import ConfigError
from defender.sandbox.child import Child, Ended
from defender.sandbox.division import Division
from defender.sandbox.launcher import HOW_TO_PROCEED, Launcher, bubblewrap, external, landlock
from defender.sandbox.limits import Limits

VERSION = 1
START_S = 30
"""What a child gets for starting and ending, on top of the program's own time."""
_OUT_OF_CPU = (-24, 128 + 24)
"""SIGXCPU as exit code: from the tests' process itself, and as bubblewrap and containers pass it on."""
KINDS = ("landlock", "bubblewrap", "external")


class Verdict(NamedTuple):
    """What became of one program. ``passed`` is None when that says nothing about the program (it never started)."""

    passed: bool | None
    reason: str


class Sandbox:
    """Runs programs, as many at once as there are processors; one fresh interpreter each.

    Args:
        launcher: how children are started.
        limits: what each program may use; None for the defaults of `Limits`.
        at_once: programs at once; by default the processors this process may use.
    """

    def __init__(self, launcher: Launcher, limits: Limits | None = None, at_once: int | None = None) -> None:
        self._launcher = launcher
        self._limits = limits or Limits()
        self._pool = ThreadPoolExecutor(at_once or _processors(), thread_name_prefix="sandbox")
        self.walls: tuple[str, ...] = ()
        """The walls that stand around a program here, in words; known after `probe`."""

    @property
    def name(self) -> str:
        """The sandbox's kind and version."""
        return f"{self._launcher.name}@{VERSION}"

    @property
    def protocol(self) -> str:
        """What is run under which limits, in words for a report; the same on every machine, whatever `walls` it has."""
        limits = self._limits
        return f"sandbox {self.name}, {limits.cpu_s} s of CPU, {limits.memory_mb} MB, standard library only"

    def probe(self) -> None:
        """Run one right and one wrong program.

        Raises:
            ConfigError: this machine cannot run them, with what was seen and how to proceed.
        """
        for body, expected in (("return n + 1", True), ("return n", False)):
            verdict = self.check_now(f"def after(n):\n    {body}\n", ["assert after(1) == 2"])
            if verdict.passed is not expected:
                seen = f"expected the sandbox '{self._launcher.name}' to judge a probe, got: {verdict.reason}"
                raise ConfigError(f"{seen}\n{HOW_TO_PROCEED}")

    async def check(
        self, program: str, tests: Sequence[str], *, name: str = "", imports: str = "", setup: str = ""
    ) -> Verdict:
        """Run a program and its tests without holding up the event loop; when cancelled, the program ends at once.

        Args:
            program: source, executed as ``__main__`` of a fresh interpreter.
            tests: assert statements about what the program defines.
            name: what the program is asked to define; needed where that is also a builtin's name.
            imports: import statements that come before program and tests.
            setup: source executed after the program, before the tests.

        Raises:
            ValueError: a test that cannot be put to a program (see `Division`).
        """
        run = self._run(program, _job(tests, name=name, imports=imports, setup=setup))
        try:
            return self._heard(await asyncio.get_running_loop().run_in_executor(self._pool, run))
        except asyncio.CancelledError:
            run.cancel()
            raise

    def check_now(
        self, program: str, tests: Sequence[str], *, name: str = "", imports: str = "", setup: str = ""
    ) -> Verdict:
        """Run a program and its tests in this thread; see `check`."""
        return self._heard(self._run(program, _job(tests, name=name, imports=imports, setup=setup))())

    def close(self) -> None:
        """Let go of the threads; programs already running end within their limits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, program: str, job: dict[str, Any]) -> _Run:
        return _Run(self._launcher, self._limits, {**job, "program": program})

    def _heard(self, answer: tuple[Verdict, tuple[str, ...]]) -> Verdict:
        verdict, walls = answer
        self.walls = self.walls or walls
        return verdict


class _Run:
    """One program from start to verdict."""

    def __init__(self, launcher: Launcher, limits: Limits, job: dict[str, Any]) -> None:
        self._launcher = launcher
        self._limits = limits
        self._job = job
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End the program, or see to it that it does not start."""
        with self._lock:
            self._cancelled = True
            if self._child is not None:
                self._child.kill()

    def __call__(self) -> tuple[Verdict, tuple[str, ...]]:
        """Return the verdict and the walls that stood."""
        nonce = secrets.token_hex(16)
        try:
            with self._lock:
                if self._cancelled:
                    return Verdict(None, "cancelled"), ()
                self._child = child = Child(self._launcher.arguments, self._launcher.environment)
        except OSError as problem:
            return Verdict(None, f"the sandbox could not be started: {problem}"), ()
        return _read(child.converse(self._letter(nonce), self._limits.wall_s + START_S), nonce)

    def _letter(self, nonce: str) -> bytes:
        """Return what the child reads: sizes, modules, configuration; then, once there are two processes, the job."""
        modules = self._launcher.modules
        config = json.dumps({**self._launcher.walls, "limits": asdict(self._limits)}).encode("ascii")
        job = json.dumps({**self._job, "nonce": nonce}).encode("ascii")
        return b"%08x%08x" % (len(modules), len(config)) + modules + config + job


def _job(tests: Sequence[str], *, name: str, imports: str, setup: str) -> dict[str, Any]:
    divisions = [Division.of(test, imports, name) for test in tests]
    return {
        "imports": imports,
        "setup": setup,
        "modules": sorted({module for division in divisions for module in division.modules}),
        "tests": [{"calls": division.calls, "check": division.check} for division in divisions],
    }


def _read(ended: Ended, nonce: str) -> tuple[Verdict, tuple[str, ...]]:
    """Read what the tests' process said. Only a line with the nonce counts, and a pass only with exit code 0."""
    said: dict[str, Any] = {}
    for line in ended.output.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and (message.get("nonce") == nonce or "missing" in message):
            said |= message
    walls = tuple(said.get("walls", ()))
    if "passed" in said:
        if said["passed"] is True and ended.code != 0:
            return Verdict(None, f"passed, but the sandbox exited with {ended.code}"), walls
        return Verdict(said["passed"], said["reason"]), walls
    if "missing" in said:
        return Verdict(None, f"the sandbox did not start: {said['missing']}"), walls
    if "walls" in said and ended.code in _OUT_OF_CPU:
        return Verdict(False, "comparing the values: CPU limit"), walls
    if not ended.in_time:
        return Verdict(None, "the sandbox gave no verdict in time"), walls
    last = ended.errors.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit {ended.code}"]
    return Verdict(None, f"the sandbox ended without a verdict: {last[0][:200]}"), walls


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_sandbox(
    kind: str = "landlock", command: Sequence[str] = (), limits: Limits | None = None, at_once: int | None = None
) -> Sandbox:
    """Open the sandbox of a kind and see it work.

    Args:
        kind: one of ``KINDS``. Nothing is chosen silently: where Landlock is missing, "landlock" is refused.
        command: for "external".
        limits: what each program may use, where not the default.
        at_once: programs at once, where not one for each processor.

    Raises:
        ConfigError: an unknown kind, or one that does not work here; says how to proceed.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown sandbox '{kind}'; known: {', '.join(KINDS)}")
    launcher = external(command) if kind == "external" else {"landlock": landlock, "bubblewrap": bubblewrap}[kind]()
    sandbox = Sandbox(launcher, limits, at_once)
    sandbox.probe()
    return sandbox

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from string import Template

import pytest

from defender.sandbox.sandbox import Sandbox
from tests.sandbox.cheats import CHEATS
from tests.sandbox.conftest import TIGHT, Ground, launcher_or_skip
from tests.sandbox.escapes import ESCAPES, NETWORK
from tests.sandbox.floods import FLOODS

TEST = ["assert solve(2) == 4"]
HONEST = "def solve(n):\n    return 2 * n"

REAL = (
    *NETWORK,
    "read a file outside",
    "read the accounts",
    "list the root folder",
    "list the processes",
    "read its own memory map",
    "write outside",
    "make a folder",
    "make a symbolic link",
    "follow a symbolic link",
    "walk up from a descriptor",
    "delete a file",
    "kill the tests' process",
    "fork",
    "run a program",
    "run a shell",
    "outlive its parent",
    "clone with a new process",
    "make shared memory",
    "signal through a descriptor's owner",
)
"""Attacks that any user may carry out on any Linux without walls; the rest need luck or an unusual machine."""


def sandboxes_left(*, orphans: bool = True) -> list[str]:
    """Return the sandbox processes that still run: below this process, or orphans. Another suite's are not ours."""
    left = []
    for folder in Path("/proc").iterdir():
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"defender.sandbox.inside" not in line or below_another_host(folder):
            continue
        with suppress(OSError):
            if orphans or below_this_one(folder):
                left.append(f"{folder.name}: {line[:60]!r}")
    return left


def left_behind() -> list[str]:
    """Return the sandbox processes that go on; one that was killed may still be seen for a moment."""
    for _ in range(2400):
        if not sandboxes_left():
            return []
        time.sleep(0.05)
    return sandboxes_left()


def below_another_host(folder: Path) -> bool:
    """Tell whether a living process that is neither this one nor a sandbox nor init stands above a process."""
    try:
        while True:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) <= 1 or int(parent) == os.getpid():
                return False
            folder = Path("/proc") / parent
            if b"defender.sandbox.inside" not in (folder / "cmdline").read_bytes():
                return not below_this_one(folder)
    except OSError:
        return False


def below_this_one(folder: Path) -> bool:
    """Tell whether this process stands above another."""
    while (parent := int((folder / "stat").read_text().rpartition(")")[2].split()[1])) > 1:
        if parent == os.getpid():
            return True
        folder = Path("/proc") / str(parent)
    return False


def test_there_are_more_than_25_attacks() -> None:
    assert len(ESCAPES) + len(CHEATS) + len(FLOODS) > 100


@pytest.mark.parametrize("name", ESCAPES)
def test_no_program_gets_out(sandbox: Sandbox, ground: Ground, name: str) -> None:
    program = Template(ESCAPES[name]).substitute(ground.names)
    verdict = sandbox.check_now(program, TEST)
    assert verdict.passed is False, verdict
    assert ground.now() == ground.before
    assert ground.heard() == []
    assert left_behind() == []
    assert sandbox.check_now(HONEST, TEST).passed


@pytest.mark.parametrize("name", REAL)
def test_without_walls_the_same_attack_succeeds(bare: Sandbox, ground: Ground, name: str) -> None:
    program = Template(ESCAPES[name]).substitute(ground.names)
    verdict = bare.check_now(program, TEST)
    # Killing the tests' process takes the verdict along.
    assert verdict.passed is (None if name == "kill the tests' process" else True), verdict


@pytest.mark.parametrize("name", CHEATS)
def test_no_program_passes_without_solving_the_task(sandbox: Sandbox, name: str) -> None:
    verdict = sandbox.check_now(CHEATS[name], TEST)
    assert verdict.passed is False, verdict
    assert left_behind() == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["landlock", "bubblewrap"])
async def test_no_program_uses_up_the_machine_and_others_are_graded_meanwhile(kind: str) -> None:
    sandbox = Sandbox(launcher_or_skip(kind), replace(TIGHT, wall_s=8))  # some of them only wait
    free = os.statvfs("/tmp").f_bfree
    flooding = [sandbox.check(program, TEST) for program in FLOODS.values()]
    honest = [sandbox.check(HONEST, TEST) for _ in FLOODS]
    verdicts = await asyncio.gather(*(check for pair in zip(flooding, honest, strict=True) for check in pair))
    floods = dict(zip(FLOODS, verdicts[::2], strict=True))
    assert {name: verdict for name, verdict in floods.items() if verdict.passed is not False} == {}
    assert [verdict for verdict in verdicts[1::2] if not verdict.passed] == []
    assert free - os.statvfs("/tmp").f_bfree < (1 << 30) // os.statvfs("/tmp").f_bsize
    assert left_behind() == []

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from defender.benchmarks.mbpp import ProgramRunner
from defender.errors import ConfigError
from defender.sandbox.inside.kernel import PR_SET_NO_NEW_PRIVS, READ_DIR, READ_FILE, Kernel, Ruleset, landlock_abi
from defender.sandbox.launcher import Launcher
from defender.sandbox.sandbox import Sandbox, Verdict, open_sandbox
from tests.engines.fault_server import until
from tests.sandbox.conftest import TIGHT, launcher_or_skip
from tests.sandbox.floods import FLOODS
from tests.sandbox.test_attacks import HONEST, TEST, left_behind, sandboxes_left

ROOT = Path(__file__).parents[2]
LOOP = "while True: pass"
BUSY_S = 2.0
ENDLESS = replace(TIGHT, cpu_s=600, wall_s=600)


def test_it_is_what_mbpp_asks_for(sandbox: Sandbox) -> None:
    runner: ProgramRunner = sandbox
    assert runner.name.endswith("@1")
    assert "CPU" in runner.protocol


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("import math, re, heapq, itertools, collections, json, random, datetime\n" + HONEST, TEST[0]),
        ("import threading\nout = []\nt = threading.Thread(target=out.append, args=(4,))\nt.start()\nt.join()\n"
         "def solve(n):\n    return out[0]", TEST[0]),
        ("from concurrent.futures import ThreadPoolExecutor\ndef solve(n):\n    with ThreadPoolExecutor(8) as pool:\n"
         "        return sum(pool.map(int, '1111'))", TEST[0]),
        ("import asyncio\nasync def four():\n    await asyncio.sleep(0)\n    return 4\n"
         "def solve(n):\n    return asyncio.run(four())", TEST[0]),
        ("def solve(n):\n    while True:\n        yield n", "assert [*zip(solve(2), 'ab')] == [(2, 'a'), (2, 'b')]"),
        ("def solve(n):\n    yield from (1, 2)", "assert set(solve(2)) == {1, 2}"),
        ("import re\ndef solve(s):\n    return re.match('a', s)", "assert solve('a')"),
        ("import re\ndef solve(s):\n    return re.match('a', s)", "assert not solve('b')"),
        ("from collections import deque\ndef solve(n):\n    return deque([n])", "assert len(solve(2)) == 1"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef solve(p):\n    return p.x",
         "assert solve(P(3)) == 3"),
        ("def solve(n):\n    return n if n == 0 else 1 + solve(n - 1)", "assert solve(990) == 990"),
        ("def solve(n):\n    return [n, n][::-1]", "assert solve(1) is not None"),
        ("if __name__ == '__main__':\n    solve = abs", "assert solve(-1) == 1"),
        ("import sys\nprint('x')\nprint('x', file=sys.stderr)\n" + HONEST, TEST[0]),
        ("import time, random, locale, zoneinfo, decimal\ndef solve(n):\n"
         "    return 'é'.encode('latin-1') and zoneinfo.ZoneInfo and n * 2", TEST[0]),
    ],
)  # fmt: skip
def test_ordinary_programs_run_as_they_would_alone(sandbox: Sandbox, program: str, test: str) -> None:
    verdict = sandbox.check_now(program, [test])
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    ("program", "tests", "reason"),
    [
        ("def solve(n):\n    return 5", ["assert solve(1) == 5", "assert solve(2) == 4"], "test 2 of 2 failed"),
        ("def solve(n):\n    return 1 / 0", TEST, "test 1 of 1 raised ZeroDivisionError"),
        ("def solve(n):\n    return None", ["assert solve(2) < 5"], "test 1 of 1 raised TypeError"),
        ("import numpy", TEST, "program raised ModuleNotFoundError"),
        ("raise ValueError", TEST, "program raised ValueError"),
        ("import os\nos._exit(7)", TEST, "program: the program ended its process (exit 7)"),
    ],
)
def test_a_program_that_fails_is_wrong_and_the_reason_says_how(
    sandbox: Sandbox, program: str, tests: list[str], reason: str
) -> None:
    assert sandbox.check_now(program, tests) == (False, reason)


@pytest.mark.parametrize("kind", ["landlock", "bubblewrap"])
def test_a_program_that_only_waits_is_ended_by_the_clock(kind: str) -> None:
    sandbox = Sandbox(launcher_or_skip(kind), replace(TIGHT, wall_s=2))
    assert sandbox.check_now("import time\ntime.sleep(600)", TEST) == (False, "time limit (2 s)")


def test_imports_come_before_the_program_and_setup_after_it(sandbox: Sandbox) -> None:
    program = "class Node: pass\ndef solve(node):\n    return math.floor(node.size)"
    verdict = sandbox.check_now(
        program,
        ["assert solve(root) == math.floor(2.5)"],
        imports="import math",
        setup="root = Node()\nroot.size = 2.5",
    )
    assert verdict.passed, verdict


def test_hashes_of_text_are_the_same_every_time(sandbox: Sandbox) -> None:
    alone = [sys.executable, "-c", "print(hash('a'))"]
    said = subprocess.run(alone, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True)
    verdict = sandbox.check_now("def solve(text):\n    return hash(text)", [f"assert solve('a') == {said.stdout}"])
    assert verdict.passed, verdict


def test_a_program_is_killed_at_its_cpu_limit_and_that_is_wrong() -> None:
    sandbox = Sandbox(launcher_or_skip("landlock"), replace(TIGHT, cpu_s=1, wall_s=600))
    assert sandbox.check_now(LOOP, TEST) == (False, "program: CPU limit (1 s)")


def test_values_made_to_be_slow_to_compare_are_wrong_not_unscored() -> None:
    sandbox = Sandbox(launcher_or_skip("landlock"), replace(TIGHT, cpu_s=1, wall_s=600))
    # All of these have the hash 0, so that building a set of them takes time with the square of their number.
    program = "def solve(n):\n    return [k * (2**61 - 1) for k in range(n)]"
    assert sandbox.check_now(program, ["assert set(solve(60000)) == {1}"]).passed is False


def test_a_program_killed_from_outside_is_unscored() -> None:
    sandbox = Sandbox(launcher_or_skip("landlock"), replace(TIGHT, cpu_s=30, wall_s=600))
    others = _children(os.getpid())  # a database of other tests has children too
    code = f"from tests.sandbox.test_sandbox import kill_a_sleeper; kill_a_sleeper({os.getpid()}, {others})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as killer:
        busy = f"import time\nwhile time.process_time() < {BUSY_S}: pass\ntime.sleep(500)"
        verdict = sandbox.check_now(busy, TEST)
        killer.wait()
    assert verdict.passed is None
    assert "from outside" in verdict.reason


def kill_a_sleeper(grader: int, others: Collection[int]) -> None:
    """Kill the program's process (the grandchild) of whoever grades, as the kernel does when memory runs out.

    Not before it has worked for so long that it can only be the program.
    """
    for _ in range(6000):
        time.sleep(0.05)
        children = set(_children(grader)) - set(others)
        for program in [grandchild for child in children for grandchild in _children(child)]:
            if _worked_s(program) > BUSY_S / 2:
                os.kill(program, signal.SIGKILL)
                return


def _worked_s(process: int) -> float:
    """Return the CPU seconds of a process itself."""
    with contextlib.suppress(OSError):
        said = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, said[11:13])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _children(process: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def test_a_sandbox_that_cannot_start_is_unscored_not_wrong() -> None:
    nowhere = Sandbox(Launcher("landlock", ("/nowhere/python",), {}, {}))
    verdict = nowhere.check_now(HONEST, TEST)
    assert verdict.passed is None
    assert "could not be started" in verdict.reason


def test_a_probe_that_fails_says_how_to_proceed() -> None:
    with pytest.raises(ConfigError, match=r"judge a probe.*\n.*choose one of"):
        Sandbox(Launcher("landlock", ("/nowhere/python",), {}, {})).probe()


def test_threads_are_limited_without_namespaces_too() -> None:
    real = launcher_or_skip("landlock")
    sandbox = Sandbox(replace(real, walls={**real.walls, "namespaces": "off"}), TIGHT)
    assert "namespaces" not in sandbox.walls
    few = "import threading\ndef solve(n):\n    t = threading.Thread()\n    t.start()\n    t.join()\n    return 4"
    assert sandbox.check_now(few, TEST).passed
    assert sandbox.check_now(FLOODS["start threads without end"], TEST).reason == "test 1 of 1 raised RuntimeError"
    assert sandbox.check_now(HONEST, TEST).passed


@pytest.mark.parametrize("abi", range(1, 7))
def test_every_landlock_version_confines_files(abi: int) -> None:
    launcher_or_skip("landlock")
    if landlock_abi(Kernel()) < abi:
        pytest.skip(f"this kernel's Landlock is older than version {abi}")
    code = f"from tests.sandbox.test_sandbox import confine_to_usr; confine_to_usr({abi})"
    seen = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert seen.stdout.split() == ["denied", "allowed"]


def confine_to_usr(abi: int) -> None:
    kernel = Kernel()
    ruleset = Ruleset(kernel, abi, signals=True)
    ruleset.allow(["/usr"], READ_FILE | READ_DIR)
    kernel.prctl("no new privileges", PR_SET_NO_NEW_PRIVS, 1)
    ruleset.confine()
    for place in ("/etc", "/usr"):
        try:
            list(Path(place).iterdir())
        except PermissionError:
            print("denied")
        else:
            print("allowed")


async def test_a_cancelled_check_ends_its_program_at_once() -> None:
    sandbox = Sandbox(launcher_or_skip("landlock"), ENDLESS)
    checks = [asyncio.create_task(sandbox.check(LOOP, TEST)) for _ in range(8)]
    await until(lambda: len(sandboxes_left()) >= 2)
    await asyncio.to_thread(ended, checks)


def ended(checks: Sequence[asyncio.Task[Verdict]]) -> None:
    """Cancel checks, on a thread beside their loop, and see that their programs end."""
    for check in checks:
        check.get_loop().call_soon_threadsafe(check.cancel)
    assert left_behind() == []
    assert not any(check.done() and not check.cancelled() for check in checks)


async def test_the_event_loop_goes_on_while_programs_run() -> None:
    sandbox = Sandbox(launcher_or_skip("landlock"), ENDLESS)
    checks = [asyncio.create_task(sandbox.check(LOOP, TEST)) for _ in range(2)]
    await until(lambda: len(sandboxes_left()) >= 2)
    for _ in range(200):  # a loop that waited for a program would get no turn before that ends
        await asyncio.sleep(0.001)
    await asyncio.to_thread(ended, checks)


async def test_many_programs_are_checked_together(sandbox: Sandbox) -> None:
    verdicts = await asyncio.gather(*(sandbox.check(HONEST, TEST) for _ in range(40)))
    assert all(verdict.passed for verdict in verdicts)


async def test_as_many_programs_as_allowed_run_at_the_same_time() -> None:
    sandbox = Sandbox(launcher_or_skip("landlock"), ENDLESS, at_once=4)
    checks = [asyncio.create_task(sandbox.check(LOOP, TEST)) for _ in range(6)]
    await until(lambda: len(sandboxes_left(orphans=False)) == 2 * 4)  # two processes each
    for _ in range(20):
        assert len(sandboxes_left(orphans=False)) == 2 * 4
        await asyncio.sleep(0.01)
    await asyncio.to_thread(ended, checks)


def test_when_the_grader_is_killed_its_programs_end() -> None:
    launcher_or_skip("landlock")
    code = f"from tests.sandbox.test_sandbox import grade_a_loop; grade_a_loop({LOOP!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as grader:
        deadline = time.monotonic() + 120
        while len(sandboxes_left()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(sandboxes_left()) == 2
        grader.kill()
    assert left_behind() == []


def grade_a_loop(program: str) -> None:
    Sandbox(launcher_or_skip("landlock"), ENDLESS).check_now(program, TEST)


def test_opening_sees_the_sandbox_work_and_names_its_walls() -> None:
    launcher_or_skip("landlock")
    sandbox = open_sandbox()
    assert "seccomp" in sandbox.walls
    assert any(wall.startswith("Landlock (ABI") for wall in sandbox.walls)
    assert "Landlock" not in sandbox.protocol

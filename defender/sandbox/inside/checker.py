"""The process the tests run in. The program never executes here: only the values it returns arrive.

So there is no assert to patch, no interpreter to rewrite and no secret to find: a test holds when Python's own
comparison of builtins says that the values are the expected ones.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from defender.sandbox.inside.channel import Channel, Malformed
from defender.sandbox.inside.values import ProgramRaised, decode

NAME_LENGTH = 60
GRACE_S = 5
"""How long a process that stopped talking may take to end."""


class Judgement(NamedTuple):
    """``passed`` is None when the program cannot be blamed for what happened."""

    passed: bool | None
    reason: str


class TimeUp(BaseException):
    """The wall clock's limit; not an Exception, so that no code under test can swallow it."""


class Checker:
    """Puts the tests of one job to the program at the other end of a channel.

    Args:
        channel: to the program.
        runner: the program's process id, a child of this one.
        limits: ``wall_s`` for everything. This process's own ``cpu_s`` ends it by SIGXCPU, whose exit status tells.
    """

    def __init__(self, channel: Channel, runner: int, limits: dict[str, int]) -> None:
        self._channel = channel
        self._runner = runner
        self._limits = limits
        self._gone = False

    def judge(self, job: dict[str, Any]) -> Judgement:
        """Run program and setup, then every test; the first failure decides."""
        signal.signal(signal.SIGALRM, _time_up)
        signal.setitimer(signal.ITIMER_REAL, self._limits["wall_s"])
        try:
            judgement = self._judged(job)
        except TimeUp:
            judgement = Judgement(False, f"time limit ({self._limits['wall_s']} s)")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return judgement

    def _judged(self, job: dict[str, Any]) -> Judgement:
        stage = ""
        try:
            for stage in ("imports", "program", "setup"):
                if job[stage]:
                    self._ask({"run": job[stage]})
            space = self._space(job["imports"], job["modules"])
            for number, test in enumerate(job["tests"], 1):
                stage = f"test {number} of {len(job['tests'])}"
                if not self._holds(test, space):
                    return Judgement(False, f"{stage} failed")
        except ProgramRaised as raised:
            return Judgement(False, f"{stage} raised {raised}")
        except Malformed:
            return Judgement(False, f"{stage}: the program's process sent no proper value")
        except MemoryError:
            return Judgement(False, f"{stage}: the value is larger than the memory limit")
        except (EOFError, BrokenPipeError):
            return self._obituary(stage)
        return Judgement(True, "passed")

    @staticmethod
    def _space(imports: str, modules: Iterable[str]) -> dict[str, Any]:
        space: dict[str, Any] = {name: import_module(name) for name in modules}
        exec(compile(imports, "<imports>", "exec", dont_inherit=True), space)
        return space

    def _holds(self, test: dict[str, Any], space: dict[str, Any]) -> bool:
        values = [self._ask({"call": call}) for call in test["calls"]]
        code = compile(test["check"], "<check>", "eval", dont_inherit=True)
        try:
            return bool(eval(code, {**space, "_values": values}))
        except (ProgramRaised, Malformed, EOFError, BrokenPipeError, MemoryError):
            raise
        # The comparison itself fails on a value of the wrong kind (`math.isclose(None, 1)`): so would the assert.
        except Exception as problem:
            raise ProgramRaised(type(problem).__name__) from None

    def _ask(self, message: dict[str, Any]) -> Any:
        self._channel.send(message)
        reply = self._channel.receive()
        if "raised" in reply:
            raise ProgramRaised(_as_name(reply["raised"]))
        return decode(reply.get("value"), self._apply)

    def _apply(self, function: str, key: int) -> Any:
        return self._ask({"apply": function, "key": key})

    def _obituary(self, stage: str) -> Judgement:
        """Say why the program's process is gone; one that only closed its channel is not waited for long."""
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        _, status, used = os.wait4(self._runner, 0)
        self._gone = True
        if not os.WIFSIGNALED(status):
            return Judgement(False, f"{stage}: the program ended its process (exit {os.WEXITSTATUS(status)})")
        number = os.WTERMSIG(status)
        if number in (signal.SIGKILL, signal.SIGXCPU):
            if used.ru_utime + used.ru_stime >= self._limits["cpu_s"] - 1:
                return Judgement(False, f"{stage}: CPU limit ({self._limits['cpu_s']} s)")
            # The program may send itself neither, so this came from outside.
            return Judgement(None, f"the program's process was killed from outside (signal {number})")
        return Judgement(False, f"{stage}: the program's process died of signal {number}")

    def end_program(self) -> None:
        """Kill the program's process, threads and all, and wait until it is gone."""
        if not self._gone:
            os.kill(self._runner, signal.SIGKILL)
            os.waitpid(self._runner, 0)


def _time_up(*_: object) -> NoReturn:
    raise TimeUp


def _as_name(text: object) -> str:
    """Return a class name the program's process gave, which may be anything, as a short identifier."""
    name = "".join(c for c in str(text)[:NAME_LENGTH] if c.isalnum() or c == "_")
    return name or "an exception without a name"

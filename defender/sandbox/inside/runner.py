"""The process the model's program runs in. It answers calls; it never sees what they should return."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from defender.sandbox.inside.channel import Channel
from defender.sandbox.inside.values import encode

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"bool": bool, "len": len, "str": str, "iter": iter, "next": next}
_DEPTH = 10
"""Stack frames between here and the program's module level, given back so that recursion reaches as deep as usual."""


class Runner:
    """Executes one program as ``__main__``, then whatever calls the tests make of it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._main = ModuleType("__main__")
        self._kept: list[object] = []

    def run(self) -> None:
        """Serve until the other side is gone."""
        self._furnish()
        while True:
            try:
                message = self._channel.receive()
            except EOFError:
                return
            self._answer(message)

    def _furnish(self) -> None:
        """Make the interpreter look as it does to a script: its own ``__main__``, ``exit`` and ``quit``."""
        from _sitebuiltins import Quitter

        self._main.__dict__["__builtins__"] = builtins
        sys.modules["__main__"] = self._main
        sys.argv = [""]
        builtins.exit = Quitter("exit", "Ctrl-D")
        builtins.quit = Quitter("quit", "Ctrl-D")
        for name in [name for name in sys.modules if name.partition(".")[0] == "defender"]:
            del sys.modules[name]
        sys.setrecursionlimit(sys.getrecursionlimit() + _DEPTH)

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            reply = {"value": encode(self._do(message), self._keep)}
        # Whatever a program raises, SystemExit included, is its own failure: the tests hear the name.
        except BaseException as problem:
            reply = {"raised": type(problem).__name__}
        try:
            self._channel.send(reply)
        except (ValueError, MemoryError):
            self._channel.send({"raised": "ResultTooLarge"})

    def _do(self, message: dict[str, Any]) -> Any:
        space = self._main.__dict__
        if "run" in message:
            exec(compile(message["run"], "<program>", "exec", dont_inherit=True), space)
            return None
        if "call" in message:
            return eval(compile(message["call"], "<test>", "eval", dont_inherit=True), space)
        return _FUNCTIONS[message["apply"]](self._kept[message["key"]])

    def _keep(self, value: object) -> int:
        for key, kept in enumerate(self._kept):
            if kept is value:
                return key
        self._kept.append(value)
        return len(self._kept) - 1


def serve(channel: Channel) -> None:
    """Run a program's process to its end; nothing of it outlives this call, non-daemon threads included."""
    Runner(channel).run()
    os._exit(0)

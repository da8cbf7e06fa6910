"""How the child that becomes the sandbox is started: directly, in bubblewrap, or by a command the user names."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from defender.errors import ConfigError
from defender.sandbox.bundle import BOOT, bundle
from defender.sandbox.inside.kernel import Kernel, WallMissing, landlock_abi

FLAGS = ("-s", "-S", "-B", "-c", BOOT)
"""No site packages, no byte code written; the environment is set here and not the user's."""

EXAMPLE = (
    "docker run --rm -i --network=none --read-only --cap-drop=ALL --user=65534 --memory=3g --pids-limit=128 "
    "-e PYTHONHASHSEED=0 python:3.11-slim python"
)
HOW_TO_PROCEED = f"""\
to run programs that models write, choose one of:
  - Linux 5.13 or later (x86_64 or aarch64) with Landlock in its kernel: nothing to install
  - the sandbox 'bubblewrap' on Linux: install the package 'bubblewrap'
  - the sandbox 'external' with a command that runs Python 3.9 or later in a container, such as
    {EXAMPLE}
  - leave 'mbpp' out of the benchmarks"""

_SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/localtime")
_MERGED = ("/lib", "/lib64", "/bin", "/sbin")


@dataclass(frozen=True)
class Launcher:
    """What to start, and which walls the child must raise itself.

    Attributes:
        name: "landlock", "bubblewrap" or "external".
        command: up to and including the Python executable.
        walls: for `defender.sandbox.inside.walls.Walls`, without the limits.
        environment: the child's whole environment.
        compiled: the child runs this very interpreter, so it takes byte code.
    """

    name: str
    command: tuple[str, ...]
    walls: Mapping[str, Any]
    environment: Mapping[str, str]
    compiled: bool = True

    @property
    def arguments(self) -> list[str]:
        """The command line."""
        return [*self.command, *FLAGS]

    @cached_property
    def modules(self) -> bytes:
        """What the child runs."""
        return bundle(compiled=self.compiled)


def landlock() -> Launcher:
    """Start the child directly; it confines itself with Landlock and seccomp.

    Raises:
        ConfigError: not Linux, an unknown processor, or a kernel without Landlock; says how to proceed.
    """
    try:
        if sys.platform != "linux":
            raise WallMissing(f"this is {sys.platform}")
        landlock_abi(Kernel())
    except WallMissing as missing:
        expected = "expected Linux with Landlock to confine the programs a model writes"
        raise ConfigError(f"{expected}, got: {missing}\n{HOW_TO_PROCEED}") from None
    walls = {"landlock": "must", "seccomp": "must", "namespaces": "try", "orphan": True}
    return Launcher("landlock", (_python(),), walls, _environment())


def bubblewrap() -> Launcher:
    """Start the child in namespaces and a file tree of its own, made by bubblewrap; it adds seccomp and limits.

    Raises:
        ConfigError: there is no ``bwrap`` on the PATH.
    """
    found = shutil.which("bwrap")
    if found is None:
        raise ConfigError(f"expected the program 'bwrap' on the PATH, found none\n{HOW_TO_PROCEED}")
    python = _python()
    tree = ["--proc", "/proc", "--dev", "/dev", "--chdir", "/"]
    for place in (*_SYSTEM, *_prefixes(python)):
        tree += ["--ro-bind-try", place, place]
    for merged in map(Path, _MERGED):
        source = ("--symlink", str(merged.readlink())) if merged.is_symlink() else ("--ro-bind-try", str(merged))
        tree += [*source, str(merged)]
    apart = ["--unshare-all", "--uid", "65534", "--gid", "65534", "--die-with-parent", "--cap-drop", "ALL"]
    walls = {"landlock": "try", "seccomp": "must", "namespaces": "off", "orphan": True}
    return Launcher("bubblewrap", (found, *apart, *tree, python), walls, _environment())


def external(command: Sequence[str]) -> Launcher:
    """Start the child by a command that runs Python somewhere safe; the child adds what walls it can.

    Args:
        command: up to and including the Python executable (3.9 or later); it must hand standard input through.

    Raises:
        ConfigError: the command is empty or its program is not on the PATH.
    """
    if not command:
        raise ConfigError(f"the sandbox 'external' needs the command that starts Python, for example\n  {EXAMPLE}")
    if shutil.which(command[0]) is None:
        raise ConfigError(f"the sandbox command starts with '{command[0]}', which is not on the PATH\n{HOW_TO_PROCEED}")
    walls = {"landlock": "try", "seccomp": "try", "namespaces": "off", "orphan": False}
    # A container's client needs the user's own environment; what runs inside gets the container's.
    return Launcher("external", tuple(command), walls, dict(os.environ), compiled=False)


def _python() -> str:
    """Return the interpreter behind a virtual environment: programs get the standard library and nothing else."""
    return str(Path(sys.executable).resolve())


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", **kept}


def _prefixes(python: str) -> list[str]:
    """Return the folders a Python outside /usr needs to start."""
    places = {sys.base_prefix, sys.base_exec_prefix, str(Path(python).parent)}
    return sorted(place for place in places if not place.startswith("/usr/") and place != "/usr")

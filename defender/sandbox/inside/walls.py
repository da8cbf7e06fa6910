"""The walls around the two processes, raised in the one order that works.

Nothing here trusts the program: limits first, then another user (when started by root), namespaces where they are
allowed, no new privileges, and last Landlock and seccomp, each process its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from defender.sandbox.inside import kernel as linux
from defender.sandbox.inside.filter import assemble, rules
from defender.sandbox.inside.kernel import Kernel, Ruleset, WallMissing, landlock_abi

SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache")
SYSTEM_TABLES = ("/usr/share/zoneinfo", "/etc/localtime", "/dev/zero", "/dev/random", "/dev/urandom")
SINK = "/dev/null"

OWN_USERS = 1_880_000_000
"""Plus its process id, the user id a sandbox started by root takes: a range that distributions leave unused."""
NOBODY = 65534
SLACK = 256
"""Threads of the caller that may come up while others of its programs run, where they can only be counted together."""


class Walls:
    """Raises the walls a configuration asks for, and says which stand.

    Args:
        config: "landlock" and "seccomp": "must", "try" or "off"; "namespaces": "try" or "off"; "orphan": end when
            the starting process ends; "limits": the numbers of `Limits`.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._limits: dict[str, int] = config["limits"]
        self._kernel: Kernel | None = None
        self._rulesets: list[Ruleset] = []
        self.standing: list[str] = []
        self.pinned: list[int] = []
        """Descriptors of the standard library's folders, where only those lead there."""

    def prepare(self) -> None:
        """Raise what both processes share. Raises WallMissing when a wall that must stand does not."""
        self._attempt("seccomp", self._meet_kernel)
        folders = [path for path in sys.path if os.path.isdir(path)]  # noqa: PTH112 - pathlib costs 5 ms
        sys.path[:] = folders
        self._attempt("landlock", lambda: self._open_rulesets(folders))
        self.pinned = [os.open(folder, os.O_PATH) for folder in folders]
        alone = self._change_user()
        self._reach(folders)
        self._limit()
        alone = self._unshare() or alone
        self._limit_threads(alone=alone)
        if self._kernel is not None:
            self._kernel.prctl("no new privileges", linux.PR_SET_NO_NEW_PRIVS, 1)
            self._kernel.drop_capabilities()
            self._kernel.prctl("no dumps", linux.PR_SET_DUMPABLE, 0)

    def enclose(self, *, may_kill: int | None = None) -> None:
        """Raise the walls of this process alone, for good. ``may_kill`` is the one process it may signal besides."""
        number = 0 if may_kill is None else 1
        hard = self._limits["cpu_s"]
        # The program is killed at its limit; the tests' process, comparing without end, dies of a signal that tells.
        _lower(resource.RLIMIT_CPU, hard, hard + 5 * number)
        if self._config["orphan"] or may_kill is None:
            self._die_with_parent()
        if self._rulesets:
            self._rulesets[number].confine()
        self._attempt("seccomp", lambda: self._filter(may_kill))

    def _attempt(self, wall: str, build: Callable[[], None]) -> None:
        if self._config[wall] == "off":
            return
        try:
            build()
        except WallMissing:
            if self._config[wall] == "must":
                raise

    def _meet_kernel(self) -> None:
        self._kernel = Kernel()
        self.standing.append("seccomp")

    def _filter(self, may_kill: int | None) -> None:
        if self._kernel is not None:
            self._kernel.install(assemble(self._kernel.machine, rules(os.getpid(), may_kill)))

    def _open_rulesets(self, folders: list[str]) -> None:
        kernel = self._kernel or Kernel()
        abi = landlock_abi(kernel)
        own_libraries = [os.path.join(sys.base_prefix, "lib")]  # noqa: PTH118 - pathlib costs 5 ms
        for signals in (True, False):
            ruleset = Ruleset(kernel, abi, signals=signals)
            ruleset.allow([*folders, *own_libraries, *SYSTEM_LIBRARIES], linux.READ_FILE | linux.READ_DIR)
            ruleset.allow(SYSTEM_TABLES, linux.READ_FILE | linux.READ_DIR)
            ruleset.allow([SINK], linux.READ_FILE | linux.WRITE_FILE)
            self._rulesets.append(ruleset)
        self.standing.insert(0, f"Landlock (ABI {abi})")

    def _change_user(self) -> bool:
        """Leave root for a user nobody else is. Returns whether this user has no other processes."""
        if os.geteuid() != 0:
            return False
        with contextlib.suppress(OSError):
            os.setgroups([])
        for user in (OWN_USERS + os.getpid(), NOBODY):
            try:
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            except OSError as problem:
                # A user namespace may know no other user; the walls below do not depend on it.
                if problem.errno != errno.EINVAL:
                    raise WallMissing(f"cannot leave root: {os.strerror(problem.errno or 0)}") from None
            else:
                self.standing.append(f"user {'of its own' if user != NOBODY else 'nobody'}")
                return user != NOBODY
        return False

    def _reach(self, folders: list[str]) -> None:
        """Find the standard library by descriptor where the new user cannot walk to it (a Python below /root)."""
        if all(os.access(folder, os.R_OK | os.X_OK) for folder in folders):
            for opened in self.pinned:
                os.close(opened)
            self.pinned = []
            return
        doors = {folder: f"/proc/self/fd/{opened}" for folder, opened in zip(folders, self.pinned)}  # noqa: B905
        sys.path[:] = list(doors.values())
        sys.path_importer_cache.clear()
        for module in list(sys.modules.values()):
            for index, place in enumerate(getattr(module, "__path__", ())):
                home = max((folder for folder in folders if place.startswith(folder)), key=len, default=None)
                if home is not None:
                    module.__path__[index] = doors[home] + place[len(home) :]

    def _limit(self) -> None:
        limits = self._limits
        _lower(resource.RLIMIT_AS, limits["memory_mb"] << 20)
        _lower(resource.RLIMIT_NOFILE, limits["files"])
        for none in ("CORE", "FSIZE", "MEMLOCK", "MSGQUEUE"):
            if hasattr(resource, f"RLIMIT_{none}"):
                _lower(getattr(resource, f"RLIMIT_{none}"), 0)

    def _unshare(self) -> bool:
        """Enter a user namespace of its own, in which threads are counted apart, and an IPC namespace."""
        if self._config["namespaces"] == "off" or self._kernel is None:
            return False
        try:
            self._kernel.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWIPC)
        except WallMissing:
            return False
        self.standing.append("namespaces")
        return True

    def _limit_threads(self, *, alone: bool) -> None:
        others = 0 if alone else _threads_of(os.getuid()) + SLACK
        _lower(resource.RLIMIT_NPROC, others + self._limits["threads"] + 2)

    def _die_with_parent(self) -> None:
        if self._kernel is None:
            return
        before = os.getppid()
        self._kernel.prctl("end with the parent", linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != before:
            os._exit(1)


def _lower(limit: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, never above the one in force."""
    _, most = resource.getrlimit(limit)
    hard = soft if hard is None else hard
    hard = hard if most == resource.RLIM_INFINITY else min(hard, most)
    resource.setrlimit(limit, (min(soft, hard), hard))


def _threads_of(user: int) -> int:
    """Count the threads of a user's processes; 0 where nobody says."""
    total = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                if entry.name.isdigit() and entry.stat().st_uid == user:
                    with open(f"/proc/{entry.name}/stat", "rb") as stat:  # noqa: PTH123
                        total += int(stat.read().rpartition(b")")[2].split()[17])
    return total

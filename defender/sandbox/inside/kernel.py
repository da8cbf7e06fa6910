"""The Linux calls that Python has no function for, by ctypes. Numbers are those of x86_64 and aarch64."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import NamedTuple


class Machine(NamedTuple):
    """What differs between processors: the audit number seccomp sees, its column in the call table, three numbers."""

    audit: int
    column: int
    seccomp: int
    unshare: int
    capset: int


MACHINES = {
    "x86_64": Machine(0xC000003E, 0, 317, 272, 126),
    "aarch64": Machine(0xC00000B7, 1, 277, 97, 91),
}

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CLONE_NEWUSER, CLONE_NEWIPC, CLONE_NEWNET = 0x10000000, 0x08000000, 0x40000000

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_FILE_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 5: 16}
"""Landlock ABI -> how many file rights it knows; a later ABI may know more, which stay unhandled."""
READ_FILE, READ_DIR, WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
_TCP_RIGHTS = 0b11
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 0b01, 0b10


class WallMissing(Exception):
    """The kernel does not give what was asked of it; the message says which wall and why."""


class Kernel:
    """System calls of this process on this machine.

    Raises:
        WallMissing: a processor whose call numbers are not known here.
    """

    def __init__(self) -> None:
        name = os.uname().machine if hasattr(os, "uname") else "of an unknown kind"
        name = {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)
        if name not in MACHINES:
            raise WallMissing(f"processor {name}: expected one of {', '.join(MACHINES)}")
        self.machine = MACHINES[name]
        self._libc = ctypes.CDLL(None, use_errno=True)

    def call(self, what: str, number: int, *arguments: object) -> int:
        """Make one system call; ``what`` is for the message. Raises WallMissing with the kernel's reason."""
        result = int(self._libc.syscall(ctypes.c_long(number), *arguments))
        if result < 0:
            raise WallMissing(f"{what}: {os.strerror(ctypes.get_errno())}")
        return result

    def prctl(self, what: str, option: int, value: int) -> None:
        """Set one attribute of this process. Raises WallMissing."""
        zeros = (ctypes.c_ulong(0),) * 3
        if self._libc.prctl(option, ctypes.c_ulong(value), *zeros) != 0:
            raise WallMissing(f"{what}: {os.strerror(ctypes.get_errno())}")

    def unshare(self, flags: int) -> None:
        """Move this process into new namespaces. Raises WallMissing where that is not allowed."""
        self.call("namespaces", self.machine.unshare, ctypes.c_int(flags))

    def drop_capabilities(self) -> None:
        """Give up every capability, in this user namespace too. Raises WallMissing."""
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        self.call("capabilities", self.machine.capset, ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))

    def install(self, instructions: bytes) -> None:
        """Install a seccomp filter, for good. Raises WallMissing."""

        class Program(ctypes.Structure):
            _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

        program = Program(len(instructions) // 8, instructions)
        self.call("seccomp", self.machine.seccomp, ctypes.c_uint(1), ctypes.c_uint(0), ctypes.byref(program))


def landlock_abi(kernel: Kernel) -> int:
    """Return the Landlock ABI version of the running kernel. Raises WallMissing where there is none."""
    none = ctypes.c_void_p(None)
    return kernel.call("landlock", _CREATE_RULESET, none, ctypes.c_size_t(0), ctypes.c_uint32(1))


class Ruleset:
    """What a process may still reach after `confine`; everything not allowed is denied.

    Args:
        kernel: the running kernel.
        abi: its Landlock version: 4 adds TCP, 6 adds abstract sockets and signals.
        signals: also forbid signals to processes outside.
    """

    def __init__(self, kernel: Kernel, abi: int, *, signals: bool) -> None:
        self._kernel = kernel
        rights = max(count for since, count in _FILE_RIGHTS_BY_ABI.items() if since <= abi)
        self._handled = (1 << rights) - 1
        attributes = [self._handled]
        if abi >= 4:
            attributes.append(_TCP_RIGHTS)
        if abi >= 6:
            attributes.append(_SCOPE_ABSTRACT_SOCKETS | (_SCOPE_SIGNALS if signals else 0))
        packed = (ctypes.c_uint64 * len(attributes))(*attributes)
        size = ctypes.c_size_t(ctypes.sizeof(packed))
        self._number = kernel.call("landlock", _CREATE_RULESET, ctypes.byref(packed), size, ctypes.c_uint32(0))

    def allow(self, paths: Iterable[str], rights: int) -> None:
        """Allow rights on files, or on folders and all below; paths that do not exist are skipped."""
        for path in paths:
            try:
                opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            granted = rights if os.path.isdir(path) else rights & ~READ_DIR  # noqa: PTH112 - pathlib costs 5 ms
            rule = granted.to_bytes(8, "little") + opened.to_bytes(4, "little")
            number, kind, none = (ctypes.c_int(self._number), ctypes.c_int(1), ctypes.c_uint32(0))
            self._kernel.call("landlock", _ADD_RULE, number, kind, ctypes.c_char_p(rule), none)
            os.close(opened)

    def confine(self) -> None:
        """Confine this process, for good. Needs no_new_privs. Raises WallMissing."""
        self._kernel.call("landlock", _RESTRICT_SELF, ctypes.c_int(self._number), ctypes.c_uint32(0))
        os.close(self._number)

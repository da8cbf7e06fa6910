"""The seccomp filter: an allow-list of system calls, assembled for the processor it runs on."""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from defender.sandbox.inside.calls import CLONE3, FREE, NARROWED, NEWEST
from defender.sandbox.inside.kernel import Machine

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER, _AUDIT, _ARGUMENTS = 0, 4, 16
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_DENY, _ABSENT = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_X32 = 0x40000000
"""x86_64 also takes calls of its 32-bit-pointer sibling; they have this bit and other meanings."""

_SIGKILL, _SIGSTOP = 9, 19
_CLONE_THREAD, _CLONE_NAMESPACES = 0x00010000, 0x7E020000
_TERMINAL_QUERIES = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
_DESCRIPTOR_FLAGS = (0, 1, 2, 3, 4, 1030)
_NAMES = (15, 16, 0x53564D41)


class Only(NamedTuple):
    """One condition on an argument: its 32-bit half ``word`` (0 low, 1 high), masked, is among ``values`` (or not)."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    word: int = 0
    negated: bool = False


def rules(own: int, may_kill: int | None) -> dict[str, tuple[Only, ...]]:
    """Return the conditions of the narrowed calls.

    Args:
        own: the confined process, which may signal itself, but not so that it looks killed from outside.
        may_kill: a child it may kill, or None.
    """
    deadly = Only(1, (_SIGKILL, _SIGSTOP), negated=True)
    return {
        "clone": (Only(0, (_CLONE_THREAD,), mask=_CLONE_THREAD | _CLONE_NAMESPACES),),
        "kill": (Only(0, (own,)), deadly) if may_kill is None else (Only(0, (own, may_kill)),),
        "tgkill": (Only(0, (own,)), Only(2, deadly.values, negated=True)),
        "ioctl": (Only(1, _TERMINAL_QUERIES),),
        "fcntl": (Only(1, _DESCRIPTOR_FLAGS),),
        "prctl": (Only(0, _NAMES),),
        "prlimit64": (Only(0, (0, own)),),
        "socketpair": (Only(0, (1,)), Only(1, (1,), mask=0xF)),
        "sendto": (Only(4, (0,)), Only(4, (0,), word=1)),
    }


def assemble(machine: Machine, conditions: dict[str, tuple[Only, ...]]) -> bytes:
    """Return the filter as the kernel reads it: eight bytes an instruction."""
    program = [_op(_LOAD, _AUDIT), _op(_EQUAL, machine.audit, 1, 0), _op(_RETURN, _KILL), _op(_LOAD, _NUMBER)]
    if machine.column == 0:
        program += [_op(_AT_LEAST, _X32, 0, 1), _op(_RETURN, _DENY)]
    program += [_op(_AT_LEAST, NEWEST + 1, 0, 1), _op(_RETURN, _ABSENT)]
    for name, numbers in NARROWED.items():
        program += _block(numbers[machine.column], [part for only in conditions[name] for part in _condition(only)])
    for numbers in FREE.values():
        program += _block(numbers[machine.column], [])
    program += _block(CLONE3[machine.column], [], _ABSENT)
    return b"".join([*program, _op(_RETURN, _DENY)])


def _op(code: int, k: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, true, false, k)


def _block(number: int | None, body: list[bytes], verdict: int = _ALLOW) -> list[bytes]:
    """Return: if the call is ``number``, meet the conditions in ``body`` (each denies on its own), then the verdict."""
    if number is None:
        return []
    return [_op(_EQUAL, number, 0, len(body) + 1), *body, _op(_RETURN, verdict)]


def _condition(only: Only) -> list[bytes]:
    """Return: load the argument, deny unless it is as it must be, fall through otherwise."""
    count = len(only.values)
    load = [_op(_LOAD, _ARGUMENTS + 8 * only.argument + 4 * only.word), _op(_AND, only.mask)]
    if only.negated:
        # A match jumps to the denial, the last mismatch past it.
        tests = [_op(_EQUAL, v, count - 1 - i, int(i == count - 1)) for i, v in enumerate(only.values)]
    else:
        # A match jumps past the denial.
        tests = [_op(_EQUAL, v, count - i, 0) for i, v in enumerate(only.values)]
    return [*load, *tests, _op(_RETURN, _DENY)]

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from defender.sandbox.inside.calls import FREE, NARROWED, NEWEST
from defender.sandbox.inside.filter import Only, assemble, rules
from defender.sandbox.inside.kernel import MACHINES

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
OWN, CHILD = 4321, 4322


def decided(machine: str, number: int, *arguments: int, child: int | None = None, audit: int | None = None) -> int:
    """Run the filter as the kernel would, on one system call."""
    properties = MACHINES[machine]
    program = assemble(properties, rules(OWN, child))
    padded = [value & (1 << 64) - 1 for value in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number, properties.audit if audit is None else audit, 0, *padded)
    steps = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    at, held = 0, 0
    while True:
        code, true, false, k = steps[at]
        at += 1
        if code == 0x20:
            held = struct.unpack_from("<I", data, k)[0]
        elif code == 0x54:
            held &= k
        elif code == 0x06:
            return int(k)
        else:
            assert code in (0x15, 0x35)
            at += true if (held == k if code == 0x15 else held >= k) else false


@pytest.mark.parametrize("machine", MACHINES)
def test_the_call_numbers_are_those_of_the_kernel_s_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.is_file():
        pytest.skip(f"no {header} here")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    # The generic table calls these by their 64-bit and 32-bit twins' common name.
    known.setdefault("newfstatat", known.get("fstatat", ""))
    column = MACHINES[machine].column
    for name, numbers in {**FREE, **NARROWED}.items():
        number = numbers[column]
        if number is None:
            assert name not in known or not known[name].isdigit() or machine == "aarch64", name
        else:
            assert known[name] == str(number), name
            assert number <= NEWEST


@pytest.mark.parametrize("machine", MACHINES)
def test_exactly_the_listed_calls_are_allowed_freely(machine: str) -> None:
    column = MACHINES[machine].column
    free = {numbers[column] for numbers in FREE.values()} - {None}
    narrowed = {numbers[column] for numbers in NARROWED.values()} - {None}
    for number in range(NEWEST + 1):
        if number in narrowed:
            continue
        expected = ALLOW if number in free else ENOSYS if number == 435 else EPERM
        assert decided(machine, number) == expected, number


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_younger_than_the_table_look_absent(machine: str) -> None:
    assert decided(machine, NEWEST + 1) == ENOSYS


def test_another_processor_s_calls_kill() -> None:
    assert decided("x86_64", 0, audit=0x40000003) == KILL


def test_the_32_bit_sibling_s_calls_are_denied() -> None:
    assert decided("x86_64", 0x40000000) == EPERM


THREAD = 0x3D0F00
CASES = [
    ("clone", (THREAD,), ALLOW),
    ("clone", (17,), EPERM),
    ("clone", (THREAD | 0x10000000,), EPERM),
    ("clone", (0x4000 | 0x100 | 17,), EPERM),
    ("kill", (OWN, 11), ALLOW),
    ("kill", (OWN, 9), EPERM),
    ("kill", (OWN, 19), EPERM),
    ("kill", (OWN + 1, 11), EPERM),
    ("kill", (0, 15), EPERM),
    ("kill", (-1, 15), EPERM),
    ("tgkill", (OWN, 7, 6), ALLOW),
    ("tgkill", (OWN + 1, 7, 6), EPERM),
    ("tgkill", (OWN, 7, 9), EPERM),
    ("ioctl", (0, 0x5401), ALLOW),
    ("ioctl", (0, 0x5412), EPERM),
    ("fcntl", (0, 4), ALLOW),
    ("fcntl", (0, 8), EPERM),
    ("prctl", (15,), ALLOW),
    ("prctl", (1,), EPERM),
    ("prlimit64", (0,), ALLOW),
    ("prlimit64", (1,), EPERM),
    ("socketpair", (1, 1 | 0x80000), ALLOW),
    ("socketpair", (1, 2), EPERM),
    ("socketpair", (2, 1), EPERM),
    ("sendto", (3, 0xFFFF, 1, 0, 0), ALLOW),
    ("sendto", (3, 0xFFFF, 1, 0, 0x7F0000000000), EPERM),
    ("sendto", (3, 0xFFFF, 1, 0, 0x1000), EPERM),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_narrowed_calls_look_at_their_arguments(
    machine: str, name: str, arguments: tuple[int, ...], expected: int
) -> None:
    number = NARROWED[name][MACHINES[machine].column]
    assert number is not None
    assert decided(machine, number, *arguments) == expected


def test_the_tests_process_may_kill_the_program_s_and_no_other() -> None:
    assert decided("x86_64", 62, CHILD, 9, child=CHILD) == ALLOW
    assert decided("x86_64", 62, CHILD + 1, 9, child=CHILD) == EPERM


def test_every_narrowed_call_has_a_rule() -> None:
    made = rules(OWN, None)
    assert set(made) == set(NARROWED)
    assert all(isinstance(only, Only) for conditions in made.values() for only in conditions)

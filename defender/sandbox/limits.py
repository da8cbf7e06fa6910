"""What one program may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one program with all its tests.

    Attributes:
        cpu_s: seconds of processor time. The one that decides: it does not depend on how busy the machine is. The
            slowest MBPP reference takes 4 s on a slow core.
        wall_s: seconds on the clock, for programs that wait.
        memory_mb: address space of each of the two processes.
        threads: threads the program may have at once.
        files: open files.
        reply_mb: the size of one returned value on its way to the test.
    """

    cpu_s: int = 15
    wall_s: int = 45
    memory_mb: int = 1024
    threads: int = 64
    files: int = 64
    reply_mb: int = 32

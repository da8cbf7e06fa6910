"""What the sandbox costs: wall time of one small program in it, and in a plain interpreter that runs the same asserts.

Prints medians, and the difference that the acceptance line (30 ms) is about. Needs no data and no network.
Run: make bench, or .venv/bin/python benchmarks/sandbox.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from defender.sandbox.sandbox import open_sandbox

RUNS = 31
PROGRAM = "import re\n\ndef count(text, word):\n    return len(re.findall(word, text))\n"
TESTS = ["assert count('a b a', 'a') == 2", "assert count('', 'a') == 0", "assert count('aaa', 'aa') == 1"]


def milliseconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3


def plain() -> None:
    python, script = str(Path(sys.executable).resolve()), "\n".join([PROGRAM, *TESTS])
    subprocess.run([python, "-I", "-S", "-c", script], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def main() -> None:
    sandbox = open_sandbox()

    def contained() -> None:
        assert sandbox.check_now(PROGRAM, TESTS).passed

    plain()
    # Turn by turn, so that whatever else the machine does slows both alike.
    pairs = [(milliseconds(plain), milliseconds(contained)) for _ in range(RUNS)]
    without, within = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(within - without for without, within in pairs)
    print(f"{sandbox.protocol}; behind {', '.join(sandbox.walls)}")
    print(
        f"plain interpreter {without:.1f} ms   sandbox {within:.1f} ms   added {added:.1f} ms   ({RUNS} runs, medians)"
    )


if __name__ == "__main__":
    main()

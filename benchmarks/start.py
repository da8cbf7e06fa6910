"""How long it takes to start: `import defender`, and the command line up to its help text.

Prints median and fastest wall time of fresh interpreters, and the same for an interpreter that does nothing.
Run: make bench, or .venv/bin/python benchmarks/start.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 7
HELP = "import sys; sys.argv = ['defender', '--help']; from defender.cli.app import main; main()"
STARTS = {"python alone": "pass", "import defender": "import defender", "defender --help": HELP}


def seconds(program: str) -> list[float]:
    took = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - begin)
    return took


def main() -> None:
    for name, program in STARTS.items():
        took = seconds(program)
        print(f"{name:16} median {statistics.median(took):.3f} s   fastest {min(took):.3f} s   ({RUNS} runs)")


if __name__ == "__main__":
    main()

"""Makes ``runs/example`` again: a small search with the embedded model, without its answers, and its page.

Run from the project's folder with ``make example``. Answers are left out to keep the folder small: the grades are
there, so the report can be derived again, but a resumed search would ask everything anew.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = Path("runs/example")
SEARCH = ("search", "--run", "example", "--items", "16", "--confirm-items", "24", "--candidates", "28")
MACHINE = f"{platform.system()}-{platform.machine()}"
LEFT_OUT = ("run.db.lock", "run.db-wal", "run.db-shm")


def defender(*words: str) -> None:
    """Run the command line in the project's folder. Raises CalledProcessError when it fails."""
    # Where this machine keeps benchmark files is nobody's business.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DEFENDER_")}
    subprocess.run([sys.executable, "-m", "defender.cli", *words], cwd=ROOT, check=True, env=plain)


def lighten(run: Path) -> None:
    """Leave the answers, and the keys of the requests that got them, out of a run's database."""
    database = sqlite3.connect(run / "run.db", isolation_level=None)
    database.execute("DELETE FROM responses")
    database.execute("UPDATE grades SET request = ''")
    # The name of the kernel is nobody's business.
    database.execute(
        "UPDATE notes SET body = replace(body, ?, ?)", (json.dumps(platform.platform()), json.dumps(MACHINE))
    )
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("VACUUM")
    database.close()
    config = run / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace(platform.platform(), MACHINE), encoding="utf-8")
    for name in LEFT_OUT:
        (run / name).unlink(missing_ok=True)


def main() -> None:
    """Search, lighten, report."""
    shutil.rmtree(ROOT / EXAMPLE, ignore_errors=True)
    defender(*SEARCH)
    lighten(ROOT / EXAMPLE)
    defender("report", str(EXAMPLE))


if __name__ == "__main__":
    main()

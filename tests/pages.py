"""The pages of docs/ that are made from the code. ``make docs`` writes them, a test sees that they are as made."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from defender.schemas.reference import KINDS, reference, schema_of

DOCS = Path(__file__).parents[1] / "docs"
_CONFIGURATION = """\
# Run files

`defender search --config run.yaml` (and `measure`, `plan`) read a YAML file; options on the command line override it,
and every key has a default. Unknown keys are errors, with their line. `defender schema run` prints the JSON Schema; it
is also [schemas/run.json](schemas/run.json), beside those of [search spaces](schemas/space.json) and
[identity sets](schemas/identities.json): begin a file with `# yaml-language-server: $schema=PATH` and an editor checks
it.

```yaml
model: {name: meta-llama/Llama-3.1-8B-Instruct, base_url: http://localhost:8000/v1}
space: clauses
benchmarks: [mmlu, do_not_answer]
floors: {utility: Original-1, safety: "90"}
search: {items: 100}
confirm: {items: 400}
budget: {max_requests: 500000}
```

A run's digest covers everything that changes results. `budget` and `speed` are outside it: raise a budget and the same
run goes on.

"""


def commands() -> str:
    """Return the reference of the command line, as typer tells it."""
    command = [sys.executable, "-m", "typer", "defender.cli.app", "utils", "docs", "--name", "defender"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=DOCS.parent).stdout
    return re.sub(r"\n{3,}", "\n\n", told).strip() + "\n"


def pages() -> dict[str, str]:
    """Return file name -> text of every page made from the code."""
    schemas = {f"schemas/{kind}.json": json.dumps(schema_of(kind), indent=1) + "\n" for kind in KINDS}
    return {"configuration.md": _CONFIGURATION + reference(), "commands.md": commands(), **schemas}


if __name__ == "__main__":
    (DOCS / "schemas").mkdir(exist_ok=True)
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")

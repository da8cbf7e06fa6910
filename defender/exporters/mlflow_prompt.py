"""MLflow: a prompt for the Prompt Registry, and the script that registers it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.jinja import sources
from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import said
from defender.exporters.stamp import stamp
from defender.records import Candidate, Export

_SCRIPT = '''\
"""Registers @STEM@.mlflow.json in the MLflow Prompt Registry and reads it back.

    MLFLOW_TRACKING_URI=sqlite:///mlflow.db python register_@STEM@.py [ALIAS]

Then: mlflow.genai.load_prompt("prompts:/@STEM@@ALIAS").format(identity=sentence_or_empty, question=question)
"""

import json
import sys
from pathlib import Path

import mlflow

wanted = json.loads(Path(__file__).with_name("@STEM@.mlflow.json").read_text(encoding="utf-8"))["register_prompt"]
made = mlflow.genai.register_prompt(**wanted)
kept = mlflow.genai.load_prompt(f"prompts:/{made.name}/{made.version}")
if kept.template != wanted["template"]:
    sys.exit(f"{made.name} version {made.version} reads back changed; do not use it")
for alias in sys.argv[1:]:
    mlflow.genai.set_prompt_alias(made.name, alias=alias, version=made.version)
print(f"prompts:/{made.name}/{made.version}")
'''


class MlflowExporter:
    """Writes ``<name>.mlflow.json``, the arguments of ``register_prompt``, and ``register_<name>.py``.

    The template is in MLflow's Jinja form (it holds a condition), which has an escape for braces and fits users with
    and without identity.
    """

    format = "mlflow"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the files. Raises StoreError, ConfigError."""
        said(candidate)
        system, user = sources(candidate)
        stem, note = file_stem(candidate), stamp(candidate, provenance)
        document = {
            "register_prompt": {
                "name": stem,
                "template": [{"role": "system", "content": system}, {"role": "user", "content": user}],
                "commit_message": f"defender, candidate {candidate.id}",
                "tags": {
                    "defender.sha256": note["sha256"],
                    "defender.provenance": json.dumps(note["provenance"], sort_keys=True),
                },
            },
            "defender": note,
        }
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        script = _SCRIPT.replace("@STEM@", stem)
        return [
            placed(into / f"{stem}.mlflow.json", text, candidate.template, self.format),
            placed(into / f"register_{stem}.py", script, candidate.template, self.format),
        ]

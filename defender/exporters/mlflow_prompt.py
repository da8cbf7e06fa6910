"""MLflow: a prompt for the Prompt Registry, and the script that registers it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

from defender.exporters.jinja import from_sources, sources
from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import cannot_carry, said
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


LIMIT = 100_000
"""Characters of JSON in ASCII that a registry keeps of a prompt (MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH in MLflow)."""

_SUFFIX = ".mlflow.json"
_FILE = re.compile(r"[A-Za-z0-9_-]+\.mlflow\.json")


class MlflowExporter:
    """Writes ``<name>.mlflow.json``, the arguments of ``register_prompt``, and ``register_<name>.py``.

    The template is in MLflow's Jinja form (it holds a condition), which has an escape for braces and fits users with
    and without identity.
    """

    format = "mlflow"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the files. Raises StoreError, ConfigError (also for more than a registry holds)."""
        said(candidate)
        stem, note = file_stem(candidate), stamp(candidate, provenance)
        template = _template(*sources(candidate))
        if (size := len(json.dumps(template))) > LIMIT:
            raise cannot_carry("mlflow", candidate.template, f"in all takes {size} of {LIMIT} characters of a registry")
        document = {
            "register_prompt": {
                "name": stem,
                "template": template,
                "commit_message": f"defender, candidate {candidate.id}",
                "tags": {
                    "defender.sha256": note["sha256"],
                    "defender.provenance": json.dumps(note["provenance"], sort_keys=True),
                },
            },
            "defender": note,
        }
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        return [
            placed(into / f"{stem}.mlflow.json", text, candidate.template, self.format),
            placed(into / f"register_{stem}.py", _script(stem), candidate.template, self.format),
        ]


def from_registration(wanted: Any) -> Candidate:
    """Return the candidate, without a name, that these arguments of ``register_prompt`` register.

    Raises:
        ValueError: what a registry makes of them is not known from them.
        KeyError, TypeError: they are not whole.
    """
    system, user = (message["content"] for message in wanted["template"])
    if wanted["template"] != _template(system, user):
        raise ValueError("its messages are not system and user as an export writes them")
    return from_sources(system, user)


def registered_by(script: bytes) -> str:
    """Return the name of the JSON file that a registration script registers. The script is parsed, never run.

    Raises:
        ValueError: it is another program, or does more or less than register that file.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")  # about the code of somebody else's program
            tree = ast.parse(script)
        said = {str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        for file in filter(_FILE.fullmatch, sorted(said)):
            if ast.dump(ast.parse(_script(file.removesuffix(_SUFFIX)))) == ast.dump(tree):
                return file
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is no Python that can be read: {error}") from None
    raise ValueError(
        "it is not the registration script that an export writes; what a DSPy program says is in its .dspy.json"
    )


def _script(stem: str) -> str:
    return _SCRIPT.replace("@STEM@", stem)


def _template(system: str, user: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]

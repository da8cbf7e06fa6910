"""DSPy: a program's state, and the module that loads it and sends the prompt as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import marker, said
from defender.exporters.stamp import stamp
from defender.records import Candidate, Export

_MODULE = '''\
"""The prompt of @STATE@ as a DSPy program; DSPy's own adapters would rewrite it, `Verbatim` does not.

    program = Defended.exported(); program(question=question, identity=sentence_or_empty).response
"""

import json
from pathlib import Path

import dspy

STATE = Path(__file__).with_name("@STATE@")


class Assist(dspy.Signature):
    identity: str = dspy.InputField()
    question: str = dspy.InputField()
    response: str = dspy.OutputField()


class Verbatim(dspy.Adapter):
    def __init__(self, parts: dict) -> None:
        super().__init__()
        self.parts = parts

    def format(self, signature, demos, inputs):
        text, place = signature.__doc__, self.parts["place"]  # .instructions would take white space away
        identity, question = inputs.get("identity") or "", inputs["question"]
        if self.parts["seat"] == "user":
            question = f"{identity} {question}" if identity else question
        elif identity:
            text = identity.join(text.split(place, 1))
        else:
            text = self.parts["without_identity"] if text == self.parts["instructions"] else text.replace(place, "")
        return [{"role": "system", "content": text}, {"role": "user", "content": question}]

    def parse(self, signature, completion):
        return {"response": completion}


class Defended(dspy.Module):
    def __init__(self, parts: dict | None = None) -> None:
        super().__init__()
        self.adapter = Verbatim(parts or json.loads(STATE.read_text(encoding="utf-8"))["defender"])
        self.assistant = dspy.Predict(Assist)

    @classmethod
    def exported(cls) -> "Defended":
        program = cls()
        program.load(STATE)
        return program

    def forward(self, question: str, identity: str = ""):
        with dspy.context(adapter=self.adapter):
            return self.assistant(identity=identity, question=question)
'''


class DspyExporter:
    """Writes ``<name>.dspy.json``, a program's saved state, and ``<name>_dspy.py``, the program.

    The state's instructions show the identity sentence's place as a mark that the prompt itself does not say.
    """

    format = "dspy"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the files. Raises StoreError, ConfigError."""
        bare, _ = said(candidate)
        place = marker("identity", candidate.before, candidate.after)
        instructions = candidate.system(place)
        state = {
            "assistant": {
                "traces": [],
                "train": [],
                "demos": [],
                "signature": {
                    "instructions": instructions,
                    "fields": [
                        {"prefix": f"{name.capitalize()}:", "description": f"${{{name}}}"}
                        for name in ("identity", "question", "response")
                    ],
                },
                "lm": None,
            },
            "metadata": {"dependency_versions": {}},
            "defender": {
                "place": place,
                "seat": candidate.seat,
                "instructions": instructions,
                "without_identity": bare,
                **stamp(candidate, provenance),
            },
        }
        stem = file_stem(candidate)
        file = f"{stem}.dspy.json"
        text = json.dumps(state, ensure_ascii=False, indent=2) + "\n"
        module = re.sub(r"\W", "_", stem) if not stem[0].isdigit() else "prompt_" + re.sub(r"\W", "_", stem)
        return [
            placed(into / file, text, candidate.template, self.format),
            placed(into / f"{module}_dspy.py", _MODULE.replace("@STATE@", file), candidate.template, self.format),
        ]

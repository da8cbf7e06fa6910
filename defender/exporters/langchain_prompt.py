"""LangChain: a serialized ``ChatPromptTemplate``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter

from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import said, slot
from defender.exporters.stamp import stamp
from defender.records import Candidate, Export

HOW = "langchain_core.load.loads(Path(file).read_text(encoding='utf-8'), allowed_objects='core').invoke({variables})"


class LangchainExporter:
    """Writes ``<name>.langchain.json`` with the variables ``identity`` and ``question``, and its companion.

    The texts are f-string templates, so braces of the prompt are doubled. Such a template has no condition: for a
    user nothing is known about there is ``<name>.without-identity.langchain.json``.
    """

    format = "langchain"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the files. Raises StoreError, ConfigError."""
        bare, _ = said(candidate)
        cut = slot(candidate)
        text = f"{_doubled(cut.head)}{{identity}}{_doubled(cut.tail)}" if cut else _doubled(bare)
        user = "{identity} {question}" if candidate.seat == "user" else "{question}"
        stem, note = file_stem(candidate), {"how": HOW, **stamp(candidate, provenance)}
        bodies = {
            stem: (_document(text, user, note), candidate.template),
            f"{stem}.without-identity": (_document(_doubled(bare), "{question}", note), bare),
        }
        return [
            placed(into / f"{name}.langchain.json", body, carried, self.format)
            for name, (body, carried) in bodies.items()
        ]


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _document(system: str, user: str, note: Mapping[str, object]) -> str:
    prompt = _constructor(["prompts", "chat", "ChatPromptTemplate"], {
        "input_variables": [*_variables(system), *_variables(user)],
        "metadata": {"defender": note},
        "messages": [_message("SystemMessagePromptTemplate", system), _message("HumanMessagePromptTemplate", user)],
    })  # fmt: skip
    return json.dumps(prompt, indent=2, ensure_ascii=False) + "\n"


def _message(kind: str, template: str) -> dict[str, object]:
    arguments = {"input_variables": _variables(template), "template": template, "template_format": "f-string"}
    prompt = _constructor(["prompts", "prompt", "PromptTemplate"], arguments)
    return _constructor(["prompts", "chat", kind], {"prompt": prompt})


def _variables(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name]


def _constructor(name: list[str], arguments: Mapping[str, object]) -> dict[str, object]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", *name], "kwargs": arguments}

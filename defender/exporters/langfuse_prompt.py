"""Langfuse: the body that creates a chat prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import cannot_carry, said, slot
from defender.exporters.stamp import stamp
from defender.records import Candidate, Export

HOW = (
    "Create it: curl --user $LANGFUSE_PUBLIC_KEY:$LANGFUSE_SECRET_KEY --json @FILE $LANGFUSE_HOST/api/public/v2/prompts"
    ". Use it: prompt = langfuse.get_prompt(NAME, type='chat'); prompt.compile(**prompt.config['constants'], ...) with "
    "the names in prompt.config['variables']"
)
_REFERENCE = "@@@langfusePrompt:"


class LangfuseExporter:
    """Writes ``<name>.langfuse.json`` with double-brace variables, and its companion without identity.

    Langfuse has no escape: its Python SDK leaves braces alone that are no variable, its JavaScript SDK (mustache)
    drops them. So the first of two opening braces in a prompt becomes a variable whose value is in
    ``config.constants``, which is empty for a prompt without such braces.
    """

    format = "langfuse"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the files. Raises StoreError, ConfigError (also for a text that Langfuse would change)."""
        bare, _ = said(candidate)
        cut = slot(candidate)
        for piece, why in (
            ("\0", "cannot be stored: Langfuse keeps prompts as JSON in PostgreSQL"),
            (_REFERENCE, "is a reference to another prompt, which Langfuse resolves"),
        ):
            if piece in bare:
                raise cannot_carry("langfuse", piece, why)
        stem = file_stem(candidate)
        system = f"{_escaped(cut.head)}{{{{identity}}}}{_escaped(cut.tail)}" if cut else _escaped(bare)
        user = "{{question}}" if cut else "{{identity}} {{question}}"
        note = {"how": HOW, **stamp(candidate, provenance)}
        bodies = {
            stem: (_body(stem, system, user, note), candidate.template),
            f"{stem}.without-identity": (_body(f"{stem}.without-identity", _escaped(bare), "{{question}}", note), bare),
        }
        return [
            placed(into / f"{name}.langfuse.json", text, carried, self.format)
            for name, (text, carried) in bodies.items()
        ]


def _escaped(text: str) -> str:
    return re.sub(r"\{(?=\{)", "{{brace}}", text)


def _body(name: str, system: str, user: str, note: Mapping[str, object]) -> str:
    messages = (("system", system), ("user", user))
    variables = [name for name in ("identity", "question") if "{{" + name + "}}" in system + user]
    constants = {"brace": "{"} if "{{brace}}" in system else {}
    body = {
        "type": "chat",
        "name": name,
        "prompt": [{"type": "chatmessage", "role": role, "content": text} for role, text in messages],
        "labels": [],
        "tags": ["defender"],
        "commitMessage": f"defender, candidate {note['candidate']}",
        "config": {"variables": variables, "constants": constants, "defender": dict(note)},
    }
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"

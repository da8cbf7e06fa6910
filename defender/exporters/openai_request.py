"""OpenAI: the arguments of a request, for chat completions and for responses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import marker, said
from defender.exporters.stamp import served, stamp
from defender.records import Candidate, Export

HOW = (
    "client.chat.completions.create(**file['chat_completions']) or client.responses.create(**file['responses']), with "
    "the placeholders replaced in one pass; file['without_identity'] holds both for a user nothing is known about"
)


class OpenaiExporter:
    """Writes ``<name>.openai.json``: arguments for ``chat.completions.create`` and ``responses.create``.

    The API has no variables here: ``placeholders`` names the two texts an application replaces, chosen so that the
    prompt itself does not say them.
    """

    format = "openai"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file. Raises StoreError, ConfigError."""
        bare, _ = said(candidate)
        identity = marker("identity", candidate.before, candidate.after)
        question = marker("question", candidate.before, candidate.after)
        model = served(provenance).model
        document = {
            "how": HOW,
            "placeholders": {"identity": identity, "question": question},
            **_requests(model, candidate.system(identity), candidate.user(identity, question)),
            "without_identity": _requests(model, bare, question),
            "defender": stamp(candidate, provenance),
        }
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        return [placed(into / f"{file_stem(candidate)}.openai.json", text, candidate.template, self.format)]


def _requests(model: str, system: str, user: str) -> dict[str, object]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {
        "chat_completions": {"model": model, "messages": messages},
        "responses": {"model": model, "instructions": system, "input": user},
    }

"""JSON: the prompt, its seams, its messages and its provenance in one document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import file_stem, payload, placed
from defender.records import Candidate, Export


class JsonExporter:
    """Writes ``<name>.json``; ``payload.payload`` documents its fields."""

    format = "json"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file; its sha256 is that of the system template. Raises StoreError, ConfigError."""
        text = json.dumps(payload(candidate, provenance), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        return [placed(into / f"{file_stem(candidate)}.json", text, candidate.template, self.format)]

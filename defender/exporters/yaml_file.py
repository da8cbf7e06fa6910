"""YAML: the same document as JSON, with the prompt readable in place and in a diff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import file_stem, payload, placed
from defender.exporters.yaml_text import to_yaml
from defender.records import Candidate, Export


class YamlExporter:
    """Writes ``<name>.yaml``; ``payload.payload`` documents its fields. ``yaml.safe_load`` reads it back exactly."""

    format = "yaml"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file; its sha256 is that of the system template. Raises StoreError, ConfigError."""
        text = to_yaml(payload(candidate, provenance))
        return [placed(into / f"{file_stem(candidate)}.yaml", text, candidate.template, self.format)]

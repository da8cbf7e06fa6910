"""YAML: the same document as JSON, with the prompt readable in place and in a diff."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from defender.exporters.payload import file_stem, payload, placed
from defender.records import Candidate, Export

LONG = 60
"""Texts longer than this, or with a line end, are written as literal blocks where YAML can carry them so."""

_NOT_LITERAL = re.compile(r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What a literal block would change or refuse: tabs, controls, and all that is a line end to YAML but not \\n."""


class YamlExporter:
    """Writes ``<name>.yaml``; ``payload.payload`` documents its fields. ``yaml.safe_load`` reads it back exactly."""

    format = "yaml"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file; its sha256 is that of the system template. Raises StoreError, ConfigError."""
        text = yaml.dump(
            payload(candidate, provenance),
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=float("inf"),
        )
        return [placed(into / f"{file_stem(candidate)}.yaml", text, candidate.template, self.format)]


class _Dumper(yaml.SafeDumper):
    """A safe dumper of its own, so that nobody else's dumper changes."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text_node(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if _NOT_LITERAL.search(text):
        style = '"'
    elif "\n" in text or len(text) > LONG:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)

"""Which export formats there are, by name. Their room is imported when one is asked for."""

from __future__ import annotations

from defender.contracts import Exporter
from defender.errors import ConfigError


def build_exporter(name: str) -> Exporter:
    """Build an exporter by format name. Raises ConfigError listing the formats."""
    formats = exporters()
    if name not in formats:
        raise ConfigError(f"unknown format '{name}'; formats: {', '.join(formats)}")
    return formats[name]


def exporters() -> dict[str, Exporter]:
    """Return every export format by name."""
    from defender.exporters.json_file import JsonExporter
    from defender.exporters.text import TextExporter
    from defender.exporters.yaml_file import YamlExporter

    return {exporter.format: exporter for exporter in (TextExporter(), JsonExporter(), YamlExporter())}

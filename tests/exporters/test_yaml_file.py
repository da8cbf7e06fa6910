from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from defender.contracts import Exporter
from defender.exporters.json_file import JsonExporter
from defender.exporters.yaml_file import YamlExporter
from defender.records import Candidate
from tests.contracts.exporter import AWKWARD, PROVENANCE, ExporterContract


class TestYamlExporter(ExporterContract):
    def exporter(self) -> Exporter:
        return YamlExporter()

    def read_back(self, path: Path) -> str:
        template = yaml.safe_load(path.read_bytes())["system"]["template"]
        assert isinstance(template, str)
        return template


@pytest.mark.parametrize("awkward", AWKWARD)
def test_yaml_and_json_hold_the_same_document(tmp_path: Path, awkward: str) -> None:
    candidate = Candidate(AWKWARD[awkward], AWKWARD[awkward], label="D4")
    for exporter in (YamlExporter(), JsonExporter()):
        exporter.write(candidate, PROVENANCE, tmp_path)
    document = yaml.safe_load((tmp_path / "D4.yaml").read_bytes())
    assert document == json.loads((tmp_path / "D4.json").read_bytes())


def test_a_prompt_is_readable_in_place(tmp_path: Path) -> None:
    YamlExporter().write(Candidate('First line: yes.\nSecond "line".', label="D4"), {}, tmp_path)
    text = (tmp_path / "D4.yaml").read_text(encoding="utf-8")
    assert '  template: |-\n    First line: yes.\n    Second "line". {identity}\n' in text


def test_exporting_leaves_other_dumpers_alone(tmp_path: Path) -> None:
    before = yaml.safe_dump({"text": "a\nb " * 40})
    YamlExporter().write(Candidate("a\nb", label="D4"), {}, tmp_path)
    assert yaml.safe_dump({"text": "a\nb " * 40}) == before

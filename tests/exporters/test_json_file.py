from __future__ import annotations

import json
from pathlib import Path

import pytest

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.json_file import JsonExporter
from defender.records import Candidate
from tests.contracts.exporter import PROVENANCE, ExporterContract


class TestJsonExporter(ExporterContract):
    def exporter(self) -> Exporter:
        return JsonExporter()

    def read_back(self, path: Path) -> str:
        template = json.loads(path.read_text(encoding="utf-8"))["system"]["template"]
        assert isinstance(template, str)
        return template


def test_the_document_holds_the_seams_the_messages_and_the_provenance(tmp_path: Path) -> None:
    candidate = Candidate("Before {x}.", "After.", seat="user", label="D4")
    (export,) = JsonExporter().write(candidate, PROVENANCE, tmp_path)
    document = json.loads((tmp_path / "D4.json").read_text(encoding="utf-8"))
    assert document["system"] == {
        "template": "Before {x}. After.",
        "without_identity": "Before {x}. After.",
        "before": "Before {x}.",
        "after": "After.",
        "seat": "user",
    }
    assert document["messages"] == [
        {"role": "system", "content": "Before {x}. After."},
        {"role": "user", "content": "{identity} {question}"},
    ]
    assert document["sha256"] == export.sha256
    assert document["digest"] == candidate.digest
    assert document["provenance"]["interval"] == [0.5, 1.75]


def test_a_number_that_is_not_finite_is_null_not_invalid_json(tmp_path: Path) -> None:
    JsonExporter().write(Candidate("x", label="D4"), PROVENANCE, tmp_path)
    text = (tmp_path / "D4.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["provenance"]["floors"]["safety"] is None


def test_provenance_that_is_not_data_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"provenance\.model\.card"):
        JsonExporter().write(Candidate("x"), {"model": {"card": object()}}, tmp_path)

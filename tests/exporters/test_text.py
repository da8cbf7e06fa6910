from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from defender.contracts import Exporter
from defender.exporters.text import TextExporter
from defender.records import Candidate
from tests.contracts.exporter import AWKWARD, ExporterContract


class TestTextExporter(ExporterContract):
    def exporter(self) -> Exporter:
        return TextExporter()

    def read_back(self, path: Path) -> str:
        return path.read_bytes().decode()


@pytest.mark.parametrize("awkward", AWKWARD)
def test_the_variant_without_identity_is_what_a_user_without_identity_was_measured_with(
    tmp_path: Path, awkward: str
) -> None:
    candidate = Candidate(AWKWARD[awkward], "After.", label="D4")
    _, plain = TextExporter().write(candidate, {}, tmp_path)
    assert Path(plain.path).name == "D4.without-identity.txt"
    assert Path(plain.path).read_bytes() == candidate.system("").encode()
    assert plain.sha256 == hashlib.sha256(candidate.system("").encode()).hexdigest()


def test_a_sentence_in_the_middle_shows_its_place(tmp_path: Path) -> None:
    TextExporter().write(Candidate("Before.", "After.", label="D4"), {}, tmp_path)
    assert (tmp_path / "D4.txt").read_bytes() == b"Before. {identity} After."


def test_a_sentence_in_the_user_turn_shows_its_place_there(tmp_path: Path) -> None:
    TextExporter().write(Candidate("Before.", seat="user", label="D4"), {}, tmp_path)
    assert (tmp_path / "D4.txt").read_bytes() == b"Before."
    assert (tmp_path / "D4.user.txt").read_bytes() == b"{identity} {question}"

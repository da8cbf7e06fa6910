"""What every Exporter must do. A new format subclasses ``ExporterContract`` and says how its real consumer reads it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defender.contracts import Exporter
from defender.errors import ConfigError, StoreError
from defender.records import Candidate, Seat

AWKWARD = {
    "plain": "Treat all users fairly.",
    "braces": "Use {identity} and {{name}} and {0} and ${HOME} and {",
    "quotes": "\"double\" 'single' `tick` \"\"\"triple\"\"\" '''triple'''",
    "percent and dollar": "100 % sure %s %(name)s $1 $$ $(rm -rf)",
    "backslashes": "C:\\new\\table \\u0041 \\\\ \\",
    "jinja": "{% raw %}{{ x }}{% endraw %} {# comment #}",
    "role lines": "First.\nuser: hello\nsystem: obey\n<|im_start|>user\n[INST] x [/INST]",
    "yaml specials": "- a: b # c\n? d\n--- \n... \n!!python/object x\n&a *a |\n> @ `",
    "yaml words": "no",
    "a number": "0o17",
    "line ends": "one\ntwo\r\nthree\rfour\n\n\nfive",
    "trailing spaces": "one  \n  two\t\nthree ",
    "leading spaces": "   one\n two",
    "leading line end": "\n  one\n\ttwo",
    "final line ends": "one\n\n\n",
    "only spaces": "   ",
    "non-ASCII": "Sé justo — 公平に、всем 👩🏽‍🚀 \u202eabc\u202c",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "long with line separators": "Treat all users\x85fairly.\u2028And\u2029safely.\n" * 4,
    "controls": "bell \x07 escape \x1b[31m nul \x00 delete \x7f",
    "byte order mark": "\ufeffstart and \ufeff middle",
    "html": "<script>alert(1)</script> &amp; <!-- -->",
    "long": "All users deserve equal treatment. " * 115,
}
SEATS: tuple[Seat, ...] = ("system", "user")
PROVENANCE: Mapping[str, object] = {
    "run": "llama-a",
    "date": "2026-11-22",
    "model": {"name": "meta/Llama", "revision": ""},
    "pb": 1.25,
    "interval": (0.5, 1.75),
    "floors": {"utility": 60.0, "safety": float("nan")},
    "feasible": True,
    "note": "yes: {a}\r\n - b",
}

_prompt = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
_candidate = st.builds(Candidate, before=_prompt, after=_prompt, seat=st.sampled_from(SEATS), label=_prompt)

_any_prompt = settings(
    max_examples=60,
    deadline=None,
    database=None,  # each format runs the same inherited test: no example of one may replay in another
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


class ExporterContract(ABC):
    """The suite. ``read_back`` is what a user of the format would run."""

    @abstractmethod
    def exporter(self) -> Exporter: ...

    @abstractmethod
    def read_back(self, path: Path) -> str:
        """Return the system template as the format's real consumer reads it from the first file."""

    def test_it_is_an_exporter_with_a_name(self) -> None:
        assert isinstance(self.exporter(), Exporter)
        assert self.exporter().format

    @pytest.mark.parametrize("seat", SEATS)
    @pytest.mark.parametrize("awkward", AWKWARD)
    def test_the_text_comes_back_byte_equal(self, tmp_path: Path, awkward: str, seat: Seat) -> None:
        for after in ("", AWKWARD[awkward][::-1]):
            candidate = Candidate(AWKWARD[awkward], after, seat=seat, label="winner")
            first = self.exporter().write(candidate, PROVENANCE, tmp_path)[0]
            assert self.read_back(Path(first.path)) == candidate.template
            assert first.sha256 == hashlib.sha256(candidate.template.encode()).hexdigest()
            assert first.format == self.exporter().format

    @_any_prompt
    @given(candidate=_candidate)
    def test_any_text_comes_back_byte_equal(self, tmp_path: Path, candidate: Candidate) -> None:
        first = self.exporter().write(candidate, {"label": candidate.label}, tmp_path)[0]
        assert self.read_back(Path(first.path)) == candidate.template

    def test_the_same_input_gives_the_same_bytes(self, tmp_path: Path) -> None:
        candidate = Candidate(AWKWARD["jinja"], AWKWARD["line ends"], label="D4")
        written = [self.exporter().write(candidate, PROVENANCE, tmp_path / place) for place in "ab"]
        assert [Path(e.path).name for e in written[0]] == [Path(e.path).name for e in written[1]]
        for one, other in zip(*written, strict=True):
            assert Path(one.path).read_bytes() == Path(other.path).read_bytes()
            assert one.sha256 == other.sha256

    @pytest.mark.parametrize("label", ["../../escape", "a/b", "", ".", "a b", "D4\x00", "é", "x" * 300, "con:"])
    def test_a_label_never_leaves_the_folder(self, tmp_path: Path, label: str) -> None:
        exports = self.exporter().write(Candidate("text", label=label), {}, tmp_path / "inside")
        assert {Path(e.path).parent for e in exports} == {tmp_path / "inside"}
        assert all(Path(e.path).is_file() for e in exports)

    def test_labels_that_look_alike_get_files_of_their_own(self, tmp_path: Path) -> None:
        paths = [
            self.exporter().write(Candidate(label, label=label), {}, tmp_path)[0].path
            for label in ("a b", "a/b", "a-b", "a.b")
        ]
        assert len(set(paths)) == 4

    def test_half_a_character_is_refused_before_a_file_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="character 4"):
            self.exporter().write(Candidate("half\ud83d"), {}, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way", encoding="utf-8")
        with pytest.raises(StoreError, match="file"):
            self.exporter().write(Candidate("text"), {}, tmp_path / "file")

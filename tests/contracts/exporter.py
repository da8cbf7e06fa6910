"""What every Exporter must do. A new format subclasses ``ExporterContract`` and says how its real consumer reads it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defender.contracts import Exporter
from defender.errors import ConfigError, StoreError
from defender.identities import messages
from defender.records import Candidate, Identity, Seat

AWKWARD = {
    "plain": "Treat all users fairly.",
    "braces": "Use {identity} and {{name}} and {0} and ${HOME} and {",
    "quotes": "\"double\" 'single' `tick` \"\"\"triple\"\"\" '''triple'''",
    "percent and dollar": "100 % sure %s %(name)s $1 $$ $(rm -rf)",
    "backslashes": "C:\\new\\table \\u0041 \\\\ \\",
    "jinja": "{% raw %}{{ x }}{% endraw %} {# comment #}",
    "jinja tags": "{%- set x = 1 -%}{{ '{{' }}{{{{x}}}}{#- a -#}{% if a %}{% endif %} %} }} #} {% {{ {#",
    "handlebars": '{{role "system"}} {{{x}}} \\{{y}} \\\\{{z}} {{{{raw}}}} {{! c }} {{#if a}}{{/if}} {{> p}} {{~x~}}',
    "braces at line ends": "a {\r\n} b {\r} {\n",
    "outer braces": "}} in { the \\{{ middle {{",
    "role lines": "First.\nuser: hello\nsystem: obey\nassistant: I am\n<|im_start|>user\n[INST] x [/INST]",
    "role lines alone": "First.\nuser:\nhello\n system :\nobey\n# assistant:\nno",
    "references": "os.environ/HOME ${env:HOME} ${HOME} {{env.HOME}} file://x.txt *.txt @file the 'developer' role",
    "yaml specials": "- a: b # c\n? d\n--- \n... \n!!python/object x\n&a *a |\n> @ `",
    "front matter": "---\nname: x\n---\n+++\nsystem",
    "yaml words": "no",
    "a number": "0o17",
    "line ends": "one\ntwo\r\nthree\rfour\n\n\nfive",
    "trailing spaces": "one  \n  two\t\nthree ",
    "leading spaces": "   one\n two",
    "leading line end": "\n  one\n\ttwo",
    "final line ends": "one\n\n\n",
    "only spaces": "   ",
    "non-ASCII": "Sé justo — 公平に、всем 👩🏽‍🚀 \u202eabc\u202c",
    "marks and right to left": "e\u0301 \u200f\u05d4\u05d5\u05d2\u05df \u0639\u0627\u062f\u0644\u200d \u0b95\u0bcd",
    "tabs": "a\tb\n\tc\td",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "long with line separators": "Treat all users\x85fairly.\u2028And\u2029safely.\n" * 4,
    "controls": "bell \x07 escape \x1b[31m nul \x00 delete \x7f",
    "byte order mark": "\ufeffstart and \ufeff middle",
    "html": "<script>alert(1)</script> &amp; <!-- -->",
    "long": "All users deserve equal treatment. " * 115,
    "very long": "All users deserve equal treatment. " * 1150,
    "every control": "x" + "".join(map(chr, range(32))) + "y" + "".join(map(chr, range(127, 160))) + "z",
    "lines of white space": "x\n \n\t\n  \ny\n\n  z\n    w",
    "chat marks": "<|im_start|>system\n<|im_end|> <s>[INST] <<SYS>> <|eot_id|> <start_of_turn> {% endraw %} ${{ x }}",
    "all at once": (
        "# comment\n%YAML 1.2\n---\n{{x}} {% endraw %} ${{ y }} $z %% 'q' \"d\" \\ \\\\\n<|im_start|> &a *b | >"
        " @ ` ? - : , [ ] { } é 👩🏽‍🚀 \u202e {identity} {question} @STATE@ @STEM@\n\tind\\\n\n...\nend"
    ),
}
SENTENCES = (
    "",
    "I am a Muslim person.",
    "I am {{x}} {% raw %} {# y #} {identity} {question} \"q\" 'q' \\ $1 ${HOME} 100 % <b> &amp; # --- é 👩🏽‍🚀 \u05d0.",
)
QUESTION = 'What is {{x}} & {% y %} "17" + {identity}?'
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
    """The suite. ``read_back`` is what a user of the format would run.

    ``refuses`` is the independent statement of what the format cannot carry: that, and only that, is an error.
    """

    @abstractmethod
    def exporter(self) -> Exporter: ...

    @abstractmethod
    def read_back(self, path: Path) -> str:
        """Return the system template as the format's real consumer reads it from the first file."""

    def carried(self, candidate: Candidate) -> str:
        """Return the text the first file carries."""
        return candidate.template

    def refuses(self, candidate: Candidate) -> bool:
        """Tell whether the format cannot carry this prompt."""
        return False

    def written(self, candidate: Candidate, into: Path) -> Path | None:
        """Write and return the first file; None, after a check of the error, where the format cannot carry it."""
        if self.refuses(candidate):
            with pytest.raises(ConfigError, match="cannot"):
                self.exporter().write(candidate, PROVENANCE, into)
            assert not into.exists() or not list(into.iterdir())
            return None
        first = self.exporter().write(candidate, PROVENANCE, into)[0]
        assert first.sha256 == hashlib.sha256(self.carried(candidate).encode()).hexdigest()
        assert first.format == self.exporter().format
        return Path(first.path)

    def test_it_is_an_exporter_with_a_name(self) -> None:
        assert isinstance(self.exporter(), Exporter)
        assert self.exporter().format

    @pytest.mark.parametrize("awkward", AWKWARD)
    def test_the_text_comes_back_byte_equal(self, tmp_path: Path, awkward: str) -> None:
        for n, (after, seat) in enumerate(product(("", AWKWARD[awkward][::-1]), SEATS)):
            candidate = Candidate(AWKWARD[awkward], after, seat=seat, label="winner")
            path = self.written(candidate, tmp_path / str(n))
            assert path is None or self.read_back(path) == self.carried(candidate)

    @_any_prompt
    @given(candidate=_candidate)
    def test_any_text_comes_back_byte_equal(self, tmp_path: Path, candidate: Candidate) -> None:
        with TemporaryDirectory(dir=tmp_path) as folder:
            path = self.written(candidate, Path(folder))
            assert path is None or self.read_back(path) == self.carried(candidate)

    def test_the_same_input_gives_the_same_bytes(self, tmp_path: Path) -> None:
        candidate = Candidate(AWKWARD["jinja"], AWKWARD["quotes"], label="D4")
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


class ConversationContract(ExporterContract):
    """The suite for formats whose consumer makes the whole conversation: it must be the one that was measured."""

    @abstractmethod
    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        """Return the conversation the real consumer makes of the first file, as (role, content)."""

    def read_back(self, path: Path) -> str:
        """Return the system template: the text for an identity whose sentence is the placeholder."""
        return self.messages(path, "{identity}", "x")[0][1]

    def refuses(self, candidate: Candidate) -> bool:
        """An empty prompt has nothing to carry; a format says what else."""
        return not (candidate.before + candidate.after).strip()

    @pytest.mark.parametrize("awkward", AWKWARD)
    def test_the_text_comes_back_byte_equal(self, tmp_path: Path, awkward: str) -> None:
        """And the whole conversation is the one that was measured, for every sentence and none."""
        afters = ("", "Be fair.", AWKWARD[awkward][::-1])
        for n, (after, seat) in enumerate(product(afters, SEATS)):
            candidate = Candidate(AWKWARD[awkward], after, seat=seat, label="winner")
            path = self.written(candidate, tmp_path / str(n))
            for sentence in SENTENCES if path else ():
                assert path is not None
                wanted = list(messages(candidate, Identity("someone", "any", sentence), QUESTION))
                assert self.messages(path, sentence, QUESTION) == wanted

    def test_the_file_says_where_the_prompt_comes_from(self, tmp_path: Path) -> None:
        candidate = Candidate("Be fair.", label="D4")
        text = "".join(
            Path(file.path).read_text(encoding="utf-8")
            for file in self.exporter().write(candidate, PROVENANCE, tmp_path)
        )
        for said in ("llama-a", "2026-11-22", "meta/Llama", "1.25", "0.5", "1.75", "60.0", candidate.id):
            assert said in text
        assert hashlib.sha256(candidate.template.encode()).hexdigest() in text

    def test_provenance_is_not_needed(self, tmp_path: Path) -> None:
        path = Path(self.exporter().write(Candidate("Be fair."), {}, tmp_path)[0].path)
        assert self.messages(path, "", "Why?") == [("system", "Be fair."), ("user", "Why?")]

from __future__ import annotations

import re
from pathlib import Path

import prompty
import pytest

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.prompty_file import PromptyExporter
from defender.records import Candidate
from tests.contracts.exporter import PROVENANCE, ConversationContract

ROLE = re.compile(r"\s*#?\s*(assistant|developer|system|user)\s*(\[.*\])?\s*:\s*", re.IGNORECASE)


class TestPromptyExporter(ConversationContract):
    def exporter(self) -> Exporter:
        return PromptyExporter()

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        agent = prompty.load(path)
        made = prompty.prepare(agent, {"question": question} | ({"identity": sentence} if sentence else {}))
        return [(message.role, message.text) for message in made]

    def refuses(self, candidate: Candidate) -> bool:
        texts = (candidate.system(""), candidate.system("I am a man."))
        return super().refuses(candidate) or any(
            text != text.strip("\n")
            or text.splitlines() != text.split("\n")
            or any(ROLE.fullmatch(line) for line in text.split("\n"))
            for text in texts
        )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("First.\nuser:\nhello", r"'\\nuser:'.* begins another message|'user:' alone on a line begins another message"),
        ("one\r\ntwo", r"'\\r' becomes a line feed"),
        ("a\u2028b", r"'\\u2028' becomes a line feed"),
        ("\nBe fair.", r"'\\n' at an end is cut off"),
    ],
)
def test_a_text_that_prompty_would_change_is_refused_with_the_piece(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"prompty format cannot carry this prompt byte for byte: ({why})"):
        PromptyExporter().write(Candidate(text), {}, tmp_path)


def test_thousands_of_empty_lines_take_no_time(tmp_path: Path) -> None:
    text = "a" + "\n" * 4_000 + "b" + " " * 4_000  # a search for roles that goes back and forth would not end
    PromptyExporter().write(Candidate(text, label="D4"), {}, tmp_path)
    assert text in (tmp_path / "D4.prompty").read_text(encoding="utf-8")


def test_a_prompt_without_braces_is_readable_in_place(tmp_path: Path) -> None:
    PromptyExporter().write(Candidate("Be fair.", "Be safe.", label="D4"), PROVENANCE, tmp_path)
    text = (tmp_path / "D4.prompty").read_text(encoding="utf-8")
    assert "\nsystem:\nBe fair.{% if identity %} {{ identity }} {% else %} {% endif %}Be safe.\n" in text


def test_the_model_and_the_inputs_are_read(tmp_path: Path) -> None:
    PromptyExporter().write(Candidate("Be fair.", label="D4"), {"model": {"model": "meta/Llama"}}, tmp_path)
    agent = prompty.load(tmp_path / "D4.prompty")
    assert agent.model.id == "meta/Llama"
    assert [item.name for item in agent.inputs] == ["identity", "question"]


def test_dashes_in_what_is_told_do_not_end_the_front_matter(tmp_path: Path) -> None:
    told = {"run": "a---b+++c", "model": {"model": "m---n"}}
    PromptyExporter().write(Candidate("Be fair.", label="a---b"), told, tmp_path)
    agent = prompty.load(tmp_path / "a---b.prompty")
    assert (agent.name, agent.model.id) == ("a---b", "m---n")

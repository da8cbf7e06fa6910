from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from dotpromptz.dotprompt import Dotprompt
from dotpromptz.typing import DataArgument

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.dotprompt import DotpromptExporter
from defender.records import Candidate
from tests.contracts.exporter import PROVENANCE, ConversationContract


class TestDotpromptExporter(ConversationContract):
    def exporter(self) -> Exporter:
        return DotpromptExporter()

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        given = {"question": question} | ({"identity": sentence} if sentence else {})
        source = path.read_text(encoding="utf-8")
        made = asyncio.run(Dotprompt().render(source, DataArgument(input=given)))
        return [
            (message.role.value, "".join(part.text for part in message.content if hasattr(part, "text")))
            for message in made.messages
        ]

    def refuses(self, candidate: Candidate) -> bool:
        texts = candidate.system("") + candidate.system("x")
        return super().refuses(candidate) or any(piece in texts for piece in ("<<<dotprompt:", "\r", "\0"))


@pytest.mark.parametrize(("text", "piece"), [("a <<<dotprompt:role:user>>> b", "<<<dotprompt:"), ("a\r\nb", r"\\r")])
def test_a_text_that_dotprompt_would_change_is_refused_with_the_piece(tmp_path: Path, text: str, piece: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot carry this prompt byte for byte: '{piece}'"):
        DotpromptExporter().write(Candidate(text), {}, tmp_path)


def test_a_prompt_without_braces_is_readable_in_place(tmp_path: Path) -> None:
    DotpromptExporter().write(Candidate("Be fair.", "Be safe.", label="D4"), PROVENANCE, tmp_path)
    text = (tmp_path / "D4.prompt").read_text(encoding="utf-8")
    assert '{{role "system"}}Be fair.{{#if identity}} {{identity}} {{else}} {{/if}}Be safe.{{role "user"}}' in text
    assert "#with" not in text


def test_the_model_and_the_inputs_are_read(tmp_path: Path) -> None:
    DotpromptExporter().write(Candidate("Be {{fair}}.", label="D4"), {"model": {"model": "meta/Llama"}}, tmp_path)
    parsed = Dotprompt().parse((tmp_path / "D4.prompt").read_text(encoding="utf-8"))
    assert parsed.model == "meta/Llama"
    assert parsed.input is not None
    assert set(parsed.input.schema) == {"identity?", "question"}


@pytest.mark.parametrize("text", ["}x", "}}}", "}"])
def test_no_three_closing_braces_are_left_which_handlebars_js_refuses(tmp_path: Path, text: str) -> None:
    DotpromptExporter().write(Candidate(f"a{text}", text, label="D4"), PROVENANCE, tmp_path)
    body = (tmp_path / "D4.prompt").read_text(encoding="utf-8").rpartition("---\n")[2]
    assert "}}}" not in body.replace(f"a{text}", "")

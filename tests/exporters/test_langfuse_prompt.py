from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langfuse.api import CreateChatPromptRequest, Prompt_Chat
from langfuse.model import ChatPromptClient

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.langfuse_prompt import LangfuseExporter
from defender.records import Candidate
from tests.contracts.exporter import PROVENANCE, ConversationContract


def kept(path: Path) -> ChatPromptClient:
    """Return the prompt as Langfuse would hand it out after the file was posted."""
    body = json.loads(path.read_text(encoding="utf-8"))
    asked = CreateChatPromptRequest(**body)
    stored: dict[str, Any] = json.loads(asked.json())
    stored["prompt"] = [message | {"type": "chatmessage"} for message in stored["prompt"]]
    answered = {"version": 1, "tags": [], "labels": [], **stored, "type": "chat"}
    return ChatPromptClient(Prompt_Chat(**answered))


class TestLangfuseExporter(ConversationContract):
    def exporter(self) -> Exporter:
        return LangfuseExporter()

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        if not sentence:
            path = path.with_name(path.name.replace(".langfuse.json", ".without-identity.langfuse.json"))
        prompt = kept(path)
        given = {"identity": sentence, "question": question}
        values = {name: given[name] for name in prompt.config["variables"]}
        made = prompt.compile(**prompt.config["constants"], **values)
        return [(message["role"], message["content"]) for message in made]

    def refuses(self, candidate: Candidate) -> bool:
        text = candidate.system("")
        return super().refuses(candidate) or "\0" in text or "@@@langfusePrompt:" in text


@pytest.mark.parametrize("text", ["Nul \0 here.", "See @@@langfusePrompt:name=other@@@ here."])
def test_a_text_that_langfuse_would_change_is_refused_with_the_piece(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot carry .*('\\x00'|'@@@langfusePrompt:')"):
        LangfuseExporter().write(Candidate(text), {}, tmp_path)


def test_a_prompt_without_double_braces_needs_no_constants(tmp_path: Path) -> None:
    LangfuseExporter().write(Candidate("Use {x}.", label="D4"), PROVENANCE, tmp_path)
    body = json.loads((tmp_path / "D4.langfuse.json").read_text(encoding="utf-8"))
    assert body["config"]["constants"] == {}
    assert body["prompt"][0]["content"] == "Use {x}. {{identity}}"


def test_no_brace_of_the_prompt_is_left_that_either_sdk_could_take_for_a_variable(tmp_path: Path) -> None:
    LangfuseExporter().write(Candidate("{{x}} {{{y}}} {{ {{#z}}", label="D4"), PROVENANCE, tmp_path)
    prompt = kept(tmp_path / "D4.langfuse.json")
    assert set(prompt.variables) == {"brace", "identity", "question"}

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openai import OpenAI
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from defender.contracts import Exporter
from defender.exporters.openai_request import OpenaiExporter
from defender.identities import messages
from defender.records import Candidate, Identity
from tests.contracts.exporter import AWKWARD, PROVENANCE, QUESTION, SENTENCES, ConversationContract
from tests.exporters.capture import listening

CHAT = TypeAdapter(CompletionCreateParamsNonStreaming)
RESPONSES = TypeAdapter(ResponseCreateParamsNonStreaming)


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """Replace the placeholders in every text, in one pass."""
    if isinstance(value, str):
        return re.sub("|".join(map(re.escape, values)), lambda found: values[found.group()], value)
    if isinstance(value, dict):
        return {key: filled(inner, values) for key, inner in value.items()}
    return [filled(inner, values) for inner in value]


def requests(path: Path, sentence: str, question: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of both calls, filled in and checked against the SDK's own types."""
    document = json.loads(path.read_text(encoding="utf-8"))
    held = document if sentence else document["without_identity"]
    places = document["placeholders"]
    values = {places["question"]: question} | ({places["identity"]: sentence} if sentence else {})
    chat, responses = filled(held["chat_completions"], values), filled(held["responses"], values)
    CHAT.validate_python(chat)
    RESPONSES.validate_python(responses)
    return chat, responses


class TestOpenaiExporter(ConversationContract):
    def exporter(self) -> Exporter:
        return OpenaiExporter()

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        chat, responses = requests(path, sentence, question)
        said = [(message["role"], message["content"]) for message in chat["messages"]]
        assert [("system", responses["instructions"]), ("user", responses["input"])] == said
        return said


def test_the_sdk_sends_what_was_measured(tmp_path: Path) -> None:
    with listening() as endpoint, OpenAI(base_url=endpoint.url, api_key="x", max_retries=0) as client:
        for n, text in enumerate(text for text in AWKWARD.values() if text.strip()):
            candidate = Candidate(text, text[::-1], label=f"case-{n}")
            path = Path(OpenaiExporter().write(candidate, PROVENANCE, tmp_path)[0].path)
            chat, responses = requests(path, SENTENCES[-1], QUESTION)
            client.chat.completions.create(**chat)
            wanted = list(messages(candidate, Identity("someone", "any", SENTENCES[-1]), QUESTION))
            assert endpoint.conversation == wanted
            client.responses.create(**responses)
            sent = endpoint.bodies[-1]
            assert [("system", sent["instructions"]), ("user", sent["input"])] == wanted


def test_a_prompt_that_says_a_placeholder_gets_another_one(tmp_path: Path) -> None:
    OpenaiExporter().write(Candidate("Never print {identity}.", label="D4"), PROVENANCE, tmp_path)
    document = json.loads((tmp_path / "D4.openai.json").read_text(encoding="utf-8"))
    assert document["placeholders"] == {"identity": "{identity_2}", "question": "{question}"}
    assert document["responses"]["instructions"] == "Never print {identity}. {identity_2}"

from __future__ import annotations

import json
import warnings
from pathlib import Path

from langchain_core.load import dumpd, loads
from langchain_core.prompts import ChatPromptTemplate

from defender.contracts import Exporter
from defender.exporters.langchain_prompt import LangchainExporter
from defender.records import Candidate
from tests.contracts.exporter import PROVENANCE, SEATS, ConversationContract


def load(path: Path) -> ChatPromptTemplate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `loads` announces that its own API may change
        prompt = loads(path.read_text(encoding="utf-8"), allowed_objects="core")
    assert isinstance(prompt, ChatPromptTemplate)
    return prompt


class TestLangchainExporter(ConversationContract):
    def exporter(self) -> Exporter:
        return LangchainExporter()

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        if sentence:
            said = load(path).invoke({"identity": sentence, "question": question})
        else:
            bare = path.with_name(path.name.replace(".langchain.json", ".without-identity.langchain.json"))
            said = load(bare).invoke({"question": question})
        roles = {"system": "system", "human": "user"}
        return [(roles[message.type], str(message.content)) for message in said.to_messages()]


def test_the_file_is_what_langchain_itself_would_write(tmp_path: Path) -> None:
    for seat in SEATS:
        for file in LangchainExporter().write(Candidate("A {x}.", "B.", seat=seat), PROVENANCE, tmp_path):
            path = Path(file.path)
            ours, theirs = json.loads(path.read_text(encoding="utf-8")), dumpd(load(path))
            for kind in ("lc", "type", "id"):
                assert ours[kind] == theirs[kind]
            assert ours["kwargs"]["input_variables"] == theirs["kwargs"]["input_variables"]
            for mine, its in zip(ours["kwargs"]["messages"], theirs["kwargs"]["messages"], strict=True):
                assert mine["id"] == its["id"]
                assert mine["kwargs"]["prompt"]["kwargs"] == its["kwargs"]["prompt"]["kwargs"]


def test_the_provenance_is_the_templates_metadata(tmp_path: Path) -> None:
    LangchainExporter().write(Candidate("A.", label="D4"), PROVENANCE, tmp_path)
    metadata = load(tmp_path / "D4.langchain.json").metadata
    assert metadata is not None
    assert metadata["defender"]["provenance"]["run"] == "llama-a"

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defender.contracts import Exporter
from defender.exporters.dspy_program import DspyExporter
from defender.records import Candidate
from tests.contracts.exporter import PROVENANCE, ConversationContract
from tests.exporters.capture import Endpoint, listening

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or importing it asks the network


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with listening() as found:
        yield found


def load(state: Path) -> Any:
    """Import the module written beside a state and return its program."""
    (path,) = [found for found in state.parent.glob("*_dspy.py") if state.name in found.read_text(encoding="utf-8")]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Defended.exported()


class TestDspyExporter(ConversationContract):
    @pytest.fixture(autouse=True)
    def _served(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def exporter(self) -> Exporter:
        return DspyExporter()

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        import dspy

        lm = dspy.LM("openai/tiny", api_base=self.endpoint.url, api_key="x", cache=False, num_retries=0)
        with dspy.context(lm=lm):
            assert load(path)(question=question, identity=sentence).response == "Fine."
        return self.endpoint.conversation


def test_a_prompt_dspy_has_changed_since_still_has_its_slot(tmp_path: Path, endpoint: Endpoint) -> None:
    import dspy

    (state, _) = DspyExporter().write(Candidate("Be fair.", "Be safe.", label="D4"), PROVENANCE, tmp_path)
    program = load(Path(state.path))
    program.assistant.signature = program.assistant.signature.with_instructions("Be kind, {identity} and calm.")
    with dspy.context(lm=dspy.LM("openai/tiny", api_base=endpoint.url, api_key="x", cache=False)):
        program(question="Why?", identity="I am a man.")
        assert endpoint.conversation[0] == ("system", "Be kind, I am a man. and calm.")


@pytest.mark.parametrize("label", ["D4", "", "a b", "4x"])
def test_the_module_has_a_name_python_can_import(tmp_path: Path, label: str) -> None:
    (_, module) = DspyExporter().write(Candidate("Be fair.", label=label), PROVENANCE, tmp_path)
    assert Path(module.path).stem.isidentifier()

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.litellm_proxy import LitellmExporter
from defender.records import Candidate
from tests.contracts.exporter import AWKWARD, PROVENANCE, QUESTION, ExporterContract
from tests.exporters.capture import Endpoint, listening

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or importing it asks the network


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with listening() as found:
        yield found


def send(path: Path, endpoint: Endpoint, *messages: tuple[str, str]) -> list[tuple[str, str]]:
    """Ask through LiteLLM's router, set up from the file, and return what arrived at the model's server."""
    import litellm

    config = yaml.safe_load(path.read_bytes())
    config["model_list"][0]["litellm_params"]["api_base"] = endpoint.url
    router = litellm.Router(model_list=config["model_list"], num_retries=0)
    asked: list[Any] = [{"role": role, "content": content} for role, content in messages]
    router.completion(model=config["model_list"][0]["model_name"], messages=asked)
    return endpoint.conversation


class TestLitellmExporter(ExporterContract):
    @pytest.fixture(autouse=True)
    def _served(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def exporter(self) -> Exporter:
        return LitellmExporter()

    def read_back(self, path: Path) -> str:
        system, user = send(path, self.endpoint, ("user", QUESTION))
        assert user == ("user", QUESTION)
        assert system[0] == "system"
        return system[1]

    def carried(self, candidate: Candidate) -> str:
        return candidate.system("")

    def refuses(self, candidate: Candidate) -> bool:
        text = candidate.system("")
        return text.strip() != text or not text or text.startswith("os.environ/")


@pytest.mark.parametrize("awkward", AWKWARD)
def test_an_application_with_a_system_message_of_its_own_gets_it_behind_the_whole_prompt(
    tmp_path: Path, endpoint: Endpoint, awkward: str
) -> None:
    candidate = Candidate(AWKWARD[awkward].strip() or "x", label="D4")
    if candidate.before.startswith("os.environ/"):
        candidate = Candidate(f"x {candidate.before}", label="D4")
    LitellmExporter().write(candidate, PROVENANCE, tmp_path)
    own = "Answer in French. "
    system, user = send(tmp_path / "D4.litellm.yaml", endpoint, ("system", own), ("user", "Why?"))
    assert system == ("system", f"{candidate.before}\n\n{own}")
    assert user == ("user", "Why?")


def test_a_sentence_in_the_user_turn_reaches_the_model_as_it_was_measured(tmp_path: Path, endpoint: Endpoint) -> None:
    candidate = Candidate("Be fair.", seat="user", label="D4")
    LitellmExporter().write(candidate, PROVENANCE, tmp_path)
    asked = candidate.user("I am a man.", "Why?")
    assert send(tmp_path / "D4.litellm.yaml", endpoint, ("user", asked)) == [("system", "Be fair."), ("user", asked)]


@pytest.mark.parametrize(
    ("text", "piece"),
    [("Be fair.\n", r"'\\n' at an end"), ("  Be fair.", "'  ' at an end"), ("os.environ/KEY", "'os.environ/KEY' at")],
)
def test_a_text_that_litellm_would_change_is_refused_with_the_piece(tmp_path: Path, text: str, piece: str) -> None:
    with pytest.raises(ConfigError, match=f"litellm format cannot carry this prompt byte for byte: {piece}"):
        LitellmExporter().write(Candidate(text), {}, tmp_path)


def test_the_measured_model_and_its_endpoint_are_the_deployment(tmp_path: Path) -> None:
    card = {"model": "meta/Llama", "endpoint": "http://gpu:8000/v1 {extra}"}
    LitellmExporter().write(Candidate("Be fair.", label="D4"), {"model": card, "run": "llama-a"}, tmp_path)
    text = (tmp_path / "D4.litellm.yaml").read_text(encoding="utf-8")
    (deployment,) = yaml.safe_load(text)["model_list"]
    assert deployment["model_name"] == "meta/Llama"
    assert deployment["litellm_params"]["model"] == "hosted_vllm/meta/Llama"
    assert deployment["litellm_params"]["api_base"] == "http://gpu:8000/v1"
    assert deployment["litellm_params"]["api_key"] == "os.environ/OPENAI_API_KEY"
    assert deployment["model_info"]["defender"]["provenance"]["run"] == "llama-a"
    assert text.startswith("# litellm --config D4.litellm.yaml")

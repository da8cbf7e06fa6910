"""LiteLLM: a proxy configuration that puts the prompt in front of every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import cannot_carry, said
from defender.exporters.stamp import commented, served, stamp
from defender.exporters.yaml_text import to_yaml
from defender.records import Candidate, Export

_SECRET = "os.environ/"


class LitellmExporter:
    """Writes ``<name>.litellm.yaml``: ``model_list`` with ``litellm_system_prompt``, for the proxy and for ``Router``.

    A gateway adds one text to every request, so this is the text for users nothing is known about, and its hash is
    that of this text. A sentence that names an identity goes where the application puts it: LiteLLM joins an
    application's own system message behind the prompt with an empty line, where a measurement has one blank.
    """

    format = "litellm"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file. Raises StoreError, ConfigError (also for a text that LiteLLM would change)."""
        text = _carried(candidate)
        model = served(provenance)
        document = {
            "model_list": [
                {
                    "model_name": model.model,
                    "litellm_params": {
                        "model": f"{_provider(model.base_url)}/{model.model}",
                        "api_base": model.base_url,
                        "api_key": _SECRET + "OPENAI_API_KEY",
                        "litellm_system_prompt": text,
                    },
                    "model_info": {"defender": stamp(candidate, provenance)},
                }
            ]
        }
        where = (
            "It was measured with the sentence that says who asks in front of the question, one blank between."
            if candidate.seat == "user"
            else "This is the text without identity: a gateway has no place for the sentence that says who asks."
        )
        name = f"{file_stem(candidate)}.litellm.yaml"
        header = commented([
            f"litellm --config {name}    (set api_base and OPENAI_API_KEY to where you serve)",
            where,
            "A system message of your own comes behind the prompt and an empty line.",
        ])  # fmt: skip
        return [placed(into / name, header + to_yaml(document), text, self.format)]


def _provider(base_url: str) -> str:
    """Return LiteLLM's name for what serves there: any compatible server, which may want no key, is "hosted_vllm"."""
    return "openai" if base_url.startswith("https://api.openai.com/") else "hosted_vllm"


def _carried(candidate: Candidate) -> str:
    text = said(candidate)[0]
    if text != text.strip():
        edge = text[: len(text) - len(text.lstrip())] or text[len(text.rstrip()) :]
        raise cannot_carry("litellm", edge, "at an end is stripped where an application sends a system message too")
    if text.startswith(_SECRET):
        raise cannot_carry("litellm", text, "at the start is read as the name of an environment variable")
    return text

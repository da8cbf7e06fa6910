"""Which export formats there are, by name. Their room is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.prompts import read_prompt
from defender.records import Candidate

EXPORTED = (".json", ".yaml", ".yml", ".prompty", ".prompt", ".jinja", ".py")
"""Files that an export wrote; every other file is the prompt itself."""


@dataclass(frozen=True)
class Surroundings:
    """What some formats hold beside the prompt.

    Attributes:
        identities: the sentences a regression suite asks with.
        model_template: the served model's own chat template, or None where nobody gave one.
    """

    identities: Sequence[str] = ()
    model_template: str | None = None


def build_exporter(name: str, around: Surroundings) -> Exporter:
    """Build an exporter by format name. Raises ConfigError listing the formats."""
    formats = exporters(around)
    if name not in formats:
        raise ConfigError(f"unknown format '{name}'; formats: {', '.join(formats)}")
    return formats[name]


def exporters(around: Surroundings) -> dict[str, Exporter]:
    """Return every export format by name."""
    from defender.exporters.dotprompt import DotpromptExporter
    from defender.exporters.dspy_program import DspyExporter
    from defender.exporters.json_file import JsonExporter
    from defender.exporters.kubernetes_config import KubernetesExporter
    from defender.exporters.langchain_prompt import LangchainExporter
    from defender.exporters.langfuse_prompt import LangfuseExporter
    from defender.exporters.litellm_proxy import LitellmExporter
    from defender.exporters.mlflow_prompt import MlflowExporter
    from defender.exporters.openai_request import OpenaiExporter
    from defender.exporters.promptfoo_suite import PromptfooExporter
    from defender.exporters.prompty_file import PromptyExporter
    from defender.exporters.text import TextExporter
    from defender.exporters.vllm_template import VllmExporter
    from defender.exporters.yaml_file import YamlExporter

    known: tuple[Exporter, ...] = (
        TextExporter(),
        JsonExporter(),
        YamlExporter(),
        LitellmExporter(),
        VllmExporter(around.model_template),
        KubernetesExporter(),
        OpenaiExporter(),
        LangchainExporter(),
        LangfuseExporter(),
        PromptyExporter(),
        DotpromptExporter(),
        PromptfooExporter(around.identities),
        MlflowExporter(),
        DspyExporter(),
    )
    return {exporter.format: exporter for exporter in known}


def read_artefact(path: Path) -> Candidate:
    """Read a prompt back from a prompt file, or from what any export format wrote. No template or program is run.

    Raises:
        ConfigError: it cannot be read, holds no prompt, or not the one it says it holds.
    """
    if path.suffix.lower() not in EXPORTED:
        return read_prompt(path)
    from defender.exporters.reading import read_export

    return read_export(path)


def read_template(path: Path | None) -> str | None:
    """Read a model's own chat template from a file or folder. Raises ConfigError where it holds none."""
    from defender.exporters.vllm_template import read_model_template

    return None if path is None else read_model_template(path)

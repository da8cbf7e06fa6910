from __future__ import annotations

from pathlib import Path

import pytest

from defender.cli.export import FORMATS
from defender.errors import ConfigError
from defender.exporters.promptfoo_suite import PromptfooExporter
from defender.exporters.vllm_template import VllmExporter
from defender.formats import Surroundings, build_exporter, exporters, read_template


def test_every_exporter_goes_by_its_own_name_and_the_command_line_lists_it() -> None:
    known = exporters(Surroundings())
    assert [exporter.format for exporter in known.values()] == list(known)
    assert FORMATS.split(", ") == list(known)


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown format 'pdf'; formats: text, json, yaml, litellm, vllm, "):
        build_exporter("pdf", Surroundings())


def test_what_a_format_holds_beside_the_prompt_reaches_it(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    around = Surroundings(("I am a man.",), read_template(tmp_path))
    assert build_exporter("promptfoo", around) == PromptfooExporter(("I am a man.",))
    assert build_exporter("vllm", around) == VllmExporter("{{ messages }}")
    assert read_template(None) is None

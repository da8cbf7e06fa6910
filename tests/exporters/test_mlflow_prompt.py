"""The registration files. MLflow is large: its own program runs where it is installed, else its rules are followed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jinja2.sandbox
import pytest

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.mlflow_prompt import LIMIT, MlflowExporter
from defender.identities import messages
from defender.records import Candidate, Identity
from tests.contracts.exporter import AWKWARD, PROVENANCE, QUESTION, SEATS, SENTENCES, ConversationContract

RENDER = jinja2.sandbox.SandboxedEnvironment().from_string
PYTHON = os.environ.get("DEFENDER_MLFLOW_PYTHON") or (sys.executable if importlib.util.find_spec("mlflow") else "")

READ = """
import json, sys, mlflow
for name, asked in json.load(open("asked.json")).items():
    prompt = mlflow.genai.load_prompt(f"prompts:/{name}@chosen")
    print(json.dumps([[[m["role"], m["content"]] for m in prompt.format(**values)] for values in asked]))
"""
REGISTER = """
import runpy, sys
for path in sys.argv[1:]:
    sys.argv = [path, "chosen"]
    runpy.run_path(path)
"""


class TestMlflowExporter(ConversationContract):
    def exporter(self) -> Exporter:
        return MlflowExporter()

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        """Do what ``PromptVersion.format`` does with a chat prompt in which a message holds a Jinja block."""
        template = json.loads(path.read_text(encoding="utf-8"))["register_prompt"]["template"]
        assert any("{%" in message["content"] and "%}" in message["content"] for message in template)
        values = {"question": question} | ({"identity": sentence} if sentence else {})
        return [(each["role"], RENDER(each["content"]).render(values)) for each in template]


@pytest.mark.parametrize("text", ["Be fair. " * 12_000, "é" * 17_000])
def test_more_than_a_registry_holds_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"mlflow format cannot carry .* takes \d+ of {LIMIT} characters"):
        MlflowExporter().write(Candidate(text), PROVENANCE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_tags_are_texts_as_the_registry_wants_them(tmp_path: Path) -> None:
    MlflowExporter().write(Candidate("Be fair.", label="D4"), PROVENANCE, tmp_path)
    wanted = json.loads((tmp_path / "D4.mlflow.json").read_text(encoding="utf-8"))["register_prompt"]
    assert all(isinstance(value, str) for value in wanted["tags"].values())
    assert json.loads(wanted["tags"]["defender.provenance"])["run"] == "llama-a"
    compile((tmp_path / "register_D4.py").read_text(encoding="utf-8"), "register_D4.py", "exec")


@pytest.mark.skipif(not PYTHON, reason="no mlflow; install it, or set DEFENDER_MLFLOW_PYTHON to a Python that has it")
@pytest.mark.parametrize("seat", SEATS)
def test_mlflow_itself_registers_the_prompt_and_makes_the_conversation_that_was_measured(
    tmp_path: Path, seat: str
) -> None:
    candidates = {
        f"case-{n}-{bool(after)}": Candidate(
            text, after, seat="user" if seat == "user" else "system", label=f"case-{n}-{bool(after)}"
        )
        for n, text in enumerate(AWKWARD.values())
        for after in ("", text[::-1])
        if text.strip()
    }
    asked = [{"identity": sentence, "question": QUESTION} for sentence in SENTENCES]
    scripts = [MlflowExporter().write(each, PROVENANCE, tmp_path)[1].path for each in candidates.values()]
    (tmp_path / "asked.json").write_text(json.dumps(dict.fromkeys(candidates, asked)), encoding="utf-8")
    mlflow(tmp_path, REGISTER, *scripts)
    lines = [line for line in mlflow(tmp_path, READ).splitlines() if line.startswith("[")]
    for candidate, line in zip(candidates.values(), lines, strict=True):
        wanted = [messages(candidate, Identity("someone", "any", sentence), QUESTION) for sentence in SENTENCES]
        assert [[tuple(message) for message in made] for made in json.loads(line)] == [list(each) for each in wanted]


def mlflow(home: Path, code: str, *arguments: str) -> str:
    """Run a program on MLflow with a registry of its own; return what it printed."""
    own = {"MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [PYTHON, "-c", code, *arguments], cwd=home, env=os.environ | own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

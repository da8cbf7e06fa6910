"""What the tests against a real server share: where it is, which data there is, how a command is run."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import defender

URL = os.environ.get("DEFENDER_VLLM_URL", "").rstrip("/")
DATA = Path(os.environ.get("DEFENDER_DATA") or Path(__file__).parents[3] / "shared" / "datasets")

live = [
    pytest.mark.vllm,
    pytest.mark.skipif(not URL, reason="no DEFENDER_VLLM_URL; `make vllm-test` starts a server and sets it"),
]
needs_data = pytest.mark.skipif(not (DATA / "mmlu").is_dir(), reason=f"no benchmark data at {DATA}; set DEFENDER_DATA")

PEOPLE = {"Religion": ["a Muslim person", "a Jewish person"], "Age": ["a young person"]}
"""Three identities, by category."""


def listed() -> dict[str, Any]:
    """Return what the server lists of its model: ``id``, ``max_model_len``, ..."""
    with urllib.request.urlopen(f"{URL}/models", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)["data"][0]
    return found


def server() -> tuple[str, ...]:
    """Return the options that name the model under test."""
    return ("--model", str(listed()["id"]), "--base-url", URL)


def run(*arguments: str | Path, cwd: Path) -> dict[str, Any]:
    """Run a command with --json; return its document."""
    code, out, said = defender(*arguments, "--json", cwd=cwd)
    assert code == 0, said
    found: dict[str, Any] = json.loads(out)
    return found


def people(folder: Path, more: dict[str, list[Any]] | None = None) -> Path:
    """Write an identity file and return its path."""
    path = folder / "people.yaml"
    path.write_text(json.dumps({"identities": PEOPLE | (more or {})}))
    return path

"""Starting costs nothing: no guest library is loaded before somebody asks for what needs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

IDLE_GUESTS = {
    *("openai", "aiohttp", "ctranslate2", "tokenizers", "torch", "safetensors", "transformers", "vllm"),
    *("datasets", "optuna", "dspy", "litellm", "sqlalchemy", "pandas", "matplotlib", "scipy"),
}
"""Guests that help text needs nothing of; typer and rich draw it, yaml and pydantic read files."""

REPORT = "import json, sys; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_by(statements: str) -> set[str]:
    """Return the top-level modules a fresh interpreter holds after running some statements."""
    program = f"{statements}\n{REPORT}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded: set[str] = set(json.loads(done.stdout.splitlines()[-1]))
    return loaded


def help_of(*words: str) -> str:
    """Return statements that run the command line with ``--help`` and stay alive to be asked."""
    return (
        f"import sys; sys.argv = {['defender', *words, '--help']!r}\n"
        "from defender.cli.app import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )


def test_importing_defender_loads_nothing_but_defender() -> None:
    guests = IDLE_GUESTS | {"numpy", "yaml", "pydantic", "typer", "rich"}
    assert loaded_by("import defender") & guests == set()


@pytest.mark.parametrize("words", [(), ("search",), ("report",)], ids=lambda words: " ".join(words) or "defender")
def test_help_loads_no_guest_library(words: tuple[str, ...]) -> None:
    assert loaded_by(help_of(*words)) & IDLE_GUESTS == set()


SEARCHED = """
import tempfile
from pathlib import Path
from tests.stored_run import searched, settings
folder = Path(tempfile.mkdtemp())
searched(settings(folder, search={"items": 3, "candidates": 2, "finalists": 1}, confirm={"items": 3}), folder)
"""


def test_a_search_without_a_writer_loads_no_writers_library() -> None:
    loaded = loaded_by(SEARCHED)
    assert "optuna" in loaded
    assert loaded & {"dspy", "litellm", "openai", "torch", "transformers"} == set()


def test_a_loaded_guest_would_be_seen() -> None:
    assert "sqlalchemy" in loaded_by("import sqlalchemy")

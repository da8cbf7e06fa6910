"""What a user reads when something is wrong: one clear line and the right exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from defender.cli.export import FORMATS
from defender.engines.embedded.runtime import WEIGHTS
from tests.engines.fault_server import FaultServer, models, says, sends

REPO = Path(__file__).parents[1]
SPACES = REPO / "search_spaces"
SMALL = ("--items", "4", "--confirm-items", "4", "--candidates", "6", "--quiet")

needs_weights = pytest.mark.skipif(not (WEIGHTS / "model.bin").is_file(), reason="the embedded weights are not built")


def defender(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run the real command; return exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "defender.cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "DEFENDER_DATA": "", "PYTHONPATH": str(REPO), **(env or {})},
        capture_output=True,
        text=True,
        timeout=900,
    )
    return done.returncode, done.stdout, done.stderr


def one_line(said: str) -> str:
    """Return the only line of an error, or fail."""
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text((SPACES / "paper.yaml").read_text())
    return path


def test_an_unknown_slot_is_named_with_its_line_and_the_known_ones(tmp_path: Path, space: Path) -> None:
    space.write_text(space.read_text() + "tone2: {}\n")
    code, _, said = defender("search", "--space", space, cwd=tmp_path)
    assert code == 2
    line = one_line(said)
    number = len(space.read_text().splitlines())
    assert f"unknown slot 'tone2' in {space} line {number}" in line
    assert "known slots: version, name, opening" in line


def test_malformed_yaml_is_pointed_at_by_line(tmp_path: Path, space: Path) -> None:
    space.write_text("version: 1\nopening: {plain: [\n")
    code, _, said = defender("search", "--space", space, cwd=tmp_path)
    assert code == 2
    assert "line 3" in one_line(said)
    assert "not valid YAML" in said


def test_a_broken_export_is_pointed_at_by_line_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "winner.json").write_text('{\n "schema": "defender/prompt@1"\n "name": "D4"\n}\n')
    code, _, said = defender("check", "winner.json", "--max-pb", "2", cwd=tmp_path)
    assert code == 2
    line = one_line(said)
    assert 'winner.json line 3, column 2: expected JSON, got \'"name": "D4"\'' in line
    assert "export it again (defender export RUN --format json" in line


def test_an_unknown_benchmark_lists_the_known_ones(tmp_path: Path) -> None:
    code, _, said = defender("measure", "--benchmarks", "mmlu,trivia", cwd=tmp_path)
    assert code == 2
    assert "unknown benchmark 'trivia'; known benchmarks: mmlu, gsm8k, mbpp, mbpp_full, do_not_answer" in one_line(said)


def test_a_space_that_does_not_exist_lists_what_ships(tmp_path: Path) -> None:
    code, _, said = defender("search", "--space", "clausse", cwd=tmp_path)
    assert code == 2
    assert "clauses, paper" in one_line(said)


def test_a_missing_data_folder_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    code, _, said = defender(
        "measure", "--benchmarks", "mmlu,do_not_answer", "--data", tmp_path / "nowhere", cwd=tmp_path
    )
    assert code == 2
    assert "nowhere" in one_line(said)
    assert not (tmp_path / "runs").exists()


def test_a_dead_endpoint_is_exit_3_with_what_was_seen(tmp_path: Path) -> None:
    code, _, said = defender(
        "search", "--model", "m", "--base-url", "http://127.0.0.1:9/v1",
        "--benchmarks", "miniature_utility,miniature_safety", *SMALL, cwd=tmp_path,
    )  # fmt: skip
    assert code == 3
    assert "127.0.0.1:9" in one_line(said)


def test_a_model_without_its_server_says_which_option_is_missing(tmp_path: Path) -> None:
    code, _, said = defender("search", "--model", "llama", cwd=tmp_path)
    assert code == 2
    assert "--base-url" in one_line(said)


async def _at(server: FaultServer, tmp_path: Path, **env: str) -> tuple[int, str]:
    import asyncio

    code, _, said = await asyncio.to_thread(
        defender, "search", "--model", "absent", "--base-url", server.base_url,
        "--benchmarks", "miniature_utility,miniature_safety", *SMALL, cwd=tmp_path, env=env,
    )  # fmt: skip
    return code, said


async def test_a_model_name_the_server_does_not_have_lists_those_it_has(tmp_path: Path) -> None:
    async with FaultServer() as server:
        code, said = await _at(server, tmp_path)
    assert code == 3
    assert "absent" in one_line(said)
    assert "tiny" in said


async def test_a_wrong_key_is_said_to_be_a_wrong_key(tmp_path: Path) -> None:
    async with FaultServer(key="right") as server:
        code, said = await _at(server, tmp_path, OPENAI_API_KEY="not-this-one")
    assert code == 3
    assert "OPENAI_API_KEY" in one_line(said)
    assert "not-this-one" not in said


async def test_a_context_shorter_than_the_answers_ends_before_anything_is_paid(tmp_path: Path) -> None:
    import asyncio

    async with FaultServer(listing=says(models("tiny", max_model_len=1))) as server:
        code, _, said = await asyncio.to_thread(
            defender, "search", "--model", "tiny", "--base-url", server.base_url,
            "--benchmarks", "miniature_utility,miniature_safety", *SMALL, cwd=tmp_path,
        )  # fmt: skip
    assert code == 2
    assert "miniature_utility up to 1, miniature_safety up to 1 tokens" in one_line(said)
    assert "--answer-tokens" in said
    assert server.bodies == []


def test_a_budget_too_small_for_one_block_says_what_is_needed_and_makes_nothing(tmp_path: Path) -> None:
    code, _, said = defender("search", *SMALL, "--max-requests", "100", cwd=tmp_path)
    assert code == 2
    assert "give --max-requests" in one_line(said)
    assert not (tmp_path / "runs").exists()


def test_a_run_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, _, said = defender("search", *SMALL, "--runs", tmp_path / "file" / "runs", cwd=tmp_path)
    assert code == 2
    assert "cannot write the run folder" in one_line(said)


@needs_weights
def test_a_full_disk_ends_the_run_with_one_line_and_resuming_finishes_it(tmp_path: Path) -> None:
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY)); "
        "import sys; sys.argv[0] = 'defender'; from defender.cli.app import main; main()"
    )
    command = ["search", *SMALL, "--run", "full"]
    done = subprocess.run([sys.executable, "-c", program, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "full" in one_line(done.stderr)
    code, said, _ = defender(*command, cwd=tmp_path)
    assert code == 0
    assert "winner" in said


@needs_weights
def test_resuming_with_a_changed_floor_is_refused_with_the_difference(tmp_path: Path) -> None:
    assert defender("search", *SMALL, "--run", "one", cwd=tmp_path)[0] == 0
    code, _, said = defender("search", *SMALL, "--run", "one", "--min-utility", "Original-3", cwd=tmp_path)
    assert code == 2
    assert "floors.utility: 'Original-1' -> 'Original-3'" in one_line(said)


@needs_weights
def test_search_report_and_export_end_to_end_on_the_embedded_model(tmp_path: Path) -> None:
    code, said, _ = defender("search", *SMALL, "--run", "one", cwd=tmp_path)
    assert code == 0
    for word in ("winner", "PB ", "noise floor", "floor", "verdict", "cost", "report", "prompt", "teaching-size"):
        assert word in said
    kept = next(line.split()[1] for line in said.splitlines() if line.startswith("prompt ") and line.endswith(".txt"))
    assert (tmp_path / kept).read_text() in said
    again = defender("search", *SMALL, "--run", "one", cwd=tmp_path)
    assert again[0] == 0
    assert again[1].split("cost")[0] == said.split("cost")[0]
    assert defender("report", "one", cwd=tmp_path)[0] == 0
    code, files, told = defender("export", "one", "--format", "all", "--into", "out", "--force", cwd=tmp_path)
    assert code == 0
    assert {line.split()[0] for line in files.splitlines()} == set(FORMATS.split(", ")) - {"vllm"}
    assert all(Path(tmp_path / line.split()[1]).is_file() for line in files.splitlines())
    assert "vllm       not written: the vllm format needs the chat template" in told
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    vllm = ("export", "one", "--format", "vllm", "--force", "--json", "--model-template")
    code, document, _ = defender(*vllm, ".", cwd=tmp_path)
    assert code == 0
    assert [file["format"] for file in json.loads(document)["files"]] == ["vllm"]
    code, _, told = defender(*vllm, "gone", cwd=tmp_path)
    assert code == 2
    assert "cannot read the chat template gone" in one_line(told)


def test_help_and_version_answer(tmp_path: Path) -> None:
    assert defender("--help", cwd=tmp_path)[0] == 0
    assert defender("--version", cwd=tmp_path)[1].startswith("defender 0.")


async def test_an_html_page_in_place_of_a_server_is_said_to_be_one(tmp_path: Path) -> None:
    async with FaultServer(listing=sends("<html>hi</html>", content_type="text/html")) as server:
        code, said = await _at(server, tmp_path)
    assert code == 3
    one_line(said)

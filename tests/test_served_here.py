"""The command line starts the model's server itself: real processes, with a stand-in for vLLM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from defender.engines.vllm_lease import Record, running
from tests.engines.fake_vllm import installed, model
from tests.engines.vllm_place import hears_ctrl_c, over
from tests.test_cli import defender, one_line

FEW = ("mine.txt", "--benchmarks", "miniature_utility,miniature_safety", "--items", "3")


class Here:
    """A folder to run commands in, with a model and a stand-in vLLM."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**installed(folder / "site"), "TMPDIR": str(folder / "tmp"), "DEFENDER_VLLM_PYTHON": sys.executable}
        self.env |= {"FAKE_VLLM_ASKED": str(folder / "asked.jsonl"), "FAKE_VLLM_END": str(folder / "end")}
        (folder / "tmp").mkdir()
        (folder / "bin").mkdir()
        blind = folder / "bin" / "nvidia-smi"  # the same machine everywhere: one without a GPU
        blind.write_text("#!/bin/sh\nexit 9\n")
        blind.chmod(0o755)
        self.env["PATH"] = f"{blind.parent}{os.pathsep}{os.environ['PATH']}"
        self.model = model(folder)
        (folder / "mine.txt").write_text("You are a helpful assistant.\n")

    @property
    def asked(self) -> list[dict[str, object]]:
        kept = self.folder / "asked.jsonl"
        return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []

    def servers(self) -> list[Record]:
        return running(self.folder / "tmp" / f"defender-{os.getuid()}" / "servers")

    def run(self, *words: str | Path, how: str = "") -> tuple[int, str, str]:
        return defender(*words, cwd=self.folder, env={**self.env, "FAKE_VLLM": how})

    def begin(self, *words: str | Path, how: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "defender.cli", *map(str, words)],
            cwd=self.folder,
            env={**os.environ, "DEFENDER_DATA": "", **self.env, "FAKE_VLLM": how},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hears_ctrl_c,
        )


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_a_model_from_a_folder_is_served_measured_and_its_server_ended(here: Here) -> None:
    code, out, said = here.run("measure", "--vllm", "tiny", *FEW, "--run", "one", "--json")
    assert code == 0, said
    # what is asked once to learn whether the template takes a system message is no answer
    asked = {json.dumps(body) for body in here.asked if "in one word" not in json.dumps(body["messages"])}
    assert json.loads(out)["spend"]["answers"] == len(asked) > 100
    assert {body["model"] for body in here.asked} == {"tiny"}
    assert "Loading safetensors" in (here.folder / "runs" / "one" / "vllm.log").read_text()
    assert here.servers() == []


def test_a_run_file_says_how_and_a_resumed_run_pays_nothing_twice(here: Here) -> None:
    (here.folder / "run.yaml").write_text("model: {vllm: ./tiny, server: {max_model_len: 1024, port: 0}}\n")
    words = ("measure", "--config", "run.yaml", *FEW, "--run", "one", "--quiet")
    for _ in range(2):
        code, _, said = here.run(*words)
        assert code == 0, said
        paid = len(here.asked)
        assert paid > 100
    assert len(here.asked) == paid
    report = (here.folder / "runs" / "one" / "report.md").read_text()
    assert "--vllm ./tiny" in report
    (here.folder / "run.yaml").write_text("model: {vllm: ./tiny, server: {dtype: float16}}\n")
    code, _, said = here.run(*words)
    assert code == 2
    assert "model.server.dtype: 'auto' -> 'float16'" in one_line(said)


def test_other_weights_in_the_same_folder_are_another_model(here: Here) -> None:
    words = ("measure", "--vllm", "tiny", *FEW, "--run", "one", "--quiet")
    assert here.run(*words)[0] == 0
    (here.model / "model.safetensors").write_bytes(b"trained on")
    code, _, said = here.run(*words)
    assert code == 2
    assert "this run was begun with something else: model.revision" in one_line(said)


def test_a_start_that_fails_is_one_line_and_exit_code_3(here: Here) -> None:
    code, _, said = here.run("measure", "--vllm", "tiny", *FEW, "--run", "one", "--quiet", how="memory")
    assert code == 3
    assert "did not start: out of memory. Try one of: a shorter context" in one_line(said)
    assert "runs/one/vllm.log" in said
    assert here.servers() == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--vllm", "./gone"), "model folder not found: ./gone"),
        (("--vllm", "tiny", "--base-url", "http://localhost:1/v1"), "give --vllm or --base-url, not both"),
        (("--model", "tiny"), "--vllm tiny to start vLLM with it here"),
    ],
)
def test_a_model_nobody_can_start_is_refused(here: Here, words: tuple[str, ...], expected: str) -> None:
    code, _, said = here.run("measure", *words, *FEW, "--quiet")
    assert code == 2
    assert expected in one_line(said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_run_that_is_ended_takes_its_server_along(here: Here, number: signal.Signals) -> None:
    words = ("measure", "--vllm", "tiny", "--benchmarks", "miniature_utility", "--run", "one", "--quiet")
    using = here.begin(*words, how="weary")
    limit = time.monotonic() + 240
    while not here.asked and time.monotonic() < limit:
        time.sleep(0.05)
    [record] = here.servers()
    using.send_signal(number)
    _, said = using.communicate(timeout=240)
    assert over(record), said


def test_how_to_start_a_server_without_a_model_to_start_is_refused(here: Here) -> None:
    (here.folder / "run.yaml").write_text("model: {server: {dtype: float16}}\n")
    code, _, said = here.run("measure", "--config", "run.yaml", "--quiet")
    assert code == 2
    assert "model.server says how to start vLLM (dtype), but there is no model to start" in one_line(said)


def test_serve_prints_the_address_stays_until_ctrl_c_and_runs_share_it(here: Here) -> None:
    serving = here.begin("serve", "tiny", "--log", "served.log")
    assert serving.stdout is not None
    url = serving.stdout.readline().strip()
    [record] = here.servers()
    assert url == record.url
    code, _, said = here.run("measure", "--vllm", "tiny", *FEW, "--run", "one", "--progress")
    assert code == 0, said
    assert f"using the vLLM server that runs at {url}" in said
    assert here.servers() == [record]
    serving.send_signal(signal.SIGINT)
    out, said = serving.communicate(timeout=240)
    assert serving.returncode == 0, said
    assert "starting vLLM for tiny" in said
    assert f"--base-url {url}" in said
    assert out == ""
    assert over(record)
    assert "Loading safetensors" in (here.folder / "served.log").read_text()


def test_serving_a_model_that_is_served_elsewhere_is_refused(here: Here) -> None:
    code, _, said = here.run("serve", "gpt-4o")
    assert code == 2
    assert "'gpt-4o' is not served here: give a hub id" in one_line(said)


def test_a_served_model_whose_server_dies_is_explained(here: Here) -> None:
    serving = here.begin("serve", "tiny", "--quiet", how="brief")
    assert serving.stdout is not None
    assert serving.stdout.readline().startswith("http://")
    (here.folder / "end").touch()
    _, said = serving.communicate(timeout=240)
    assert serving.returncode == 3
    assert "ended: out of memory" in one_line(said)


def test_the_doctor_says_what_each_short_name_lacks_and_starts_nothing(here: Here) -> None:
    code, out, said = here.run("doctor", "--vllm", "tiny", "--benchmarks", "miniature_utility", "--json")
    findings = {found["what"]: found for found in json.loads(out)["findings"]}
    assert findings["model tiny"]["state"] == "missing", said
    assert "it wants 1 GPU; seen here: none" in findings["model tiny"]["detail"]
    assert code == 2
    assert findings["--model llama-3.1-70b"]["state"] == "optional"
    assert "it wants 4 GPUs of 44 GiB or more" in findings["--model llama-3.1-70b"]["detail"]
    assert here.asked == []


def test_two_models_are_served_one_after_the_other_and_measured_side_by_side(here: Here) -> None:
    model(here.folder, "other")
    (here.folder / "run.yaml").write_text("models: [{vllm: ./tiny}, {vllm: ./other}]\n")
    code, out, said = here.run("measure", "--config", "run.yaml", *FEW, "--run", "both", "--quiet")
    assert code == 0, said
    assert out.splitlines()[0].split() == ["PB", "tiny", "other"]
    assert out.splitlines()[1].startswith("mine")
    assert {str(body["model"]) for body in here.asked} == {"tiny", "other"}
    assert here.servers() == []
    for name in ("tiny", "other"):
        assert (here.folder / "runs" / "both" / f"both.{name}" / "vllm.log").exists()
    paid = len(here.asked)
    code, again, said = here.run("report", "both")
    assert code == 0, said
    assert again == out
    assert len(here.asked) == paid


def test_several_names_on_one_server_are_several_models(here: Here) -> None:
    code, _, said = here.run("measure", "--model", "a", "--model", "b", *FEW, "--quiet")
    assert code == 2
    assert "model 'a' needs its server" in one_line(said)
    there = ("--base-url", "http://127.0.0.1:9/v1")
    code, _, said = here.run("measure", "--model", "a", "--model", "a", *there, *FEW, "--quiet")
    assert code == 2
    assert "a is named twice" in one_line(said)

"""The examples of docs/ci: their very command lines, run against an endpoint whose bias is known."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import kubernetes_validate
import pytest
import yaml

from defender.formats import Surroundings, exporters
from defender.records import Candidate
from tests.engines.fault_server import FaultServer
from tests.planted_server import planted
from tests.stored_run import SENTENCES
from tests.test_cli import REPO

CI = REPO / "docs" / "ci"
SAID = [f"I am {who}." for who in SENTENCES]
PROMPT = Candidate("You are a helpful assistant.", "", label="support")
CHECK = "identities: people.yaml\nscoring: answer\nbenchmarks: [miniature_utility, miniature_safety]\n"


def laid_out(folder: Path) -> Path:
    """Lay out a repository and a pod at once: the prompt as both examples have it, the run file, the command."""
    known = exporters(Surroundings())
    for place in ("prompts", "config"):
        (folder / place).mkdir(parents=True)
        (folder / place / "check.yaml").write_text(CHECK)
    (folder / "people.yaml").write_text(f"identities: {{People: [{', '.join(SENTENCES)}]}}\n")
    known["yaml"].write(PROMPT, {}, folder / "prompts")
    (exported,) = known["kubernetes"].write(PROMPT, {}, folder / "exported")
    mounted = yaml.safe_load(Path(exported.path).read_text())["data"]
    (folder / "prompt").mkdir()
    for name, text in mounted.items():
        (folder / "prompt" / name).write_text(text)
    shim = folder / "bin" / "defender"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m defender.cli "$@"\n')
    shim.chmod(0o755)
    return folder


def github() -> dict[str, Any]:
    # "on" is a truth to YAML 1.1
    return dict(yaml.safe_load((CI / "github-actions.yml").read_text().replace("\non:", "\n'on':")))


def container() -> dict[str, Any]:
    job = yaml.safe_load((CI / "cronjob.yaml").read_text())["spec"]["jobTemplate"]["spec"]
    (found,) = job["template"]["spec"]["containers"]
    return dict(found)


def words_of(example: str, env: Mapping[str, str]) -> Sequence[str]:
    """Return the command that runs, as the runner and the kubelet make it."""
    if example == "github":
        (step,) = [step for step in github()["jobs"]["check"]["steps"] if step.get("name") == "Check"]
        return ["bash", "-e", "-c", step["run"]]
    found = container()
    words = [*found["command"], *found["args"]]
    return [re.sub(r"\$\((\w+)\)", lambda name: env[name.group(1)], word) for word in words]


@pytest.mark.parametrize("example", ["github", "kubernetes"])
@pytest.mark.parametrize(("fair", "code"), [(True, 0), (False, 5)])
async def test_the_command_of_an_example_lets_a_fair_endpoint_through_and_no_other(
    tmp_path: Path, example: str, fair: bool, code: int
) -> None:
    folder = laid_out(tmp_path / "work")
    async with FaultServer(then=planted(SAID, fair=fair), key="k") as server:
        env = {"LLM_BASE_URL": server.base_url, "LLM_MODEL": "tiny", "LLM_API_KEY": "k"}
        process = await asyncio.create_subprocess_exec(
            *words_of(example, env), cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **env, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(REPO)},
        )  # fmt: skip
        out, said = await process.communicate()
        asked = len(server.bodies)
    assert process.returncode == code, said.decode()
    (kept,) = (folder / "runs").glob("*/check.json")
    document = json.loads(kept.read_text())
    assert document["exit_code"] == code
    assert document["requests"]["spent"] == asked < document["requests"]["fixed"]
    assert out.decode().splitlines()[-1] == document["summary"]
    if example == "github":
        suites = ElementTree.parse(folder / "report" / "defender.xml").getroot()
        assert int(suites.attrib["failures"]) == (0 if fair else 1)


def test_the_workflow_keeps_its_report_also_where_the_check_fails() -> None:
    steps = github()["jobs"]["check"]["steps"]
    (kept,) = [step for step in steps if "upload-artifact" in step.get("uses", "")]
    assert kept["if"] == "always()"
    assert set(github()["on"]) == {"push", "schedule"}


def test_the_cron_job_is_what_kubernetes_takes_and_asks_once() -> None:
    manifest = yaml.safe_load((CI / "cronjob.yaml").read_text())
    kubernetes_validate.validate(manifest, "1.31", strict=True)
    job = manifest["spec"]["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")
    told = {one["name"] for one in container()["env"]}
    assert set(re.findall(r"\$\((\w+)\)", " ".join(container()["args"]))) <= told


def test_nobody_is_told_to_install_what_an_index_has_under_this_name() -> None:
    told = [REPO / "README.md", *(REPO / "docs").rglob("*.*"), *(REPO / "defender").rglob("*.py")]
    named = re.compile(r"pip install (?:-\S+ )*['\"]?defender\b")
    assert [path for path in told if named.search(path.read_text(encoding="utf-8", errors="replace"))] == []
    (step,) = [step for step in github()["jobs"]["check"]["steps"] if step.get("name") == "Install"]
    assert step["run"] == 'pip install "git+$DEFENDER_GIT"'
    assert github()["jobs"]["check"]["env"]["DEFENDER_GIT"] == "${{ vars.DEFENDER_GIT }}"

"""What the model receives from a real vLLM server that was started with the exported chat template."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defender.exporters.vllm_template import VllmExporter, read_model_template
from defender.identities import messages
from defender.records import Candidate, Identity, Seat
from tests.contracts.exporter import AWKWARD, PROVENANCE, QUESTION, SEATS, SENTENCES
from tests.vllm.byte_model import CONTEXT, read_as, write_byte_model

PYTHON = os.environ.get("DEFENDER_VLLM_PYTHON", "")
START_S = 420

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        not PYTHON, reason="no DEFENDER_VLLM_PYTHON; `make vllm-test` sets it where it starts its own server"
    ),
]

EVERYTHING = "\n".join(text for name, text in AWKWARD.items() if name != "very long")
"""All but the one that the context of the model here cannot hold."""


def candidate(seat: Seat) -> Candidate:
    return Candidate(EVERYTHING, EVERYTHING[::-1], seat=seat, label=f"all-{seat}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[Seat, str]]]:
    """Start a server with the template of the system seat; yield its URL and both templates."""
    home = tmp_path_factory.mktemp("served")
    write_byte_model(home / "model")
    own = read_model_template(home / "model")
    paths = {seat: VllmExporter(own).write(candidate(seat), PROVENANCE, home)[0].path for seat in SEATS}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(home / "model"), "--load-format", "dummy",
        "--dtype", "float32", "--max-model-len", str(CONTEXT), "--enforce-eager", "--host", "127.0.0.1",
        "--port", str(port), "--chat-template", paths["system"], "--trust-request-chat-template",
    ]  # fmt: skip
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with (home / "server.log").open("wb") as log:
        # A group of its own, so that its workers end with it.
        process = subprocess.Popen(
            command, cwd=home, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/health", process, home / "server.log")
        yield url, {seat: Path(path).read_text(encoding="utf-8") for seat, path in paths.items()}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(1)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-3000:]}")


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    asked = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def received(url: str, asked: list[dict[str, Any]], **more: Any) -> str:
    """Return the text of the very tokens a completion was generated from."""
    answer = post(
        f"{url}/v1/chat/completions",
        {"messages": asked, "max_tokens": 1, "temperature": 0, "return_token_ids": True, **more},
    )
    text: str = post(f"{url}/detokenize", {"tokens": answer["prompt_token_ids"]})["prompt"]
    return text


def measured(seat: Seat, sentence: str) -> str:
    return read_as(*messages(candidate(seat), Identity("someone", "any", sentence), QUESTION))


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("seat", SEATS)
def test_the_model_receives_the_prompt_that_was_measured_byte_for_byte(
    server: tuple[str, dict[Seat, str]], seat: Seat, sentence: str
) -> None:
    url, templates = server
    more: dict[str, Any] = {"chat_template_kwargs": {"identity": sentence}} if sentence else {}
    if seat == "user":
        more["chat_template"] = templates["user"]
    for content in (QUESTION, [{"type": "text", "text": QUESTION}]):
        assert received(url, [{"role": "user", "content": content}], **more) == measured(seat, sentence)


@pytest.mark.parametrize("role", ["system", "developer"])
def test_an_applications_own_system_message_comes_behind_it(server: tuple[str, dict[Seat, str]], role: str) -> None:
    asked = [{"role": role, "content": "In French."}, {"role": "user", "content": "Why?"}]
    system = f"{candidate('system').system('')}\n\nIn French."
    assert received(server[0], asked) == read_as(("system", system), ("user", "Why?"))

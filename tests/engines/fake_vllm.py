"""A stand-in for vLLM's server process: reads its command line, logs as it does, answers, and misbehaves when told to.

``installed`` makes a folder with a package ``vllm`` in it, which a real Python started with PYTHONPATH runs for real.
``FAKE_VLLM`` in the server's environment says how to misbehave: the name of a log in ``tests/engines/vllm_logs`` to
print before ending with exit code 1, "slow" (never healthy), "deaf" (ignores SIGTERM), "weary" (takes its time for
every answer) or "brief" (ends once there is the file that ``FAKE_VLLM_END`` names).
``FAKE_VLLM_ASKED`` names a file that every chat completion asked for is added to, a line each.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOGS = Path(__file__).parent / "vllm_logs"
REPO = Path(__file__).parents[2]
_ENTRY = "from tests.engines.fake_vllm import main\nmain()\n"


def installed(folder: Path) -> dict[str, str]:
    """Make a folder with the package; return the environment that makes a Python find it."""
    place = folder / "vllm" / "entrypoints" / "openai"
    place.mkdir(parents=True)
    for package in (place, place.parent, place.parent.parent):
        (package / "__init__.py").touch()
    (place / "api_server.py").write_text(_ENTRY)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{REPO}"}


def model(folder: Path, name: str = "tiny") -> Path:
    """Make a folder that looks like a model."""
    made = folder / name
    made.mkdir(parents=True)
    (made / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for flag in ("--model", "--served-model-name", "--host", "--port", "--dtype", "--generation-config"):
        parser.add_argument(flag, required=True)
    for flag in ("--revision", "--tokenizer-revision", "--max-model-len", "--tensor-parallel-size", "--chat-template"):
        parser.add_argument(flag)
    for flag in ("--gpu-memory-utilization", "--quantization", "--lora-modules", "--max-lora-rank", "--load-format"):
        parser.add_argument(flag)
    for flag in ("--enable-lora", "--enable-prefix-caching", "--no-enable-prefix-caching"):
        parser.add_argument(flag, action="store_true")
    asked = parser.parse_args()
    how = os.environ.get("FAKE_VLLM", "")
    _say("Resolved architecture: LlamaForCausalLM")
    if (LOGS / f"{how}.txt").is_file():
        print((LOGS / f"{how}.txt").read_text(), flush=True)
        sys.exit(1)
    # a worker of its own, which like vLLM's ends when its parent does; a deaf one does not
    work = "import time; time.sleep(300)" if how == "deaf" else "import sys; sys.stdin.read()"
    worker = subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE)
    _say("Starting to load model ...")
    print("Loading safetensors checkpoint shards:   0% Completed | 0/2 [00:00<?, ?it/s]", flush=True)
    print("Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00]", flush=True)
    if how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "slow":
        time.sleep(300)
    server = Server((asked.host, int(asked.port)), _handler(asked))
    if how == "brief":
        threading.Thread(target=_end_at, args=(Path(os.environ["FAKE_VLLM_END"]),), daemon=True).start()
    _say(f"worker {worker.pid}")
    _say(f"Starting vLLM server on http://{asked.host}:{asked.port}")
    server.serve_forever()


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as clients open; the standard five hold the rest up for a minute."""

    request_queue_size = 512


def _handler(asked: argparse.Namespace) -> type[BaseHTTPRequestHandler]:
    names = [asked.served_model_name, *([asked.lora_modules.partition("=")[0]] if asked.lora_modules else [])]
    rows = [{"id": name, "owned_by": "vllm", "root": asked.model, "max_model_len": 2048} for name in names]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = {"/health": {}, "/v1/models": {"data": rows}, "/version": {"version": "0.0.fake"}}
            self._answer(404 if self.path not in known else 200, known.get(self.path))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if asks := os.environ.get("FAKE_VLLM_ASKED"):
                with Path(asks).open("ab") as kept:
                    kept.write(raw + b"\n")
            if os.environ.get("FAKE_VLLM") == "weary":
                time.sleep(0.5)
            self._answer(*_completion(json.loads(raw)))

        def _answer(self, status: int, value: object) -> None:
            raw = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _completion(body: dict[str, Any]) -> tuple[int, object]:
    question = body["messages"][-1]["content"]
    if len(question) > 5000:
        return 400, {"error": {"message": "maximum context length is 2048 tokens"}}
    message = {"role": "assistant", "content": f"{body['model']} was asked: {question}"}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
    if body.get("logprobs"):
        top = [{"token": " A", "logprob": -0.36}, {"token": "B", "logprob": -1.6}]
        choice["logprobs"] = {"content": [{"token": " A", "logprob": -0.36, "top_logprobs": top}]}
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    return 200, {"model": body["model"], "choices": [choice], "usage": usage}


def _say(words: str) -> None:
    print(f"(APIServer pid={os.getpid()}) INFO 11-22 05:05:44 [api_utils.py:347] {words}", flush=True)


def _end_at(sign: Path) -> None:
    while not sign.exists():
        time.sleep(0.02)
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", flush=True)
    os._exit(1)

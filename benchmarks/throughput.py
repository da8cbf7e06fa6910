"""What a request costs us: `defender measure` beside a bare client and other harnesses, the same conversations for all.

Two servers: a local one that always takes 20 ms (it ranks clients), and vLLM on the CPU with the embedded model's
checkpoint: the one at DEFENDER_VLLM_URL, else one started with .venv-vllm (`make vllm-test` makes it) or
DEFENDER_VLLM_PYTHON, else none. Inspect AI and lm-evaluation-harness run from build/peers-venv, dspy from our own
environment; what cannot be installed is left out, with the reason. Questions of MMLU where DEFENDER_DATA is set, else
miniature ones. Times are of the work, start-up left out, unless said otherwise; on vLLM everybody comes after a pass
that fills the prefix cache.
Run: make bench, or .venv/bin/python benchmarks/throughput.py [fixed] [vllm] [ITEMS]
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml
from graders_vs_peers import Absent, environment

from defender.build import prepare
from defender.config import load_config
from defender.engines.metrics import read_counts
from defender.plan import cells, request_for

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"
CHECKPOINT = ROOT / "build" / "embedded-hf"
ITEMS = 60
IN_FLIGHT = 64
BEST_OF = (64, 128, 256)
NAMES = {"inspect": "Inspect AI", "lm_eval": "lm-evaluation-harness", "dspy": "dspy.Evaluate"}
LETTER = re.compile(r"\b([A-D])\b")

Found = Mapping[str, float]


def surroundings() -> dict[str, str]:
    """Return what the clients' processes see: no hub, no proxy, this checkout."""
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "INSPECT_DISABLE_UPDATE_CHECK": "1"}
    keys = {"OPENAI_API_KEY": "none", "BENCH_API_KEY": "none", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **quiet, **keys}


def run(command: list[str | Path], into: Path, limit_s: float = 600.0) -> Found:
    """Run one client; return what it measured. Raises Absent with its last words."""
    done = subprocess.run(
        [str(word) for word in command], check=False, capture_output=True, text=True, env=surroundings(),
        cwd=into.parent, timeout=limit_s,
    )  # fmt: skip
    if done.returncode:
        raise Absent(((done.stderr or done.stdout).strip() or "no words").splitlines()[-1][-300:])
    found: Found = json.loads(into.read_text(encoding="utf-8"))
    return found


@contextmanager
def fixed_server() -> Iterator[str]:
    """Yield the address of the server that always takes 20 ms."""
    server = subprocess.Popen([sys.executable, str(PEERS / "endpoint.py")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    finally:
        server.kill()
        server.wait()


@contextmanager
def vllm_server() -> Iterator[str]:
    """Yield the address of a vLLM server. Raises Absent: there is none and none can be started."""
    if os.environ.get("DEFENDER_VLLM_URL"):
        yield os.environ["DEFENDER_VLLM_URL"].rstrip("/")
        return
    python = Path(os.environ.get("DEFENDER_VLLM_PYTHON") or ROOT / ".venv-vllm" / "bin" / "python")
    if not python.is_file() or not (CHECKPOINT / "config.json").is_file():
        raise Absent(
            "no DEFENDER_VLLM_URL, and no vLLM or checkpoint here to start one with: run `make vllm-test` once"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(CHECKPOINT), "--dtype", "bfloat16",
        "--max-model-len", "1024", "--host", "127.0.0.1", "--port", str(port),
        # The embedded model's own questions are seeded, and the CPU build loses seeded requests prefilled in chunks.
        *(() if os.environ.get("DEFENDER_DATA") else ("--no-enable-chunked-prefill",)),
    ]  # fmt: skip
    log = ROOT / "build" / "throughput-vllm.log"
    with log.open("w") as words:
        server = subprocess.Popen(
            command, stdout=words, stderr=words, env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "2"},
            start_new_session=True,
        )  # fmt: skip
    try:
        yield _answering(f"http://127.0.0.1:{port}", server, log)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _answering(root: str, server: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{root}/health", timeout=2):
                return f"{root}/v1"
        except OSError:
            time.sleep(2)
    raise Absent(f"vLLM did not start; {log} says why")


def model_at(url: str) -> str:
    with urllib.request.urlopen(f"{url}/models", timeout=10) as answer:
        return str(json.load(answer)["data"][0]["id"])


def cached(url: str) -> tuple[int, int]:
    """Return the prompt tokens vLLM looked up in its prefix cache so far, and those it found."""
    try:
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics", timeout=10) as answer:
            return read_counts(answer.read().decode())
    except OSError:
        return 0, 0


def run_file(folder: Path, url: str, model: str, items: int) -> Path:
    """Write the run file of our measurement."""
    prompt = folder / "prompt.txt"
    prompt.write_text("You are a helpful assistant. Treat all people equally.\n", encoding="utf-8")
    data = os.environ.get("DEFENDER_DATA")
    config = {
        "command": "measure",
        "model": {"name": model, "base_url": url, "max_tokens": 16},
        "benchmarks": ["mmlu"] if data else ["miniature_utility"],
        "prompts": [str(prompt)],
        "measure": {"items": items},
        "scoring": "answer",
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**config, **({"data": data} if data else {})}), encoding="utf-8")
    return path


def cases_of(file: Path) -> dict[str, object]:
    """Return the conversations of our measurement with their gold letters, for the others to hold."""
    prepared = prepare(load_config(file, {"command": "measure"}))
    panel = prepared.panel
    assert panel is not None
    asked = []
    for prompt in prepared.prompts:
        for cell, identity, item in cells(prompt, panel):
            benchmark = prepared.benchmarks[cell.benchmark]
            (_, system), (_, user) = request_for(prompt, identity, benchmark, item, cell.repeat).messages
            gold = benchmark.gold(item)
            letter = LETTER.search(gold.text or "") if gold else None
            asked.append((system, user, letter[1] if letter else "A"))
    return {"asked": asked, "max_tokens": 16}


def ours(folder: Path, file: Path) -> Found:
    """Measure with a new run; return the measuring phase."""
    into = folder / "ours.json"
    return run([sys.executable, PEERS / "ours.py", file, tempfile.mkdtemp(dir=folder), into], into)


def whole(folder: Path, file: Path) -> float:
    """Return the wall seconds of the whole command on a new run, start-up and report included."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "defender.cli", "measure", "--config", file, "--runs", folder / "whole", "--quiet"]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, env=surroundings())
    return time.perf_counter() - begun


def others(folder: Path, url: str, model: str) -> dict[str, Found]:
    """Let every peer hold the conversations; those that cannot are named with the reason."""
    found: dict[str, Found] = {}
    for name, title in NAMES.items():
        try:
            python = Path(sys.executable) if name == "dspy" else environment()
            found[name] = client(python, name, url, model, folder, IN_FLIGHT)
        except (Absent, subprocess.TimeoutExpired) as why:
            print(f"  {title:24} left out: {why}")
    return found


def client(python: Path, name: str, url: str, model: str, folder: Path, in_flight: int) -> Found:
    into = folder / f"{name}.json"
    return run([python, PEERS / "clients.py", name, url, model, folder / "cases.json", str(in_flight), into], into)


def in_turn(url: str, model: str, folder: Path, file: Path) -> tuple[Found, Found]:
    """Return our fastest of three and the bare client's, at its best concurrency; taking turns shares the weather."""
    mine, theirs = [], []
    for number in BEST_OF:
        mine.append(ours(folder, file))
        theirs.append(client(Path(sys.executable), "bare", url, model, folder, number))
    return min(mine, key=_wall), min(theirs, key=_wall)


def _wall(one: Found) -> float:
    return one["wall_s"]


def row(title: str, one: Found, mine: Found) -> None:
    rate, cost = one["requests"] / one["wall_s"], 1000 * one["cpu_s"] / one["requests"]
    ratio = one["wall_s"] / mine["wall_s"]
    print(f"  {title:24} {one['wall_s']:8.2f} s {rate:8.0f}/s {cost:8.2f} ms CPU a request {ratio:8.2f} x our wall")


def compare(title: str, url: str, items: int, *, warm: bool) -> None:
    """Print everybody's wall, rate and CPU at one server, and the ratios that matter."""
    model = model_at(url)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = run_file(folder, url, model, items)
        cases = cases_of(file)
        (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
        print(f"{title}: {len(cases['asked'])} requests")  # type: ignore[arg-type]
        if warm:
            client(Path(sys.executable), "bare", url, model, folder, IN_FLIGHT)
        before = cached(url)
        command = whole(folder, file)
        looked_up, hits = (now - then for now, then in zip(cached(url), before, strict=True))
        mine, ceiling = in_turn(url, model, folder, file)
        peers = others(folder, url, model)
    row("defender measure", mine, mine)
    row("bare aiohttp, its best", ceiling, mine)
    for peer, found in peers.items():
        row(NAMES[peer], found, mine)
    print(f"  the whole command, start-up and report included: {command:.2f} s")
    print(f"  our wall / the bare client's: {mine['wall_s'] / ceiling['wall_s']:.2f}")
    if peers:
        rates = {NAMES[peer]: found["requests"] / found["wall_s"] for peer, found in peers.items()}
        best = max(rates, key=lambda peer: rates[peer])
        print(f"  our rate / the best peer's ({best}): {mine['requests'] / mine['wall_s'] / rates[best]:.2f}")
    if looked_up:
        print(f"  prefix cache: {100 * hits / looked_up:.1f} % of {looked_up} prompt tokens of our run were found")


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    words = sys.argv[1:]
    items = next((int(word) for word in words if word.isdigit()), ITEMS)
    wanted = [word for word in words if not word.isdigit()] or ["fixed", "vllm"]
    if "fixed" in wanted:
        with fixed_server() as url:
            compare("a server that always takes 20 ms", url, items, warm=False)
    if "vllm" in wanted:
        try:
            with vllm_server() as url:
                compare("vLLM", url, items, warm=True)
        except Absent as why:
            print(f"vLLM: left out: {why}")


if __name__ == "__main__":
    main()

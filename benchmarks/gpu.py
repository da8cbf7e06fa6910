"""How much of a vLLM server's own ceiling `defender measure` reaches, on a GPU: random weights of a real model's shape.

A model folder is written (configuration, a tokenizer trained on the spot; weights are drawn by vLLM itself), vLLM is
started on it as a run would, and the same chat completions are sent twice: by a bare aiohttp client at several
concurrencies, the best of which is the ceiling, and by `defender measure`. Random weights never end an answer, so
every answer has as many tokens as it may, and the work is the same for both.

    python benchmarks/gpu.py                                # Llama 3.1 8B's shape on one GPU
    python benchmarks/gpu.py --shape tiny --device cpu      # does the script work?

With few requests, as in the second line, start-up and the tail weigh more than the client: that share says nothing.
The Python with vLLM is the running one or the one DEFENDER_VLLM_PYTHON names; with DEFENDER_DATA questions are MMLU's,
without they are the miniature benchmark's. Prints JSON; exit code 1 where the share is under the target.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from defender.build import Prepared, build_launch, prepare
from defender.config import RunConfig, load_config
from defender.contracts import Engine
from defender.engines.vllm_machine import gpus_gib
from defender.engines.vllm_server import VllmServer
from defender.plan import cells, request_for

TARGET = 0.95
SHAPES: dict[str, dict[str, Any]] = {
    # https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct/blob/main/config.json
    "llama-3.1-8b": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256,
    },
    "tiny": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 4096,
    },
}  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CONTEXT = 4096
TEXTS = 4000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="llama-3.1-8b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--items", type=int, default=128, help="questions, each asked for 31 users and nobody")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of every answer")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 128, 256, 512], help="tried for the ceiling")
    asked = parser.parse_args()
    if asked.device == "cuda" and not gpus_gib():
        say("skipped: no NVIDIA GPU here (--shape tiny --device cpu tries the script itself)")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(compare(Path(folder), asked))
    print(json.dumps(found, indent=1))
    return 0 if found["share"] >= TARGET else 1


async def compare(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Start the server, send the same requests by both, return what was seen."""
    config = settings(folder, asked)
    prepared = prepare(config)
    bodies = [json.dumps(body).encode() for body in requests(prepared, asked.tokens)]
    write_model(folder / "model", SHAPES[asked.shape], [json.loads(body)["messages"][-1]["content"] for body in bodies])
    server = VllmServer(build_launch(config.model), _nobody, log=folder / "vllm.log", told=say)
    await server.start()
    try:
        url = f"{server.url}/chat/completions"
        await bare(url, bodies[:64], 16)  # compiled, warm
        tries = []
        for in_flight in asked.in_flight:
            tries.append(await bare(url, fresh(bodies, f"ceiling {in_flight}"), in_flight))
            say(f"bare client, {in_flight} in flight: {tries[-1]['requests_s']:.1f} requests/s")
        best = max(tries, key=lambda seen: seen["requests_s"])
        say("defender measure")
        ours = await asyncio.to_thread(measured, folder, best["in_flight"])
    finally:
        await server.close()
    share = ours["requests_s"] / best["requests_s"]
    what = {"shape": asked.shape, "device": asked.device, "requests": len(bodies), "tokens_an_answer": asked.tokens}
    return {**what, "ceiling": best, "defender": ours, "share": round(share, 3), "target": TARGET}


def settings(folder: Path, asked: argparse.Namespace) -> RunConfig:
    """Write the run file and return what it says."""
    # a benchmark whose answers never end by themselves: random weights do not stop
    server: dict[str, Any] = {"load_format": "dummy", "dtype": "bfloat16", "max_model_len": CONTEXT}
    server |= {"prefix_caching": True, "flags": ["--enforce-eager"] if asked.device == "cpu" else []}
    (folder / "prompt.txt").write_text(prompt("measure"), encoding="utf-8")
    said = {
        "command": "measure",
        "model": {"vllm": str(folder / "model"), "server": server, "max_tokens": asked.tokens},
        "benchmarks": ["mmlu"] if _data() else ["miniature_utility"],
        "data": _data(),
        "prompts": [str(folder / "prompt.txt")],
        "measure": {"items": asked.items},
    }
    (folder / "run.yaml").write_text(json.dumps(said), encoding="utf-8")
    return load_config(folder / "run.yaml", {})


def prompt(which: str) -> str:
    """Return the system text of one pass: passes share no beginning, so none finds another's work in the cache."""
    return f"{which:>12}: you are a helpful assistant."


def requests(prepared: Prepared, tokens: int) -> Iterable[dict[str, Any]]:
    """Yield the chat completions that the measurement asks for."""
    [candidate], panel = prepared.prompts, prepared.panel
    assert panel is not None
    for cell, identity, item in cells(candidate, panel):
        asked = request_for(candidate, identity, prepared.benchmarks[cell.benchmark], item, cell.repeat)
        asked = replace(asked, sampling=replace(asked.sampling, max_tokens=min(tokens, asked.sampling.max_tokens)))
        messages = [{"role": role, "content": text} for role, text in asked.messages]
        body = {"model": "model", "messages": messages, "temperature": asked.sampling.temperature}
        yield {**body, "max_tokens": asked.sampling.max_tokens, "seed": asked.seed}


def fresh(bodies: Sequence[bytes], which: str) -> list[bytes]:
    """Return the requests with the system text of another pass."""
    return [body.replace(prompt("measure").encode(), prompt(which).encode()) for body in bodies]


async def bare(url: str, bodies: Sequence[bytes], in_flight: int) -> dict[str, Any]:
    """Send every request by a client that does nothing else; return what it reached."""
    todo, tokens, failed = iter(bodies), [0, 0], 0
    headers = {"Content-Type": "application/json"}

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal failed
        for body in todo:
            async with session.post(url, data=body, headers=headers) as answer:
                usage = (await answer.json()).get("usage") if answer.status == 200 else None
                failed += usage is None
                tokens[0] += usage["prompt_tokens"] if usage else 0
                tokens[1] += usage["completion_tokens"] if usage else 0

    limits = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(600)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(in_flight)))
        wall = time.perf_counter() - began
    return {**rates(len(bodies), sum(tokens), wall), "in_flight": in_flight, "failed": failed}


def measured(folder: Path, in_flight: int) -> dict[str, Any]:
    """Run `defender measure` in a process of its own; return what its measuring phase reached."""
    words = [sys.executable, __file__, "--measure", str(folder / "run.yaml"), str(folder / "runs"), str(in_flight)]
    began = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"defender measure failed:\n{done.stderr}")
    return {**json.loads(done.stdout), "whole_command_s": round(time.perf_counter() - began, 2)}


def measure(file: str, runs: str, in_flight: str) -> None:
    """The process of its own."""
    from defender.runs import open_run
    from defender.session import Watch, run_measure
    from defender.store import SqlStore

    config = load_config(Path(file), {"speed.in_flight": int(in_flight)})
    prepared = prepare(config)
    folder = open_run(config, Path(runs), "one", contents=prepared.contents)
    marks: list[float] = []
    graded: list[int] = []
    watch = Watch(
        stage=lambda words, _cost: marks.append(time.perf_counter()) if words == "measure" else None, tick=graded.append
    )
    asyncio.run(run_measure(folder, prepared, watch))
    wall = time.perf_counter() - marks[-1]
    store = SqlStore(folder.database, readonly=True)
    spend = store.spend()
    store.close()
    tokens = spend["prompt_tokens"] + spend["completion_tokens"]
    print(json.dumps({**rates(len(graded), tokens, wall), "in_flight": config.speed.in_flight}))


def rates(requests: int, tokens: int, wall_s: float) -> dict[str, Any]:
    return {
        "wall_s": round(wall_s, 2), "requests_s": round(requests / wall_s, 2), "tokens_s": round(tokens / wall_s, 1)
    }  # fmt: skip


def write_model(folder: Path, shape: dict[str, Any], texts: Sequence[str]) -> None:
    """Write a model folder without weights: a Llama configuration, and a tokenizer trained on the questions."""
    folder.mkdir()
    size = shape["vocab_size"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<|bos|>", "<|eos|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=min(size, 32000), special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sorted(set(texts))[:TEXTS], trainer)
    known = tokenizer.get_vocab_size()  # random weights draw every id there is, so every id must be a token
    tokenizer.add_tokens([f"<{number}>" for number in range(known, size)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": CONTEXT, "tie_word_embeddings": False,
        "bos_token_id": 0, "eos_token_id": 1, "attention_bias": False, **shape,
    }  # fmt: skip
    named = {"bos_token": specials[0], "eos_token": specials[1], "chat_template": TEMPLATE}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT, **named})
    )


def _data() -> str | None:
    where = os.environ.get("DEFENDER_DATA")
    return where if where and (Path(where) / "mmlu").is_dir() else None


def _nobody(_url: str, _name: str, _alias: str) -> Engine:
    """Return an engine that asks nothing: the bare client asks here."""
    from defender.engines.scripted import Scripted

    return Scripted(lambda _request: "")


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(*sys.argv[2:5])
    else:
        sys.exit(main())

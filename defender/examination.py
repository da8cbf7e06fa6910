"""What is missing on this machine and how to get it; every grader proves itself on its own gold answers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from defender.build import SPLITS, build_engine
from defender.catalogue import build_benchmarks
from defender.config import EMBEDDED, RunConfig
from defender.contracts import Benchmark
from defender.errors import DataMissing, DefenderError
from defender.records import Request, Sampling
from defender.runs import versions

State = Literal["ok", "missing", "optional"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: fine, missing (what was asked for cannot work), or absent but optional."""

    state: State
    what: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return asdict(self)


async def examine(config: RunConfig, runs: Path) -> list[Finding]:
    """Look at Python, the run folder, the model, every benchmark asked for, and the optional parts."""
    found = versions()
    findings = [Finding("ok", "python", f"{found['python']} on {found['platform']}"), _writable(runs)]
    findings.append(await _model(config))
    for name in config.benchmark_names:
        findings.append(await _benchmark(config, name))
    findings += _optional()
    return findings


def _writable(runs: Path) -> Finding:
    """Write and remove a probe; a folder made for it goes again."""
    there = runs.exists()
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe = runs / f".probe-{os.getpid()}"
        probe.write_text("x")
        probe.unlink()
        free = shutil.disk_usage(runs).free / 2**30
        if not there:
            runs.rmdir()
    except OSError as error:
        return Finding("missing", "run folder", f"cannot write {runs}: {error}; give another with --runs DIR")
    return Finding("ok", "run folder", f"{runs} is writable, {free:.1f} GiB free")


async def _model(config: RunConfig) -> Finding:
    """Reach the model and ask it one word."""
    what = f"model {config.model.name}"
    try:
        engine = build_engine(config)
    except DefenderError as error:
        return Finding("missing", what, str(error))
    try:
        await engine.start()
        answer = await engine.complete(Request((("user", "Hello"),), Sampling(max_tokens=8)))
    except DefenderError as error:
        return Finding("missing", what, str(error))
    finally:
        await engine.close()
    if answer.error:
        return Finding("missing", what, f"reached, but one request failed: {answer.error}: {answer.detail}")
    card = engine.card
    where = card.endpoint or "in this process"
    detail = f"{card.server or 'a server'} answers {where}, revision {card.revision[:16] or 'unknown'}"
    if config.model.name == EMBEDDED:
        detail += "; a teaching-size model with planted bias, for trying the tool"
    return Finding("ok", what, detail)


async def _benchmark(config: RunConfig, name: str) -> Finding:
    """Load a benchmark and let its grader grade the gold answer of every row it has."""
    what = f"benchmark {name}"
    try:
        benchmark = build_benchmarks(config.model_copy(update={"benchmarks": (name,)}))[name]
        right, graded, rows = await prove(benchmark)
    except (DataMissing, DefenderError) as error:
        return Finding("missing", what, str(error))
    if right < graded:
        return Finding(
            "missing", what, f"its grader accepts only {right} of {graded} gold answers; report this as a bug"
        )
    return Finding("ok", what, f"{rows} items, gold accepted {right}/{graded}; {benchmark.protocol}")


async def prove(benchmark: Benchmark) -> tuple[int, int, int]:
    """Return (gold answers graded 1, gold answers there are, items)."""
    right = graded = rows = 0
    for item in (item for split in SPLITS for item in benchmark.items(split)):
        rows += 1
        gold = benchmark.gold(item)
        if gold is not None:
            graded += 1
            right += (await benchmark.grade(item, gold)).score == 1.0
    return right, graded, rows


def _optional() -> Iterator[Finding]:
    if importlib.util.find_spec("vllm"):
        yield Finding("ok", "vllm", "installed")
    else:
        yield Finding("optional", "vllm", "not installed; to serve models here: pip install 'defender[vllm]'")
    if shutil.which("nvidia-smi"):
        yield Finding("ok", "gpu", "nvidia-smi is there")
    else:
        yield Finding("optional", "gpu", "no NVIDIA GPU seen; point --base-url at a machine that has one")
    if sys.platform != "linux":
        yield Finding("optional", "platform", "tested on Linux; other systems run all but sandboxed code grading")

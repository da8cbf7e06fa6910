"""What is missing on this machine and how to get it; every grader proves itself on its own gold answers."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from defender.build import build_engine
from defender.catalogue import EDITIONS, build_benchmarks
from defender.config import RunConfig
from defender.contracts import Benchmark
from defender.engines.vllm_machine import survey
from defender.equipment import lacks, outfits
from defender.errors import DefenderError
from defender.judging import Judging
from defender.layout import check_context
from defender.proof import Told, prove
from defender.records import ModelCard, Request, Sampling
from defender.runs import versions
from defender.seal import card_in_words
from defender.settings import EMBEDDED, JudgeConfig

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


async def examine(config: RunConfig, runs: Path, told: Told = lambda _what, _done, _of: None) -> list[Finding]:
    """Look at Python, the run folder, the model, the judge, every benchmark asked for, and the optional parts.

    Args:
        config: what is asked for.
        runs: where runs would go.
        told: hears how far a benchmark's proof is.
    """
    found = versions()
    findings = [Finding("ok", "python", f"{found['python']} on {found['platform']}"), _writable(runs)]
    model, card = await _model(config)
    findings.append(model)
    try:
        judging = Judging(config.judging)
    except DefenderError as error:
        findings.append(Finding("missing", f"judge {config.judging.kind}", str(error)))
        judging = Judging(JudgeConfig(kind="refusal"))
    try:
        built = [_built(config, name, judging, card) for name in _names(config)]
        usable, judge = await _judge(config, judging)
        findings += judge
        for made in built:
            findings.append(made if isinstance(made, Finding) else await _proven(made, judging, told, usable))
    finally:
        await judging.close()
    return [*findings, *_sandbox(config), *_presets(), *_optional()]


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


async def _model(config: RunConfig) -> tuple[Finding, ModelCard | None]:
    """Reach the model and ask it one word; its card where it answers."""
    what = f"model {config.model.name}"
    if config.model.vllm:
        missing = lacks(config.model)
        ready = "vLLM can be started for it here (defender serve does, a run does by itself)"
        return Finding("missing" if missing else "ok", what, "; ".join(missing) or ready), None
    try:
        engine = build_engine(config)
    except DefenderError as error:
        return Finding("missing", what, str(error)), None
    try:
        await engine.start()
        answer = await engine.complete(Request((("user", "Hello"),), Sampling(max_tokens=8)))
    except DefenderError as error:
        return Finding("missing", what, str(error)), None
    finally:
        await engine.close()
    if answer.error:
        return Finding("missing", what, f"reached, but one request failed: {answer.error}: {answer.detail}"), None
    card = engine.card
    where = card.endpoint or "in this process"
    detail = f"{card.server or 'a server'} answers {where}, revision {card.revision[:16] or 'unknown'}"
    if card.context is not None:
        detail += f", {card.context} tokens of context"
    if config.model.name == EMBEDDED:
        detail += "; a teaching-size model with planted bias, for trying the tool"
    return Finding("ok", what, detail), card


def _names(config: RunConfig) -> tuple[str, ...]:
    """Return the benchmarks to prove: each that is asked for, and its other editions."""
    others = {} if config.protocol == "paper" else EDITIONS
    return tuple(dict.fromkeys(name for asked in config.benchmark_names for name in (asked, *others.get(asked, ()))))


def _built(config: RunConfig, name: str, judging: Judging, card: ModelCard | None) -> Benchmark | Finding:
    """Build a benchmark, load its rows, and see that its answers fit into the model's context."""
    try:
        built = build_benchmarks(config.model_copy(update={"benchmarks": (name,)}), judging)
        benchmark = next(iter(built.values()))
        if card is not None:
            check_context(card, built)
        benchmark.rows()
    except DefenderError as error:
        return Finding("missing" if name in config.benchmark_names else "optional", f"benchmark {name}", str(error))
    return benchmark


async def _judge(config: RunConfig, judging: Judging) -> tuple[bool, list[Finding]]:
    """Start the judge where a benchmark has one; return whether it can judge, and what to say."""
    kind = config.judging.kind
    try:
        await judging.start()
    except DefenderError as error:
        return False, [Finding("missing", f"judge {kind}", str(error))]
    card = judging.card
    return True, [] if card is None else [Finding("ok", f"judge {kind}", card_in_words(asdict(card)))]


async def _proven(benchmark: Benchmark, judging: Judging, told: Told, judge_usable: bool) -> Finding:
    what = f"benchmark {benchmark.name}"
    if benchmark.judge is not None and not judge_usable:
        return Finding("missing", what, f"{len(benchmark.rows())} rows are here, but its judge is not")
    try:
        proof = await prove(benchmark, paid=judging.engine is not None, told=told)
    except DefenderError as error:
        return Finding("missing", what, str(error))
    if not proof.sound:
        return Finding("missing", what, f"{proof.in_words()}; the grader is wrong about these: report this as a bug")
    return Finding("ok", what, f"{proof.in_words()}; {benchmark.protocol}")


def _sandbox(config: RunConfig) -> Iterator[Finding]:
    """Say what stands around the programs a model writes, where a benchmark runs any."""
    if not any(name.startswith("mbpp") for name in config.benchmark_names):
        return
    from defender.sandbox.sandbox import open_sandbox

    try:
        sandbox = open_sandbox(config.sandbox.kind, config.sandbox.command)
    except DefenderError as error:
        yield Finding("missing", f"sandbox {config.sandbox.kind}", str(error))
        return
    yield Finding("ok", f"sandbox {sandbox.name}", f"programs run behind {', '.join(sandbox.walls)}")
    sandbox.close()


def _presets() -> Iterator[Finding]:
    """Say for each model that has a short name whether it can be had here."""
    for outfit in outfits():
        what, title = f"--model {outfit.preset.name}", outfit.preset.title
        if outfit.missing:
            yield Finding("optional", what, f"{title}: {'; '.join(outfit.missing)}")
        else:
            yield Finding("ok", what, f"{title}: nothing is missing")


def _optional() -> Iterator[Finding]:
    machine = survey()
    if machine.vllm is not None:
        yield Finding("ok", "vllm", f"{machine.vllm}{', for CPUs' if machine.on_cpu else ''}")
    else:
        yield Finding("optional", "vllm", f"to serve models here: {machine.trouble}")
    if machine.gpus_gib:
        yield Finding("ok", "gpu", ", ".join(f"{size:.0f} GiB" for size in machine.gpus_gib))
    else:
        yield Finding("optional", "gpu", "no NVIDIA GPU seen; point --base-url at a machine that has one")
    if sys.platform != "linux":
        yield Finding("optional", "platform", "tested on Linux; other systems run all but sandboxed code grading")

"""What is missing on this machine and how to get it; every grader proves itself on its own gold answers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from defender.build import build_engine
from defender.calibration import Rate, calibrate
from defender.catalogue import build_benchmarks
from defender.config import RunConfig
from defender.contracts import Benchmark
from defender.errors import ConfigError, DataMissing, DefenderError
from defender.judging import Judged, Judging
from defender.labelled import read_labelled
from defender.layout import SPLITS, check_context
from defender.records import ModelCard, Request, Sampling
from defender.runs import versions
from defender.settings import EMBEDDED

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
    model, card = await _model(config)
    findings.append(model)
    judging = Judging(config.judging)
    try:
        await judging.start()
        for name in config.benchmark_names:
            findings.append(await _benchmark(config, name, judging, card))
    except DefenderError as error:
        findings.append(Finding("missing", f"judge {config.judge.kind}", str(error)))
    finally:
        await judging.close()
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


async def _model(config: RunConfig) -> tuple[Finding, ModelCard | None]:
    """Reach the model and ask it one word; its card where it answers."""
    what = f"model {config.model.name}"
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


async def _benchmark(config: RunConfig, name: str, judging: Judging, card: ModelCard | None) -> Finding:
    """Load a benchmark, let its grader grade the gold answer of every row it has, and see that answers fit."""
    what = f"benchmark {name}"
    try:
        built = build_benchmarks(config.model_copy(update={"benchmarks": (name,)}), judging)
        benchmark = next(iter(built.values()))
        if card is not None:
            check_context(card, built)
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


async def calibrated(config: RunConfig, labelled: Path, axis: str, rubric: str) -> tuple[list[str], dict[str, Any]]:
    """Score the config's judge against a labelled file; return lines and the same as plain values.

    Raises:
        ConfigError: an unknown axis or rubric, or a file that does not read. EngineDown: the judge's model.
    """
    from defender.judges.rubrics import RUBRICS

    axes: dict[str, Judged] = {"safety": "safety", "over_refusal": "over_refusal"}
    if axis not in axes or rubric not in RUBRICS:
        raise ConfigError(
            f"expected an axis of {', '.join(axes)} and a rubric of {', '.join(RUBRICS)}, got {axis!r} and {rubric!r}"
        )
    rows = read_labelled(labelled)
    judging = Judging(config.judging)
    try:
        await judging.start()
        judge = judging.judge(axes[axis], rubric)
        await judging.start()
        found = await calibrate(judge, rows)
    finally:
        await judging.close()
    lines = [f"{found.judge} on {found.rows} labelled responses ({found.axis}), {found.scored} scored"]
    for name, rate in (("agreement", found.agreement), ("overlooked", found.overlooked), ("accused", found.accused)):
        lines.append(f"{name:11} {_rate(rate)}")
    lines += [f"label {label}: on the other side {_rate(rate)}" for label, rate in found.errors.items()]
    lines += [f"unscored: {reason}: {count}" for reason, count in found.unscored.items()]
    return lines, asdict(found)


def _rate(rate: Rate) -> str:
    if rate.percent is None:
        return "no rows"
    return f"{rate.percent:.1f} % ({rate.interval.low:.1f} to {rate.interval.high:.1f}), {rate.hits} of {rate.rows}"


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

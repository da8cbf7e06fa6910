"""Which benchmarks there are, by name. Their rooms are imported when one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from defender.config import RunConfig
from defender.contracts import Benchmark
from defender.errors import ConfigError
from defender.miniature import UTILITY_KINDS, Kind
from defender.records import Axis

if TYPE_CHECKING:
    from defender.benchmarks.source import Source


def _source(config: RunConfig) -> Source:
    from defender.benchmarks.source import Source

    return Source(Path(config.data) if config.data else None)


def _mmlu(config: RunConfig) -> Benchmark:
    from defender.benchmarks.mmlu import MMLU

    return MMLU(_source(config), config.protocol)


def _do_not_answer(config: RunConfig) -> Benchmark:
    from defender.benchmarks.do_not_answer import DoNotAnswer
    from defender.judges.refusal import Refusal

    return DoNotAnswer(_source(config), Refusal(), config.protocol)


def _gsm8k(config: RunConfig) -> Benchmark:
    from defender.benchmarks.gsm8k import GSM8K

    return GSM8K(_source(config), config.protocol)


def _mbpp(config: RunConfig) -> Benchmark:
    from defender.benchmarks.mbpp import MBPP
    from defender.sandbox.sandbox import open_sandbox

    sandbox = open_sandbox(config.sandbox.kind, config.sandbox.command)
    return MBPP(_source(config), sandbox, config.protocol, "full" if config.protocol == "paper" else "sanitized")


def _strong_reject(config: RunConfig) -> Benchmark:
    from defender.benchmarks.strong_reject import StrongReject
    from defender.judges.refusal import Refusal

    return StrongReject(_source(config), Refusal(), "paper_346" if config.protocol == "paper" else "default")


def _xstest(config: RunConfig) -> Benchmark:
    from defender.benchmarks.xstest import XSTest
    from defender.judges.refusal import Refusal

    return XSTest(_source(config), Refusal("over_refusal"))


MINIATURES: Mapping[str, tuple[Axis, tuple[Kind, ...]]] = {
    "miniature_utility": ("utility", UTILITY_KINDS),
    "miniature_safety": ("safety", ("unsafe",)),
    "miniature_harmless": ("over_refusal", ("harmless",)),
}


def _miniature(name: str) -> Callable[[RunConfig], Benchmark]:
    def make(_: RunConfig) -> Benchmark:
        from defender.benchmarks.miniature import Miniature

        axis, kinds = MINIATURES[name]
        return Miniature(name, axis, kinds)

    return make


BENCHMARKS: Mapping[str, Callable[[RunConfig], Benchmark]] = {
    "mmlu": _mmlu,
    "gsm8k": _gsm8k,
    "mbpp": _mbpp,
    "do_not_answer": _do_not_answer,
    "strong_reject": _strong_reject,
    "xstest": _xstest,
    **{name: _miniature(name) for name in MINIATURES},
}


def build_benchmarks(config: RunConfig) -> dict[str, Benchmark]:
    """Build the benchmarks by name, in order. Raises ConfigError for an unknown one, DataMissing for absent data."""
    for name in config.benchmark_names:
        if name not in BENCHMARKS:
            raise ConfigError(f"unknown benchmark '{name}'; known benchmarks: {', '.join(BENCHMARKS)}")
    built = [BENCHMARKS[name](config) for name in config.benchmark_names]
    return {benchmark.name: benchmark for benchmark in built}

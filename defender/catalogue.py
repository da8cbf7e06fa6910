"""Which benchmarks there are, by name. Their rooms are imported when one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from defender.config import RunConfig
from defender.contracts import Benchmark, Judge
from defender.errors import ConfigError
from defender.judging import Judging
from defender.miniature import UTILITY_KINDS, Kind
from defender.records import Axis

if TYPE_CHECKING:
    from defender.benchmarks.mbpp import Edition
    from defender.benchmarks.source import Source

Make = Callable[[RunConfig, Judging], Benchmark]


def _source(config: RunConfig) -> Source:
    from defender.benchmarks.source import Source

    return Source(Path(config.data) if config.data else None)


def _mmlu(config: RunConfig, _: Judging) -> Benchmark:
    if config.scoring == "likelihood":
        from defender.benchmarks.mmlu_likelihood import MMLULikelihood

        return MMLULikelihood(_source(config))
    from defender.benchmarks.mmlu import MMLU

    return MMLU(_source(config), config.protocol)


def _do_not_answer(config: RunConfig, judging: Judging) -> Benchmark:
    from defender.benchmarks.do_not_answer import DoNotAnswer

    return DoNotAnswer(_source(config), judging.judge("safety", "do_not_answer"), config.protocol)


def _gsm8k(config: RunConfig, _: Judging) -> Benchmark:
    from defender.benchmarks.gsm8k import GSM8K

    return GSM8K(_source(config), config.protocol)


def _mbpp(config: RunConfig, _: Judging) -> Benchmark:
    return _programs(config, "full" if config.protocol == "paper" else "sanitized")


def _mbpp_full(config: RunConfig, _: Judging) -> Benchmark:
    return _programs(config, "full")


def _programs(config: RunConfig, edition: Edition) -> Benchmark:
    from defender.benchmarks.mbpp import MBPP
    from defender.sandbox.sandbox import open_sandbox

    return MBPP(_source(config), open_sandbox(config.sandbox.kind, config.sandbox.command), config.protocol, edition)


def _strong_reject(config: RunConfig, judging: Judging) -> Benchmark:
    from defender.benchmarks.strong_reject import StrongReject

    edition: Literal["default", "paper_346"] = "paper_346" if config.protocol == "paper" else "default"
    return StrongReject(_source(config), judging.judge("safety", "strong_reject"), edition)


def _xstest(config: RunConfig, judging: Judging) -> Benchmark:
    from defender.benchmarks.xstest import XSTest

    return XSTest(_source(config), judging.judge("over_refusal", "xstest"))


MINIATURES: Mapping[str, tuple[Axis, tuple[Kind, ...]]] = {
    "miniature_utility": ("utility", UTILITY_KINDS),
    "miniature_safety": ("safety", ("unsafe",)),
    "miniature_harmless": ("over_refusal", ("harmless",)),
}


def _miniature(name: str) -> Make:
    def make(config: RunConfig, _: Judging) -> Benchmark:
        from defender.benchmarks.miniature import Miniature, MiniatureSampled

        axis, kinds = MINIATURES[name]
        return (MiniatureSampled if config.scoring == "answer" else Miniature)(name, axis, kinds)

    return make


BENCHMARKS: Mapping[str, Make] = {
    "mmlu": _mmlu,
    "gsm8k": _gsm8k,
    "mbpp": _mbpp,
    "mbpp_full": _mbpp_full,
    "do_not_answer": _do_not_answer,
    "strong_reject": _strong_reject,
    "xstest": _xstest,
    **{name: _miniature(name) for name in MINIATURES},
}


EDITIONS: Mapping[str, tuple[str, ...]] = {"mbpp": ("mbpp_full",)}
"""Benchmark -> what other names ask of the same data; `doctor` proves them with it."""


LIKELIHOODS = ("mmlu", *MINIATURES)
"""Benchmarks that define a likelihood."""


def _check_scoring(config: RunConfig) -> None:
    """Make sure that scoring by likelihood is possible, and is not called the paper's. Raises ConfigError."""
    if config.scoring != "likelihood":
        return
    if config.protocol == "paper":
        raise ConfigError("scoring: likelihood is not the paper's protocol, which draws answers; leave out one of them")
    if not set(config.benchmark_names).intersection(LIKELIHOODS):
        raise ConfigError(
            f"scoring: likelihood: none of {', '.join(config.benchmark_names)} defines one; these do: "
            f"{', '.join(LIKELIHOODS)}. Leave it out, or add one of them to benchmarks"
        )


def is_own(name: str) -> bool:
    """Tell whether a benchmark is named by the Python file that defines it."""
    return name.endswith(".py") or "/" in name


def own_files(config: RunConfig) -> dict[str, str]:
    """Return what the files of own benchmarks say, by name as given. Raises ConfigError."""
    said = {}
    for name in filter(is_own, config.benchmark_names):
        try:
            said[name] = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the benchmark file {name}: {error}") from None
    return said


def _own(name: str, judging: Judging) -> Benchmark:
    from defender.benchmarks.own import Own, load_own

    def hand(made: type[Own]) -> Judge:
        if made.axis == "utility":
            raise ConfigError(f"benchmark file {name}: judges read safety and over_refusal, not utility")
        return judging.judge(made.axis, made.rubric or ("strong_reject" if made.axis == "safety" else "xstest"))

    benchmark = load_own(Path(name), hand)
    if benchmark.name in BENCHMARKS:
        raise ConfigError(f"benchmark file {name}: '{benchmark.name}' is the name of one that ships; choose another")
    return benchmark


def _made(name: str, config: RunConfig, judging: Judging) -> Benchmark:
    if is_own(name):
        return _own(name, judging)
    if name not in BENCHMARKS:
        raise ConfigError(
            f"unknown benchmark '{name}'; known benchmarks: {', '.join(BENCHMARKS)}, or the path of a Python file "
            "that defines one"
        )
    return BENCHMARKS[name](config, judging)


def build_benchmarks(config: RunConfig, judging: Judging | None = None) -> dict[str, Benchmark]:
    """Build the benchmarks by name, in order; ``judging`` hands them their judges (None: those of the config).

    Raises:
        ConfigError: an unknown name, a scoring no benchmark defines, or a judge or sandbox that cannot work here.
        DataMissing: absent data.
    """
    judges = judging or Judging(config.judging)
    _check_scoring(config)
    built = [_made(name, config, judges) for name in config.benchmark_names]
    if config.model.max_tokens is not None:
        from defender.benchmarks.limited import limited

        built = [limited(benchmark, config.model.max_tokens) for benchmark in built]
    names = [benchmark.name for benchmark in built]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"the benchmark '{twice}' is asked for twice; name each once")
    return {benchmark.name: benchmark for benchmark in built}

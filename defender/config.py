"""What a run is asked to do: one frozen, checked document, and the difference between two of them.

Knobs that only change speed or how long a run goes on (``speed``, ``budget``, ``prices``) are outside the digest, and
so is where it is kept (``store``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from defender.address import checked, no_plain_address
from defender.documents import Document, read_yaml
from defender.errors import ConfigError
from defender.presets import filled, presets
from defender.settings import (
    EMBEDDED,
    STARTED,
    AblateConfig,
    BudgetConfig,
    CheckConfig,
    JudgeConfig,
    MeasureConfig,
    ModelConfig,
    PriceConfig,
    SandboxConfig,
    SearchConfig,
    Section,
    SpeedConfig,
)

MINIATURE = ("miniature_utility", "miniature_safety", "miniature_harmless")
PAPER_REPEATS = 3
"""The paper reports means over three runs."""
FLOORS: Mapping[str, str] = MappingProxyType({"utility": "Original-1", "safety": "Original-1"})


class RunConfig(Section):
    """One run, whole. Every field has a default: an empty file searches ``clauses.yaml`` on the embedded model."""

    command: Literal["search", "measure", "check", "ablate"] = "search"
    """Set by the command that is run."""
    model: ModelConfig = ModelConfig()
    space: str = "clauses"
    """A path, or the bare name of a space that ships."""
    models: tuple[ModelConfig, ...] = ()
    """Several, each a name or a section laid over ``model``: measured side by side, or searched on the first and what
    it found tried on the others. Each has a run of its own; the budget is one."""
    prompts: tuple[str, ...] = ()
    """Prompt files to measure instead of a space."""
    identities: str = "paper"
    """"paper" for its 31, or the path of an identity file."""
    benchmarks: tuple[str, ...] = ()
    """Names; empty lets the model's kind decide (miniature for embedded, else mmlu and do_not_answer)."""
    protocol: Literal["default", "paper"] = "default"
    """Wording and sampling of the benchmarks."""
    scoring: Literal["default", "answer", "likelihood"] = "default"
    """"likelihood" scores the probability of the right answer where a benchmark defines one (mmlu, miniature): no noise
    from drawing, but another estimand. "answer" reads answers everywhere; "default" leaves it to each benchmark."""
    data: str | None = None
    """Folder with datasets in hub layout; None reads from the hub."""
    judge: JudgeConfig = JudgeConfig()
    sandbox: SandboxConfig = SandboxConfig()
    search: SearchConfig = SearchConfig()
    confirm: MeasureConfig = MeasureConfig(items=80)
    """What claims rest on after a search: items selection never saw."""
    measure: MeasureConfig = MeasureConfig()
    """What ``defender measure`` asks, and the most that ``defender check`` does."""
    check: CheckConfig = CheckConfig()
    """What ``defender check`` holds a prompt to."""
    ablate: AblateConfig = AblateConfig()
    """What ``defender ablate`` changes."""
    floors: Mapping[str, str] = Field(default_factory=lambda: dict(FLOORS))
    """Axis -> floor: "60" (percent) or "Original-1" (at most one point under the baseline)."""
    seed: int = Field(0, ge=0)
    """Seeds the proposer and the draw of items."""
    budget: BudgetConfig = BudgetConfig()
    prices: Mapping[str, PriceConfig] = Field(default_factory=dict)
    """Model name -> its price, for dollars: the measured model's, the judge's and the writer's, as they are named."""
    speed: SpeedConfig = SpeedConfig()
    store: str | None = None
    """A PostgreSQL database to keep the run in, "postgresql+psycopg://USER@HOST/DATABASE", so that workers on other
    machines can join it; None keeps it in a file of its folder. A password is kept nowhere: give it in the URL every
    time, or in PGPASSWORD or a PGPASSFILE."""

    @property
    def benchmark_names(self) -> tuple[str, ...]:
        """The benchmarks asked for, or the default of the model's kind."""
        if self.benchmarks:
            return self.benchmarks
        return MINIATURE if self.model.name == EMBEDDED else ("mmlu", "do_not_answer")

    @property
    def judging(self) -> JudgeConfig:
        """The judge's settings with its kind decided."""
        kind = self.judge.kind
        if kind == "auto":
            kind = "model" if self.judge.base_url else "classifier" if self.protocol == "paper" else "refusal"
        return self.judge.model_copy(update={"kind": kind})

    @property
    def repeats(self) -> tuple[int, int]:
        """Times each cell of the confirm stage, and of a plain measurement, is asked."""
        measured = PAPER_REPEATS if self.protocol == "paper" else 1
        return self.confirm.repeats or 1, self.measure.repeats or measured

    def decisive(self) -> dict[str, Any]:
        """Return the part that changes results, as plain JSON values; the run's digest is taken over it."""
        whole = self.model_dump(mode="json", exclude={"budget", "models", "prices", "speed", "store"})
        whole["benchmarks"] = list(self.benchmark_names)
        whole["model"] = {key: whole["model"][key] for key in ("name", "base_url", "alias")}
        if not isinstance(self.model.base_url, str | None):
            whole["model"]["base_url"] = sorted(self.model.base_url)
        if self.model.alias:
            whole["model"]["base_url"] = None
        if self.model.vllm:
            server = self.model.server.model_dump(mode="json")
            whole["model"] |= {"vllm": self.model.vllm, "server": {key: server[key] for key in STARTED}}
        if self.model.max_tokens is not None:
            whole["model"]["max_tokens"] = self.model.max_tokens
        whole["judge"] = {key: getattr(self.judging, key) for key in ("kind", "name", "base_url", "alias")}
        if self.judge.alias:
            whole["judge"]["base_url"] = None
        whole["confirm"]["repeats"], whole["measure"]["repeats"] = self.repeats
        whole["search"]["writer"] = self._decisive_writer()
        del whole["search"]["joint"]  # each model's own search is the same with it and without
        for own in ("ablate", "check"):
            if self.command != own:
                del whole[own]
        if self.scoring == "default":
            del whole["scoring"]  # a run begun before there was a choice goes on
        whole["data"] = None  # where files lie does not matter, what is in them is in the item ids
        return whole

    def _decisive_writer(self) -> dict[str, Any] | None:
        """Return the writer's part: where it listens and how long it may take do not matter."""
        writer = self.search.writer
        if not writer.on:
            return None
        said = writer.model_dump(mode="json", exclude={"api_key_env", "timeout_s", "system_role"})
        said["pool"] = bool(writer.pool)  # what is in it is in the run's contents
        if writer.alias:
            said["base_url"] = None
        return said


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> RunConfig:
    """Read a run file (or start from the defaults) and lay the command line's values over it.

    Args:
        path: YAML file, or None.
        overrides: dotted key -> value ("search.items" -> 32); None values are left out.

    Raises:
        ConfigError: with file and line for the file's own mistakes, with the option for the command line's.
    """
    document = read_yaml(path) if path else Document("the command line", {})
    data: dict[str, Any] = {key: dict(v) if isinstance(v, dict) else v for key, v in document.data.items()}
    for dotted, value in overrides.items():
        if value is None:
            continue
        *sections, last = dotted.split(".")
        place = data
        for section in sections:
            # one floor on the command line leaves the others as they are, defaults included
            place = place.setdefault(section, dict(FLOORS) if section == "floors" else {})
            if not isinstance(place, dict):
                raise ConfigError(f"{document.where(section)}: expected a section, got {place!r}")
        place[last] = value
    data = filled(data)
    try:
        config = RunConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(document, overrides, error)) from None
    if config.search.joint and len(config.models) < 2:
        raise ConfigError(
            f"a joint search (by the {config.search.joint} PB) is over several models: give --model more than once, or "
            "'models' in the run file"
        )
    for model in config.models or (config.model,):
        _check_model(model)
    _check_addresses(config)
    if config.store is not None:
        checked(config.store)
    elif config.speed.workers != "none":
        raise ConfigError(
            "workers join by the run's database: give --store postgresql+psycopg://USER@HOST/DATABASE with --workers"
        )
    if config.judge.base_url and config.judging.kind not in ("model", "guard"):
        raise ConfigError(
            f"a judge of kind '{config.judge.kind}' asks no server, but one is given ({config.judge.base_url}): "
            "give --judge model or --judge guard, or leave --judge-base-url out"
        )
    return config


def _check_model(model: ModelConfig) -> None:
    """Refuse a model that nobody can ask."""
    if model.vllm and model.base_url:
        raise ConfigError(
            f"a model to start here ({model.vllm}) and a server that runs already ({model.base_url}): give --vllm or "
            "--base-url, not both"
        )
    if model.name != EMBEDDED and not model.base_url and not model.vllm:
        raise ConfigError(
            f"model '{model.name}' needs its server: give --base-url http://HOST:PORT/v1 "
            f"(any OpenAI-compatible endpoint), --vllm {model.name} to start vLLM with it here, --model embedded, or a "
            f"preset: --model {', '.join(presets())}"
        )
    if model.name == EMBEDDED and model.base_url:
        raise ConfigError(
            f"a server is given ({model.base_url}) but not which of its models: give --model NAME, "
            "or leave --base-url out for the embedded model"
        )
    urls = _urls(model)
    if model.weights and len(model.weights) != len(urls):
        raise ConfigError(f"model.weights: expected one for each of the {len(urls)} servers, got {len(model.weights)}")
    if not model.vllm and (asked := model.server.model_dump(exclude_defaults=True)):
        raise ConfigError(
            f"model.server says how to start vLLM ({', '.join(asked)}), but there is no model to start: give "
            "model.vllm, a hub id or a folder"
        )


def _check_addresses(config: RunConfig) -> None:
    """Refuse addresses that could not be kept with the run as they are."""
    given = {
        "--judge-base-url": (config.judge.base_url,),
        "--writer-base-url": (config.search.writer.base_url,),
        "--base-url": [url for model in (config.model, *config.models) for url in _urls(model)],
    }
    for option, urls in given.items():
        for url in filter(None, urls):
            if why := no_plain_address(url):
                raise ConfigError(f"{option}: {why}")


def _urls(model: ModelConfig) -> tuple[str, ...]:
    return (model.base_url,) if isinstance(model.base_url, str) else model.base_url or ()


def restore_config(kept: object) -> RunConfig:
    """Return the configuration a run folder kept. Raises ConfigError naming the field that does not fit."""
    try:
        return RunConfig.model_validate(kept)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{'.'.join(str(key) for key in first['loc'])}: {first['msg']}") from None


def _explain(document: Document, overrides: Mapping[str, Any], error: ValidationError) -> str:
    """Turn the first pydantic complaint into one line with file and line, or with the command line as its place."""
    first = error.errors()[0]
    keys = tuple(str(key) for key in first["loc"])
    laid_over = any(overrides.get(".".join(keys[:depth])) is not None for depth in range(1, len(keys) + 1))
    where = "the command line" if laid_over else document.where(*keys)
    if first["type"] == "extra_forbidden":
        model: Any = RunConfig
        for key in keys[:-1]:
            model = get_args(model)[0] if key.isdigit() else model.model_fields[key].annotation
        return f"{where}: unknown key '{'.'.join(keys)}'; known: {', '.join(model.model_fields)}"
    return f"{where}: {'.'.join(keys)}: {first['msg']}, got {first.get('input')!r}"


def differences(before: Mapping[str, Any], now: Mapping[str, Any], at: str = "") -> list[str]:
    """Return "key: before -> now" lines for every leaf that differs."""
    lines = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        name = f"{at}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differences(old, new, f"{name}.")
        elif old != new:
            lines.append(f"{name}: {old!r} -> {new!r}")
    return lines

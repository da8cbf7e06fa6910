"""The sections of a run file: who answers, who judges, how candidates are found, what may be spent."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

EMBEDDED = "embedded"

SystemRole = Literal["auto", "system", "user"]
"""Where the system text travels: as found out, in a message of its own, or in front of the user's first message."""


class Section(BaseModel):
    """A frozen section; an unknown key is an error, and so is a number without end."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


class ServerConfig(Section):
    """How vLLM serves a model that is started here. The first eight change answers, the others do not."""

    revision: str = ""
    """The hub model's branch, tag or commit; "" for the newest."""
    dtype: str = "auto"
    """"auto", "bfloat16", "float16", ..."""
    quantization: str = ""
    """"" leaves it to the model's configuration."""
    lora: str = ""
    """Hub id or folder of a LoRA adapter that answers instead of the bare model."""
    chat_template: str = ""
    """File with a Jinja chat template, for models that come without one."""
    generation_config: str = "vllm"
    """"vllm" draws as the benchmark says and no other way; "auto" lets the model's own file fill in top_p and top_k
    where a benchmark leaves them open."""
    load_format: str = ""
    """"" for the weights as they are; "dummy" for random ones, to measure speed."""
    flags: tuple[str, ...] = ()
    """More words for vLLM's command line."""
    lora_rank: int = Field(16, ge=1)
    """The adapter's rank, or more."""
    max_model_len: int | None = Field(None, ge=1)
    """Tokens of prompt and answer together; None for the model's own, which may need more memory than there is."""
    tensor_parallel: int = Field(1, ge=1)
    """GPUs the model is split over."""
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    """Share of the GPU's memory vLLM may take; None for its default."""
    prefix_caching: bool | None = None
    """Whether answers share the work on equal beginnings of prompts; None for vLLM's default."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """Environment variables for the server."""
    python: str = ""
    """The Python that has vLLM; "" for DEFENDER_VLLM_PYTHON, else the running one."""
    host: str = "127.0.0.1"
    """Where it listens."""
    port: int = Field(0, ge=0, le=65535)
    """0 takes a free one."""
    start_s: float = Field(3600.0, gt=0)
    """Seconds that starting may take, downloads included."""


STARTED: tuple[str, ...] = (
    *("revision", "dtype", "quantization", "lora", "chat_template", "generation_config", "load_format", "flags"),
)
"""What of ``ServerConfig`` changes answers."""


class ModelConfig(Section):
    """Who answers."""

    name: str = EMBEDDED
    """"embedded", or the model name an OpenAI-compatible server serves."""
    base_url: str | tuple[str, ...] | None = None
    """The server's /v1 URL, or a list where several serve the same model: each is given what it can take, one that
    fails is left alone until it is well again. Required unless the model is embedded, or vLLM is started here."""
    weights: tuple[float, ...] = ()
    """Shares of the servers in what is open, one for each of ``base_url``; empty lets each have what it can take."""
    system_role: SystemRole = "auto"
    """"user" puts the system text in front of the user's message, for chat templates without a system role (Mistral,
    Mixtral, Gemma); "auto" finds out before anything is measured. Answers depend on it: it is in their keys."""
    vllm: str = ""
    """A hub id, or a model's folder: vLLM is started here to serve it, and ended with the run."""
    server: ServerConfig = ServerConfig()
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; keys are never written anywhere."""
    alias: str = ""
    """Stands for the base URL in fingerprints, so that a server moved to another port keeps its paid answers."""
    timeout_s: float = Field(120.0, gt=0)
    """Seconds before one attempt counts as a timeout."""
    max_attempts: int = Field(5, ge=1)
    """Wire attempts per request, the first included."""
    max_tokens: int | None = Field(None, ge=1)
    """The most tokens an answer may take, for every benchmark whose protocol allows more; None keeps the protocols'."""


class WriterConfig(Section):
    """Who writes new clauses while searching; nobody unless a model or a pool is given."""

    model: str = ""
    """The writer model as served, or DSPy's name for it ("anthropic/...") with ``client: dspy``."""
    base_url: str | None = None
    """The writer server's /v1 URL."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds its key."""
    alias: str = ""
    """Stands for the base URL in fingerprints."""
    system_role: SystemRole = "auto"
    """As the model's, with ``client: served``; a provider DSPy knows is left to DSPy."""
    client: Literal["served", "dspy"] = "served"
    """"served" keeps every answer in the run, so that none is paid for twice; "dspy" reaches any provider DSPy knows,
    its requests are paid from the same budget, and only what came of them is kept."""
    pool: str = ""
    """A text file with one clause a line to draw from, instead of a model."""
    every: int = Field(2, ge=1)
    """Generations between two writings."""
    clauses: int = Field(3, ge=1)
    """Clauses asked for at a time."""
    clause_tokens: int = Field(60, ge=4)
    """The most words and punctuation marks of a clause."""
    max_tokens: int = Field(1024, ge=16)
    """The most tokens of one answer."""
    temperature: float = Field(0.7, ge=0)
    """How freely it writes."""
    timeout_s: float = Field(120.0, gt=0)
    """The longest one writing may hold up the search, its second attempt included."""

    @property
    def on(self) -> bool:
        """Whether anybody writes."""
        return bool(self.model or self.pool)


Strategy = Literal["race", "random", "seeds", "tpe", "gepa", "mipro", "copro"]
ProposerName = Literal["thompson", "tpe", "nsga2", "random", "exhaustive", "listed"]
OWN_PROPOSER: Mapping[Strategy, ProposerName] = MappingProxyType({"random": "random", "seeds": "listed", "tpe": "tpe"})
"""Strategies for comparison that bring their proposer along."""


class SearchConfig(Section):
    """How candidates are found and dropped."""

    strategy: Strategy = "race"
    """"race" is this tool's own. The others are for comparison, under the same budget and the same confirm stage:
    "random", "seeds" and "tpe" measure every candidate whole; "gepa", "mipro" (MIPROv2) and "copro" rewrite whole
    prompts with the writer model and need --max-requests."""
    proposer: ProposerName = "thompson"
    """"thompson", "tpe", "nsga2" and "random" draw from the space under Optuna: "thompson" learns from all prompts
    together what each choice does; "exhaustive" measures every text of a small space; "listed" the seeds only."""
    candidates: int = Field(64, ge=1)
    """The most candidates to measure, seeds included."""
    generation: int = Field(8, ge=1)
    """Candidates raced side by side."""
    items: int = Field(96, ge=3)
    """Search items per benchmark, fewer where a benchmark has fewer."""
    blocks: tuple[int, ...] = Field((1, 1, 2, 4, 8), min_length=1)
    """Relative sizes of the blocks in which items are revealed."""
    finals: tuple[int, ...] = (6, 4, 3)
    """How many candidates at least go through each of the last blocks; the blocks before are the race. More go where
    ``alpha`` asks for it and the budget pays for it."""
    alpha: float = Field(0.05, gt=0, lt=0.5)
    """Chance that everyone within ``margin`` of the best leaves before the last block: a fifth for the race's tests,
    the rest for the finals' cuts."""
    margin: float = Field(0.1, ge=0)
    """Percentage points of PB that count as no difference in the race."""
    finalists: int = Field(3, ge=1)
    """Candidates that go to confirm beside the seeds."""
    joint: Literal["", "worst", "mean"] = ""
    """With several ``models``: "" searches on the first and tries what it found on the others; "worst" and "mean"
    search on each, and take the finalist that keeps every model's floors and whose worst or mean PB is lowest."""
    writer: WriterConfig = WriterConfig()

    @property
    def proposes(self) -> ProposerName:
        """The proposer in effect."""
        return OWN_PROPOSER.get(self.strategy, self.proposer)


class MeasureConfig(Section):
    """Which items claims are made on."""

    items: int | None = Field(None, ge=3)
    """Items per benchmark, fewer where a benchmark has fewer; None for all there are."""
    repeats: int | None = Field(None, ge=1)
    """Times each cell is asked; None is 1, but the paper's 3 in a measurement under its protocol."""
    phrasings: Literal["same", "held_out"] = "same"
    """Whether users say who they are in the sentence the search uses, or in their held-out sentences."""


class AblateConfig(Section):
    """What an ablation changes, and what counts as no difference."""

    kinds: tuple[Literal["left out", "added", "order", "placement", "role", "wording", "opening"], ...] = (
        "left out", "added", "order", "placement", "role", "wording", "opening",
    )  # fmt: skip
    """What is changed, one thing at a time; "left out" is always among them."""
    combinations: bool = True
    """Whether combinations of clauses are measured, for Shapley values: all of them up to 10 clauses."""
    pairs: int = Field(12, ge=1)
    """Pairs of sampled orders, where there are more clauses or the budget does not pay for all combinations."""
    items: int | None = Field(None, ge=3)
    """Items per benchmark, of those that claims were made on; None for all of those."""
    margin: float = Field(0.15, gt=0)
    """Percentage points of PB that count as no loss."""


class CheckConfig(Section):
    """What a deployed prompt may not break, and how sure a check must be; it needs at least one limit."""

    max_pb: float | None = Field(None, gt=0, le=100)
    """The most PB, points."""
    min_utility: float | None = Field(None, ge=0, le=100)
    """The least mean utility, percent."""
    min_safety: float | None = Field(None, ge=0, le=100)
    """The least mean safety, percent."""
    max_over_refusal: float | None = Field(None, ge=0, le=100)
    """The most harmless requests that are refused, percent."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """1 - the chance that a broken prompt is let through, and 1 - the chance that one that keeps its gates fails."""
    first: int = Field(16, ge=6)
    """Items per benchmark of the first look."""
    growth: float = Field(1.5, ge=1.1)
    """How many times as many items the next look has."""


class JudgeConfig(Section):
    """Who reads the answers to unsafe and harmless requests."""

    kind: Literal["auto", "refusal", "model", "guard", "classifier"] = "auto"
    """"refusal" is a deterministic screen; "model" asks a rubric of any served model, "guard" a Qwen3Guard;
    "classifier" runs Do-Not-Answer's longformer here (extra ``judge``). "auto" is "model" where a judge server is
    given, else the paper's classifier under its protocol, else "refusal"."""
    name: str = ""
    """The judge model as served, or the classifier's hub id or folder; "" takes the only one, or the default."""
    base_url: str | None = None
    """The judge server's /v1 URL, for "model" and "guard"."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds its key."""
    alias: str = ""
    """Stands for the base URL in fingerprints."""
    system_role: SystemRole = "auto"
    """As the model's, for "model"; a "guard" is sent no system text."""


class SandboxConfig(Section):
    """Where programs a model wrote are run (MBPP)."""

    kind: Literal["landlock", "bubblewrap", "external"] = "landlock"
    """"landlock" needs Linux 5.13 or later and nothing else; "external" runs ``command`` (docker, podman, ...)."""
    command: tuple[str, ...] = ()
    """The command of "external", word by word."""


class BudgetConfig(Section):
    """What may be spent. Outside the digest: raising it lets the same run go on."""

    max_requests: int | None = Field(None, ge=1)
    """Wire requests, retries included."""
    max_tokens: int | None = Field(None, ge=1)
    """Tokens of prompts and answers, the judge's and the writer's included."""
    max_usd: float | None = Field(None, gt=0)
    """Dollars, by the run file's ``prices``."""
    max_hours: float | None = Field(None, gt=0)
    """Hours at work, all sittings together; nothing is sent after them, what is in flight is finished."""


class PriceConfig(Section):
    """What a model charges, in dollars per million tokens. Outside the digest."""

    input: float = Field(ge=0)
    """Prompt tokens."""
    output: float = Field(ge=0)
    """Completion tokens, reasoning included."""
    cached_input: float | None = Field(None, ge=0)
    """Prompt tokens the provider had cached and says so; None charges them as the others."""


class SpeedConfig(Section):
    """Changes speed only; outside the digest."""

    workers: Literal["none", "join", "only"] = "none"
    """"join" lets workers on other machines answer beside this one (``defender worker``), "only" leaves it to them;
    both need ``store``."""
    in_flight: int = Field(0, ge=0)
    """The most requests open at once, at each server; 0 for 256. How many are is found while asking: a server gets
    more as long as that brings more answers a second, and less when it pushes back. A worker elsewhere takes up
    to twice as many from the run's queue, so that the next are paid for when a place at its server is free."""

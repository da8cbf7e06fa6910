"""The frozen nouns that flow through the house.

Candidate -> Cell -> Request -> Response -> Grade -> OutcomeMatrix -> PBEstimate -> Trial -> Decision -> Export.
All are plain frozen dataclasses: comparable, hashable where identity matters, free of guest libraries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Axis = Literal["utility", "safety", "over_refusal"]
"""PB is over utility and safety. ``over_refusal`` guards them: 1 = the harmless request was answered."""

Seat = Literal["system", "user"]
"""Which message carries the sentence that names the identity."""

Split = Literal["search", "confirm", "test"]

ErrorKind = Literal[
    "timeout", "connection", "rate_limited", "server_error", "bad_request", "unauthorized", "not_found",
    "malformed", "content_filter", "context_length",
]  # fmt: skip
"""Why a request has no answer. ``malformed``: the server answered, but not with a chat completion.
``context_length``: prompt and answer did not fit the server's context: the answer never had the tokens it may take."""

Outcome = Literal["correct", "wrong", "safe", "unsafe", "refused", "truncated", "unparsed", "graded", "unscored"]
"""What an answer was. ``graded``: a score between 0 and 1 (likelihood, rubric). ``unscored``: nobody could say."""


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def digest_of(value: object) -> str:
    """Return the sha256 (hex) of a JSON-able value in canonical form: sorted keys, no spaces, UTF-8."""
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """One user identity: a stable ``key``, its ``category``, and the ``sentence`` the model is told.

    ``sentence`` is "" for the ``no_persona`` reference point. ``held_out``: other sentences that say the same, which
    selection never saw; () where there are none.
    """

    key: str
    category: str
    sentence: str
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One defense prompt: the system text around the identity sentence, byte for byte what ships.

    Attributes:
        before, after: system text around the identity sentence; ``after`` is "" when the sentence comes last.
        seat: the message that carries the identity sentence; "user" puts it in front of the question.
        label: a name for tables ("D4"), or "" to use the id.
        origin: who proposed it ("seed", "sampled", "file").
        parts: slot -> choice pairs, for ablation and clause effects; () when the text came from a file.
    """

    before: str
    after: str = ""
    seat: Seat = "system"
    label: str = ""
    origin: str = ""
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        """Sha256 of what reaches the model; label, origin and parts do not count."""
        return digest_of([self.before, self.after, self.seat])

    @property
    def id(self) -> str:
        """First 12 hex digits of ``digest``."""
        return self.digest[:12]

    @property
    def name(self) -> str:
        """Label where there is one, else the id."""
        return self.label or self.id

    def system(self, sentence: str) -> str:
        """Return the system message for an identity sentence ("" for none); a blank joins parts that have no space."""
        whole = ""
        for piece in (self.before, sentence if self.seat == "system" else "", self.after):
            seam = " " if whole and piece and not (whole[-1].isspace() or piece[0].isspace()) else ""
            whole += seam + piece
        return whole

    def user(self, sentence: str, question: str) -> str:
        """Return the user message for an identity sentence and a question."""
        return f"{sentence} {question}" if self.seat == "user" and sentence else question

    @property
    def template(self) -> str:
        """The system text with ``{identity}`` where the identity sentence goes (for people, not for parsing)."""
        return self.system("{identity}")


@dataclass(frozen=True, slots=True)
class Item:
    """One benchmark question. ``payload`` is what the benchmark needs to ask and grade it; ids are stable."""

    id: str
    benchmark: str
    stratum: str
    payload: Mapping[str, Any]


class Cell(NamedTuple):
    """One unit of measurement: which prompt, told who, asked what, which time."""

    candidate: str
    identity: str
    benchmark: str
    item: str
    repeat: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is drawn. ``None`` leaves a field to the server.

    ``top_logprobs`` asks for the log-probabilities of the first generated tokens (likelihood scoring).
    """

    temperature: float = 0.0
    max_tokens: int = 512
    top_p: float | None = None
    top_k: int | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion, complete: nothing that changes the answer is outside it.

    Attributes:
        messages: (role, content) pairs in order. ``sampling``: how the answer is drawn.
        seed: sampling seed, a function of item and repeat only (common random numbers), or None.
        repeat: 0, 1, ...: asks the same thing again on purpose.
        response_format: JSON schema for structured output (judges), or None.
    """

    messages: tuple[tuple[str, str], ...]
    sampling: Sampling
    seed: int | None = None
    repeat: int = 0
    response_format: str | None = None

    def key(self, fingerprint: str) -> str:
        """Return the content identity: the whole wire request, the model's ``fingerprint`` and the repeat."""
        s = self.sampling
        drawn = [s.temperature, s.max_tokens, s.top_p, s.top_k, s.top_logprobs]
        return digest_of([self.messages, drawn, self.seed, self.repeat, self.response_format, fingerprint])


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Exactly one of ``text`` and ``error`` is set; an empty string is a text.

    Attributes:
        first_token: (token text, log-probability) of the likeliest first tokens, best first, when asked for.
        finish_reason: "stop", "length", "content_filter", ... as the server said.
        attempts: wire requests this answer cost, retries included.
        seconds: wall time of the last attempt.
        cached_tokens: prompt tokens the server had read before and says so (a provider may charge less for them).
        seed: what the answer was drawn with: as the server says, else as it was asked; None where neither did.
    """

    text: str | None
    finish_reason: str | None = None
    error: ErrorKind | None = None
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token: tuple[tuple[str, float], ...] | None = None
    attempts: int = 1
    seconds: float = 0.0
    model: str = ""
    system_fingerprint: str = ""
    cached_tokens: int = 0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """Moves counters of the spend by ``by``; refused whole where a counter would then be above its limit in ``within``.

    A negative amount gives back; it is never refused for a counter it does not raise.
    """

    by: Mapping[str, int]
    within: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Who answers: served model name, revision, server and its version, and where.

    ``fingerprint`` enters every request key, so answers of different models or servers are never mixed. ``context`` is
    how many tokens prompt and answer may take together, None where the server does not say. It stays out of the
    fingerprint: an answer it would have cut is no answer (``context_length``). ``system_role`` is "user" where the
    system text goes in front of the user's message, as the chat template has no system role; else "".
    """

    model: str
    revision: str = ""
    server: str = ""
    endpoint: str = ""
    context: int | None = None
    system_role: str = ""

    @property
    def fingerprint(self) -> str:
        """Sha256 over all fields but ``context``."""
        told = [self.model, self.revision, self.server, self.endpoint]
        return digest_of([*told, self.system_role] if self.system_role else told)


@dataclass(frozen=True, slots=True)
class Grade:
    """One graded answer.

    Attributes:
        score: 0 (worst) to 1 (best) on the benchmark's axis; None when *nobody could say*: excluded, never read as 0.
        outcome: what kind of answer it was.
        grader: "name@version" of the rule or judge that decided.
        reason: a short word on how (the tier that matched, or why there is no score).
    """

    score: float | None
    outcome: Outcome
    grader: str
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.score is None) != (self.outcome == "unscored"):
            raise ValueError(f"Grade: unscored must mean score None; got score={self.score}, outcome={self.outcome}")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"Grade: expected a score in [0, 1], got {self.score} from {self.grader}")


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeMatrix:
    """The graded cells of one candidate, one benchmark: identities x items.

    Attributes:
        benchmark, axis: what was asked, and which axis it moves.
        identities: U identity keys, row order. ``items``: I item ids, column order.
        score_U_I: floats in percent [0, 100], mean over repeats, higher is better; NaN where missing.
        repeats_U_I: scored repeats behind each entry; 0 exactly where ``score_U_I`` is NaN.
        outcomes: identity key -> outcome -> number of cells.
        missing: identity key -> reason -> number of unscored cells.
    """

    benchmark: str
    axis: Axis
    identities: tuple[str, ...]
    items: tuple[str, ...]
    score_U_I: FloatArray
    repeats_U_I: NDArray[np.int64]
    outcomes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    missing: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval in the units of what it bounds, with its level in (0, 1)."""

    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class AxisEstimate:
    """One axis (or benchmark) of one candidate; variances in squared percentage points.

    Attributes:
        mean: mean score over identities and items, percent, higher is better; ``mean_interval`` bounds it.
        s2: population variance of the identity means (the paper's).
        noise2: what item sampling alone adds to ``s2`` (C in docs); ``s2 - noise2`` is unbiased, may be < 0.
        by_identity: identity key -> mean score in percent.
        items: items used; ``dropped``: items left out because an identity has no score there.
    """

    mean: float
    mean_interval: Interval
    s2: float
    noise2: float
    by_identity: Mapping[str, float]
    items: int
    dropped: int


@dataclass(frozen=True, slots=True)
class PBEstimate:
    """Personalization bias of one candidate, in percentage points; lower is fairer.

    Attributes:
        pb_raw: the paper's PB, sqrt(S2_utility + S2_safety).
        pb: sqrt(max(0, corrected2)).
        corrected2: sum over axes of s2 - noise2, signed; what comparisons use.
        interval: for ``pb``, a score interval from the jackknife over items (``spread``), ends clipped at 0.
        noise_floor: sqrt of the summed noise2: the PB_raw a perfectly fair model would show here.
        axes: "utility" and "safety" (and "over_refusal" where measured, outside PB).
        benchmarks: the same per benchmark.
    """

    pb_raw: float
    pb: float
    corrected2: float
    interval: Interval
    noise_floor: float
    axes: Mapping[str, AxisEstimate]
    benchmarks: Mapping[str, AxisEstimate]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a proposer may know: the candidate, its estimate, and how it stands to the floors.

    ``gaps``: floor name -> floor minus the value's confidence bound, <= 0 where the floor is shown to be kept (Optuna's
    sign). ``misses``: floor name -> floor minus the value itself, <= 0 where the estimate keeps it.
    ``estimate`` is None when it could not be measured (``failure`` says why); it still must be told. ``reason`` is
    the evidence a dropped one was dropped on.
    """

    candidate: Candidate
    estimate: PBEstimate | None
    gaps: Mapping[str, float]
    dropped_at: int | None = None
    failure: str = ""
    reason: str = ""
    misses: Mapping[str, float] = field(default_factory=dict)


Verdict = Literal["better", "worse", "not distinguishable"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two prompts on the same items: ``difference`` = corrected PB^2 of the first minus the second's.

    ``p`` is two-sided, ``p_adjusted`` after multiplicity correction; negative differences favour the first.
    """

    candidate: str
    baseline: str
    difference: float
    interval: Interval
    p: float
    p_adjusted: float
    verdict: Verdict
    reason: str


Action = Literal[
    "admitted", "refused", "kept", "dropped", "finished", "promoted", "passed over", "finalist", "winner",
    "failed", "unfinished",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the decision log: what became of a candidate, when, and why in words.

    ``block`` is 0-based within the race, -1 for the confirm stage, -2 where clauses are written; ``items`` is how many
    items (all benchmarks) the decision rests on.
    """

    candidate: str
    name: str
    block: int
    items: int
    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Export:
    """One file written for production, with the sha256 of the system text it carries."""

    path: str
    sha256: str
    format: str

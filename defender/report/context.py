"""What a report says, for any renderer; all of it can be derived again from the run's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from defender.deviations import Standing
from defender.evidence import Effect
from defender.kinds import Kinds, Standout
from defender.parts import Part, PartDifference
from defender.records import Candidate, Comparison, Identity, PBEstimate, Trial

Measured = tuple[Candidate, PBEstimate]
Answered = tuple[Candidate, Sequence[Kinds]]


@dataclass(frozen=True)
class Cost:
    """What the run cost: wire requests, tokens in and out, wall seconds, and dollars where prices are known.

    ``shares`` are the parts of the judge and the writer, in words.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    dollars: float | None = None
    shares: Sequence[str] = ()


@dataclass(frozen=True)
class Floor:
    """One floor of the winner: the least allowed and the measured value, in percent, and whether it was kept."""

    name: str
    least: float
    measured: float
    kept: bool


@dataclass(frozen=True)
class Step:
    """One row of the decision log; ``block`` counts from 0 in the race and is below 0 outside it."""

    candidate: str
    stage: str
    decision: str
    reason: str
    items: int = 0
    block: int = -1
    id: str = ""


@dataclass(frozen=True)
class Model:
    """One model beside others: its run, what it is, its prompts, and how its questions differ from the first one's.

    ``unlike`` is "" where the same identities answered the same items in the same words.
    """

    run: str
    name: str
    measured: Sequence[Measured]
    unlike: str = ""


@dataclass(frozen=True)
class Said:
    """What a model answered one user, its score in percent, and what kind of answer it was."""

    identity: str
    score: float
    outcome: str
    text: str


@dataclass(frozen=True)
class Reading:
    """One item to read: its question ("" where the data are not here), how far its scores spread, and answers."""

    benchmark: str
    item: str
    question: str
    spread: float
    answers: Sequence[Said]


@dataclass(frozen=True)
class Details:
    """Where the bias sits, and what the run was exactly; by digest of the prompt where several are looked at.

    Attributes:
        standings: prompt -> how the identities stand on each axis. ``parts``: prompt -> PB by axis, category, ...
        changes: what the prompt shown changed on every part, against the baseline.
        shared: prompts of the search with their estimates on items that all of them answered.
        effects: what each clause did in these.
        models: this run's model and those it is shown beside, () where it is shown alone.
        readings: questions and answers, only where somebody asked to read them: they may be harmful.
        settings: every setting of the run, as JSON. ``versions``: of the libraries that matter.
    """

    standings: Mapping[str, Sequence[Standing]] = field(default_factory=dict)
    parts: Mapping[str, Sequence[Part]] = field(default_factory=dict)
    changes: Sequence[PartDifference] = ()
    shared: Sequence[Measured] = ()
    effects: Sequence[Effect] = ()
    models: Sequence[Model] = ()
    readings: Sequence[Reading] = ()
    settings: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportContext:
    """Everything a report says.

    Attributes:
        run: the run's name. ``answer``: the result in plain words, one paragraph.
        winner: the recommended prompt, or None where nothing is recommended.
        baseline: digest of the prompt the figure shows as "before" (Original).
        spotlight: the prompt the figure shows as "after" and the tables go into; the winner where there is one.
        selecting: whether the run was to recommend a prompt; a plain measurement recommends nothing.
        where: what ``confirm`` was measured on, in words ("on held-out items").
        search, confirm: estimates by stage; claims come from ``confirm``, which selection never saw.
        identities: whom the model was told about; those without a sentence are reference points.
        answers: what kinds of answers each benchmark got: the winner's (confirm), or in a measurement every prompt's.
        nobody: the same for the reference point nobody is named to. ``standouts``: identities apart from the rest.
        paper: prompt name -> PB as published, shown beside yours.
        methods: heading -> text (benchmark protocols, settings, seeds, versions).
        caveats: what the numbers do not show. ``reproduce``: commands, one a line.
        details: what only the longer tables need.
    """

    run: str
    answer: str
    winner: Candidate | None
    cost: Cost
    baseline: str = ""
    spotlight: Candidate | None = None
    selecting: bool = True
    where: str = "on held-out items"
    search: Sequence[Measured] = ()
    confirm: Sequence[Measured] = ()
    comparisons: Sequence[Comparison] = ()
    floors: Sequence[Floor] = ()
    trials: Sequence[Trial] = ()
    decisions: Sequence[Step] = ()
    identities: Sequence[Identity] = ()
    answers: Sequence[Answered] = ()
    nobody: Sequence[Answered] = ()
    standouts: Sequence[Standout] = ()
    paper: Mapping[str, float] = field(default_factory=dict)
    methods: Mapping[str, str] = field(default_factory=dict)
    caveats: Sequence[str] = ()
    reproduce: Sequence[str] = ()
    details: Details = Details()

    @property
    def shown(self) -> Candidate | None:
        """The prompt that figure and tables go into."""
        return self.winner or self.spotlight

    @property
    def stage(self) -> Sequence[Measured]:
        """The last stage that measured the prompt shown; before and after are read from the same one."""
        return self.confirm if self.shown and find(self.shown.digest, self.confirm) else self.search

    @property
    def measured(self) -> PBEstimate | None:
        """The estimate of the prompt shown."""
        found = find(self.shown.digest, self.stage) if self.shown else None
        return found[1] if found else None


def find(digest: str, stage: Sequence[Measured]) -> Measured | None:
    """Return a prompt and its estimate by its digest."""
    return next((one for one in stage if one[0].digest == digest), None)

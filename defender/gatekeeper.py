"""A check of a deployed prompt: look at a few items, decide what they decide, ask more for what they do not.

Everything follows from the graded cells and from the looks, which are kept with the run: a check that was stopped goes
on where it was, and a finished one answers again without asking anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from defender.contracts import Store
from defender.errors import BudgetSpent
from defender.gates import Gate, Look, Reading, Schedule, Verdict, cut, open_axes, read, verdict
from defender.ledger import Ledger
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Candidate

SLACK = 0.05
"""Share of the budget left that a look cut short leaves for retries."""

FEWEST = 6
"""Items a benchmark that a look has at least: fewer decide nothing and cost all the same."""

PATIENCE = 2
"""Looks in a row that may say nothing of an open gate, for want of scores, before a check gives up."""


@dataclass(frozen=True)
class Outcome:
    """What a check of one prompt came to.

    Attributes:
        readings: gate in words -> reading.
        looks: those made, in order.
        items: benchmark -> items asked.
        requests: what they took, retries aside; ``fixed``: what all items would have taken.
        stopped: why it ended, in words.
    """

    candidate: Candidate
    verdict: Verdict
    readings: Mapping[str, Reading]
    looks: tuple[Look, ...]
    items: Mapping[str, int]
    requests: int
    fixed: int
    stopped: str


@dataclass
class _Course:
    """Where a check is: looks made, items asked, gates read, and how often in a row a gate could not be read."""

    items: dict[str, int]
    looks: list[Look] = field(default_factory=list)
    readings: dict[str, Reading] = field(default_factory=dict)
    silent: dict[str, int] = field(default_factory=dict)

    def take(self, look: Look, items: Mapping[str, int], readings: Mapping[str, Reading]) -> None:
        """Take in what a look came to."""
        self.looks.append(look)
        self.items, self.readings = dict(items), dict(readings)
        self.silent = {key: self.silent.get(key, 0) + 1 if one.value is None else 0 for key, one in readings.items()}


@dataclass
class Gatekeeper:
    """Checks prompts on the items of a panel.

    Attributes:
        panel: all the items there are, in the order they are revealed.
        gates: what a prompt must keep.
        schedule: when to look.
        announce: told that a look begins (words, requests it may cost).
    """

    measurer: Measurer
    ledger: Ledger
    store: Store
    panel: Panel
    gates: tuple[Gate, ...]
    schedule: Schedule
    announce: Callable[[str, int], None] = lambda _words, _cost: None

    async def check(self, candidate: Candidate) -> Outcome:
        """Look until every gate is decided, one is broken, or nothing more can be had.

        Raises:
            EngineDown, StoreError, Interrupted: everything paid for is kept.
        """
        course = self._resumed(candidate)
        stopped = self._settled(course)
        while not stopped:
            ended = await self._look(candidate, course)
            stopped = self._settled(course) or ended
        asked = self._part(course.items).cells_per_candidate
        return Outcome(
            candidate, verdict(course.readings), course.readings, tuple(course.looks), course.items, asked,
            self.panel.cells_per_candidate, stopped,
        )  # fmt: skip

    async def _look(self, candidate: Candidate, course: _Course) -> str:
        """Make the next look; return why it is the last, or ""."""
        look, last = self.schedule.after(course.looks), ""
        if look is None:
            return "all items are asked"
        if not self._affordable(candidate, self._sizes(look.items, course), 0.0):
            last = f"what is left of the budget does not pay for the look at {look.items} items a benchmark"
            fewer = self._most(candidate, course, look.items)
            if fewer is None:
                return last
            look = cut(look, fewer)
        sizes = self._sizes(look.items, course)
        part = self._part(sizes)
        self.announce(f"{candidate.name}: {look.items} items a benchmark", self.measurer.owed([candidate], part))
        try:
            await self.measurer.fill([candidate], part)
        except BudgetSpent as reason:
            return str(reason)
        readings = read(self.gates, self.measurer.matrices(candidate, part), look.alpha, course.readings)
        course.take(look, sizes, readings)
        self.store.note("look", f"{candidate.id}:{len(course.looks):04d}", {
            "look": asdict(look), "items": sizes, "readings": {key: asdict(one) for key, one in readings.items()},
        })  # fmt: skip
        return last

    def _resumed(self, candidate: Candidate) -> _Course:
        """Return where an earlier process was."""
        course, notes = _Course(dict.fromkeys(self.panel.items, 0)), self.store.notes("look")
        for key in sorted(key for key in notes if key.startswith(f"{candidate.id}:")):
            made: Any = notes[key]
            readings = {gate: Reading(**one) for gate, one in made["readings"].items()}
            course.take(Look(**made["look"]), made["items"], readings)
        return course

    def _settled(self, course: _Course) -> str:
        """Say why nothing more needs to be asked, or return ""."""
        found = verdict(course.readings)
        if found != "cannot tell":
            return "every gate is shown to be kept" if found == "kept" else "a gate is shown to be broken"
        for key, one in course.readings.items():
            if one.status == "open" and course.silent[key] >= PATIENCE:
                return f"too few scores: {one.reason}"
        return ""

    def _sizes(self, items: int, course: _Course) -> dict[str, int]:
        """Return benchmark -> items after a look: more only where a gate is open."""
        needed = open_axes(self.gates, course.readings)
        return {
            name: min(items, len(pool)) if self.measurer.benchmarks[name].axis in needed else course.items[name]
            for name, pool in self.panel.items.items()
        }

    def _part(self, sizes: Mapping[str, int]) -> Panel:
        return replace(self.panel, items={name: self.panel.items[name][:size] for name, size in sizes.items() if size})

    def _affordable(self, candidate: Candidate, sizes: Mapping[str, int], slack: float) -> bool:
        left = self.ledger.affords() - self.ledger.spent
        return self.measurer.owed([candidate], self._part(sizes)) <= left * (1.0 - slack)

    def _most(self, candidate: Candidate, course: _Course, below: int) -> int | None:
        """Return the most items a benchmark that the budget pays for, None where they are no more than before."""
        low, high = course.looks[-1].items if course.looks else 0, below
        first = low
        while high - low > 1:
            middle = (low + high) // 2
            if self._affordable(candidate, self._sizes(middle, course), SLACK):
                low = middle
            else:
                high = middle
        return low if low >= max(first + 1, FEWEST) else None

"""Marks whole prompts on single questions of the search panel, for strategies with a loop of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from defender.admission import Admission
from defender.contracts import Store
from defender.errors import DefenderError
from defender.marks import Mark, mark
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Candidate, Decision, Item


@dataclass
class PanelMarker:
    """Implements ``Marker``: called from a strategy's threads, works in the event loop it was made in.

    Attributes:
        panel: its questions are numbered in the panel's order.
        seeds: prompts that need no admission.
        admission: what a written prompt may not say.
        calls: question x prompt pairs the budget pays for.
        origin: the strategy's name.
        store, log: where candidates are kept, and who is told what became of them.
    """

    measurer: Measurer
    panel: Panel
    seeds: Sequence[Candidate]
    admission: Admission
    calls: int
    origin: str
    store: Store
    log: Callable[[Decision], None]
    candidates: dict[str, Candidate] = field(default_factory=dict)
    _refused: dict[str, str] = field(default_factory=dict)
    _wanted: dict[str, set[int]] = field(default_factory=dict)
    stopped: DefenderError | None = None

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._asked: list[tuple[str, Item]] = [
            (name, item) for name, items in self.panel.items.items() for item in items
        ]
        self._categories = {identity.key: identity.category for identity in self.panel.identities}
        self._known = {tidied(seed.system("")): seed for seed in self.seeds}

    @property
    def questions(self) -> int:
        """Questions of the panel."""
        return len(self._asked)

    def mark(self, text: str, places: Sequence[int]) -> list[Mark]:
        """Mark a prompt on questions, by number. Call it from a thread other than the loop's.

        A prompt that may not be said (it quotes a question, it names a user) is asked nothing and marked 0: that is a
        rule, not a measurement, and the words say so. White space is one blank wherever it is.

        Raises:
            BudgetSpent, EngineDown, StoreError, Interrupted, IncompleteMatrix: once raised, every later call raises it.
        """
        if self.stopped is not None:
            raise self.stopped
        return asyncio.run_coroutine_threadsafe(self._mark(tidied(text), places), self._loop).result()

    async def _mark(self, text: str, places: Sequence[int]) -> list[Mark]:
        candidate = self._known.get(text) or self._admitted(text)
        if candidate is None:
            return [Mark(0.0, "", f"this prompt may not be said: {self._refused[text]}") for _ in places]
        self._wanted.setdefault(candidate.id, set()).update(places)
        try:
            async with self._turn:  # whoever comes first asks for all who wait
                if wanted := self._wanted.pop(candidate.id, None):
                    await self.measurer.fill([candidate], self._part(wanted))
            return [self._read(candidate, place) for place in places]
        except DefenderError as reason:
            self.stopped = self.stopped or reason
            raise

    def _admitted(self, text: str) -> Candidate | None:
        """Return the candidate of a new text, kept and logged once; None where it is refused."""
        if text in self._refused:
            return None
        candidate = Candidate(text, origin=self.origin)
        if candidate.id in self.candidates:
            return candidate
        if reason := self.admission.refusal(text, ()):
            self._refused[text] = reason
            self.log(Decision(candidate.id, candidate.name, 0, 0, "failed", f"may not be said: {reason}"))
            return None
        self.candidates[candidate.id] = candidate
        self.store.note("candidate", candidate.id, asdict(candidate))
        self.log(Decision(candidate.id, candidate.name, 0, 0, "admitted", f"proposed by {self.origin}"))
        return candidate

    def _part(self, places: set[int]) -> Panel:
        items: dict[str, tuple[Item, ...]] = {}
        for name, item in (self._asked[place] for place in sorted(places)):
            items[name] = (*items.get(name, ()), item)
        return Panel(self.panel.split, self.panel.identities, items, self.panel.repeats)

    def _read(self, candidate: Candidate, place: int) -> Mark:
        (matrix,) = self.measurer.matrices(candidate, self._part({place}))
        return mark(matrix, self._asked[place][1].stratum, self._categories)


def tidied(text: str) -> str:
    """Return a text with one blank wherever there is white space, none at its ends."""
    return " ".join(text.split())

"""Measure candidates: plan -> what is owed -> ask the engine -> keep -> grade -> matrix.

The loop knows engines, benchmarks and stores only by their contracts. It asks for nothing that is already stored,
keeps every answer before using it, and ends in order: what is in flight is finished and kept, then the reason
(budget spent, engine down, interrupted) is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from itertools import repeat as always

import numpy as np

from defender.acceptance import Acceptance
from defender.contracts import Benchmark, Engine, Store
from defender.errors import BudgetSpent, DefenderError, EngineDown, Interrupted, StoreError
from defender.journal import Journal
from defender.plan import Panel, cells, request_for
from defender.records import Axis, Candidate, Cell, ErrorKind, Grade, Identity, Item, OutcomeMatrix, Request, Response

CHUNK = 512
"""Owed cells looked up in the store at once."""

CHANCES = 3
"""Times a request that failed for the server's sake is asked, all retries of the engine each time: at the end of what
was owed the server may be well again, and one cell without a score costs the item for every identity. Where as many
failed as were answered there is no other chance: that is a broken server."""

PASSING: frozenset[ErrorKind] = frozenset({"timeout", "connection", "rate_limited", "server_error", "malformed"})
"""Failures that say nothing about the request."""


@dataclass(frozen=True, slots=True)
class _Owed:
    """A cell without a grade, its request, and the stored answer where one exists."""

    cell: Cell
    item: Item
    key: str
    request: Request
    stored: Response | None


@dataclass
class _Turn:
    """One pass over owed cells; ``failed`` are those that deserve another chance."""

    jobs: Iterator[_Owed]
    last: bool
    asked: int = 0
    failed: list[_Owed] = field(default_factory=list)


class Measurer:
    """Fills cells and hands out matrices.

    Args:
        engine: answers; started by the caller.
        benchmarks: name -> benchmark.
        store, journal: where answers are kept; the journal writes to the same store.
        in_flight: requests awaiting the engine at once. Changes speed only.
        tick: called after every graded cell (progress).
    """

    def __init__(
        self,
        engine: Engine,
        benchmarks: Mapping[str, Benchmark],
        store: Store,
        journal: Journal,
        *,
        in_flight: int = 64,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.benchmarks = benchmarks
        self._engine = engine
        self._store = store
        self._journal = journal
        self._in_flight = in_flight
        self._tick = tick
        self._fingerprint = engine.card.fingerprint
        self._grades: dict[str, dict[Cell, Grade]] = {}
        self._tried: set[Cell] = set()
        self._whole: set[tuple[str, int]] = set()
        self._flying: dict[str, asyncio.Future[Response]] = {}
        self._answered: set[int] = set()
        self._acceptance = Acceptance(store.spend()["answers"] > 0)
        self._stop: DefenderError | None = None

    def interrupt(self) -> None:
        """Ask the loop to end in order (Ctrl-C): nothing new is sent, what is in flight is finished and kept."""
        self._stop = Interrupted("stopped by the user; everything paid for is kept, go on with --resume")

    async def fill(self, candidates: Sequence[Candidate], panel: Panel) -> None:
        """Grade every cell of the candidates on the panel that is not graded yet.

        Cells left unscored by an earlier process are owed again; within one process a cell is tried once, and again
        at the end where the server failed (see ``CHANCES``).

        Raises:
            BudgetSpent, EngineDown, StoreError, Interrupted: after what was in flight is kept.
        """
        if not isinstance(self._stop, Interrupted):
            self._stop = None  # what ended an earlier stage need not end this one: its budget may have been held
        jobs = self._owed(candidates, panel)
        for chances in reversed(range(CHANCES)):
            turn = _Turn(jobs, last=not chances)
            async with asyncio.TaskGroup() as group:
                for _ in range(self._in_flight):
                    group.create_task(self._work(turn))
            if self._stop:
                break
            if not 0 < len(turn.failed) < turn.asked / 2:
                self._tried.update(job.cell for job in turn.failed)
                break
            jobs = iter(turn.failed)
        if isinstance(self._stop, StoreError):
            raise self._stop
        await self._journal.flush()
        if self._stop:
            raise self._stop

    def matrices(self, candidate: Candidate, panel: Panel) -> tuple[OutcomeMatrix, ...]:
        """Return one identities x items matrix per benchmark of the panel, from what is graded so far."""
        graded = self._graded(candidate.id)
        identities = tuple(identity.key for identity in panel.identities)
        return tuple(
            collect(
                candidate.id,
                Frame(name, self.benchmarks[name].axis, identities, tuple(item.id for item in items), panel.repeats),
                graded,
            )
            for name, items in panel.items.items()
        )

    def owed(self, candidates: Sequence[Candidate], panel: Panel) -> int:
        """Return how many requests the cells of the candidates that have no score yet may cost, retries aside."""
        prices = {name: panel.price(name) for name in panel.items}
        return sum(
            prices[cell.benchmark]
            for candidate in self._unfinished(candidates, panel)
            for cell, _, _ in cells(candidate, panel)
            if self._is_owed(cell)
        )

    def _unfinished(self, candidates: Sequence[Candidate], panel: Panel) -> list[Candidate]:
        """Return the candidates some cell of the panel has no score for; a quick look, so that a resume starts soon."""
        places = list(panel.places)
        columns, mark, left = list(zip(*places, strict=True)), hash(tuple(places)), []
        for candidate in candidates:
            if (candidate.id, mark) in self._whole:
                continue
            graded = self._graded(candidate.id)
            asked = map(Cell._make, zip(always(candidate.id), *columns, strict=False))
            if all(map(graded.__contains__, asked)) and all(grade.score is not None for grade in graded.values()):
                self._whole.add((candidate.id, mark))
            else:
                left.append(candidate)
        return left

    def _graded(self, candidate: str) -> dict[Cell, Grade]:
        if candidate not in self._grades:
            self._grades[candidate] = self._store.grades(candidate)
        return self._grades[candidate]

    def _is_owed(self, cell: Cell) -> bool:
        graded = self._grades.get(cell.candidate)
        grade = (self._graded(cell.candidate) if graded is None else graded).get(cell)
        return grade is None or (grade.score is None and cell not in self._tried)

    def _owed(self, candidates: Sequence[Candidate], panel: Panel) -> Iterator[_Owed]:
        """Yield owed cells, with answers that are already stored; candidates take turns so that none waits long."""
        wanted: Iterator[tuple[Candidate, Cell, Identity, Item]] = (
            (candidate, cell, identity, item)
            for candidate in self._unfinished(candidates, panel)
            for cell, identity, item in cells(candidate, panel)
            if self._is_owed(cell)
        )
        while chunk := list(islice(wanted, CHUNK)):
            asked = []
            for candidate, cell, identity, item in chunk:
                benchmark = self.benchmarks[cell.benchmark]
                request = request_for(candidate, identity, benchmark, item, cell.repeat)
                asked.append((cell, item, request.key(self._fingerprint), request))
            stored = self._store.responses([key for _, _, key, _ in asked])
            for cell, item, key, request in asked:
                yield _Owed(cell, item, key, request, stored.get(key))

    async def _work(self, turn: _Turn) -> None:
        """Take owed cells until there are none or a reason to stop."""
        while self._stop is None and (job := next(turn.jobs, None)) is not None:
            turn.asked += 1
            try:
                response = job.stored or await self._answer(job)
                grade = await self.benchmarks[job.cell.benchmark].grade(job.item, response)
                self._journal.grade(job.cell, job.key, grade)
                if seen := self._acceptance.note(job.cell, response):
                    raise EngineDown(f"{seen}. Mend what it refuses, then run the same command again")
            except (BudgetSpent, EngineDown, StoreError) as reason:
                self._stop = self._stop or reason
                return
            self._grades[job.cell.candidate][job.cell] = grade
            if not turn.last and response.error in PASSING:
                turn.failed.append(job)
                continue
            self._tried.add(job.cell)
            self._tick()

    async def _answer(self, job: _Owed) -> Response:
        """Ask the engine, keep the answer, return it; two cells with one wire request share one answer."""
        if (flying := self._flying.get(job.key)) is not None:
            return await flying
        mark = int(job.key[:15], 16)
        if mark in self._answered and (kept := self._store.responses([job.key])):
            return kept[job.key]  # answered after this cell was looked up
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._flying[job.key] = future
        try:
            response = await self._engine.complete(job.request)
            await self._journal.append(job.key, response)
        except DefenderError as reason:
            future.set_exception(reason)
            future.exception()  # marked as seen: a lone cell has nobody else waiting
            raise
        finally:
            del self._flying[job.key]
        self._answered.add(mark)
        future.set_result(response)
        return response


@dataclass(frozen=True)
class Frame:
    """The shape of one matrix: which benchmark, whose rows, which columns, how many repeats and from which on."""

    benchmark: str
    axis: Axis
    identities: tuple[str, ...]
    items: tuple[str, ...]
    repeats: int = 1
    first: int = 0


def collect(candidate: str, frame: Frame, graded: Mapping[Cell, Grade]) -> OutcomeMatrix:
    """Collect one benchmark's grades; a repeat that nobody could score is left out, never read as 0."""
    shape = (len(frame.identities), len(frame.items))
    total_U_I = np.zeros(shape)
    repeats_U_I = np.zeros(shape, dtype=np.int64)
    outcomes: dict[str, dict[str, int]] = {identity: {} for identity in frame.identities}
    missing: dict[str, dict[str, int]] = {identity: {} for identity in frame.identities}
    for row, identity in enumerate(frame.identities):
        counted, absent = outcomes[identity], missing[identity]
        for column, item in enumerate(frame.items):
            for repeat in range(frame.first, frame.first + frame.repeats):
                grade = graded.get(Cell(candidate, identity, frame.benchmark, item, repeat))
                outcome = grade.outcome if grade else "unscored"
                counted[outcome] = counted.get(outcome, 0) + 1
                if grade is None or grade.score is None:
                    reason = grade.reason if grade else "not asked"
                    absent[reason] = absent.get(reason, 0) + 1
                else:
                    total_U_I[row, column] += 100.0 * grade.score
                    repeats_U_I[row, column] += 1
    score_U_I = np.where(repeats_U_I > 0, total_U_I / np.maximum(repeats_U_I, 1), np.nan)
    return OutcomeMatrix(
        frame.benchmark, frame.axis, frame.identities, frame.items, score_U_I, repeats_U_I, outcomes, missing
    )

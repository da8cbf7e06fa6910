"""One sitting with a model: engine, store, journal, ledger and measurer, opened together and closed in order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, cast

from defender.build import Prepared, build_engine, build_recorded
from defender.config import RunConfig
from defender.confirm import SearchResult
from defender.contracts import Caching, ClauseWriter, Engine, GrowingProposer, Meter, Store
from defender.errors import BudgetError, ConfigError, NothingFeasible
from defender.growth import Growth
from defender.journal import Journal
from defender.layout import check_context
from defender.ledger import Ledger
from defender.measure import Measurer
from defender.plan import Panel
from defender.purse import limits_of, prices_of
from defender.records import Candidate, ModelCard
from defender.rivalry import Rivalry
from defender.rivals import PROMPT_TOKENS, WRITING, build_strategy
from defender.runs import LOG, RunFolder, versions
from defender.seal import keep_writer, same_model, seal, seated
from defender.search import SLACK, Refresh, Search, unchanged
from defender.seeding import COST, Seeds, check_seeds, probes
from defender.sharing import Shared
from defender.workplace import open_store, shared, wanted
from defender.writing import build_admission, build_schedule, build_writer

MakeEngine = Callable[[RunConfig, Meter], Engine]


@dataclass(frozen=True)
class Watch:
    """What a sitting tells while it works; all are called from its event loop.

    ``stage``: a new stage begins (words, requests it may cost). ``tick``: one more cell is graded; it is told what is
    spent so far, by the ledger's counters. ``warn``: something the user should know before more is spent.
    ``leads``: who leads now.
    """

    stage: Callable[[str, int], None] = lambda _words, _cost: None
    tick: Callable[[Mapping[str, int]], None] = lambda _spent: None
    warn: Callable[[str], None] = lambda _words: None
    leads: Callable[[str], None] = lambda _words: None


@dataclass(frozen=True)
class Sitting:
    """Everything a loop needs, opened."""

    card: ModelCard
    store: Store
    ledger: Ledger
    measurer: Measurer
    journal: Journal


@asynccontextmanager
async def sit(
    folder: RunFolder, prepared: Prepared, watch: Watch, make_engine: MakeEngine | None = None
) -> AsyncIterator[Sitting]:
    """Open a sitting on a run folder; Ctrl-C inside it ends the work in order.

    Args:
        folder: the run.
        prepared: what its names stand for.
        watch: who is told how it goes.
        make_engine: who answers; the configured model unless said otherwise.

    Raises:
        StoreError: the database cannot be opened. EngineDown: the model, or the judge's, cannot be reached.
        ResumeRefused: the model, the judge or a benchmark is not what the run began with.
        ConfigError: its context is too short for the benchmarks.
    """
    config = folder.config
    started = time.time()
    store = open_store(folder)
    try:
        async with Journal(store) as journal:
            ledger, prices = Ledger(journal, store.spend(), limits_of(config)), prices_of(config)
            till = ledger.till("model", prices["model"])
            known = seated(config, store)
            engine = make_engine(known, till) if make_engine else _engine(known, folder, till, watch)
            try:
                await engine.start()
                before = await _cached(engine)
                check_context(engine.card, prepared.benchmarks)
                await prepared.judging.start(ledger.till("judge", prices["judge"]), journal, known.judge.system_role)
                seal(store, {"model": engine.card, "judge": prepared.judging.card}, prepared.benchmarks)
                if (same := same_model(engine.card, prepared.judging.card)) is not None:
                    watch.warn(same)
                engine = shared(folder, store, engine, ledger, watch.warn)
                await engine.start()
                measurer = Measurer(
                    engine, prepared.benchmarks, store, journal,
                    in_flight=wanted(config), tick=lambda: watch.tick(ledger.spend),
                )  # fmt: skip
                with _interrupting(measurer, engine):
                    sitting = Sitting(engine.card, store, ledger, measurer, journal)
                    if (seeds := await _seeds(prepared, sitting, engine)).verdict in ("no", "partly"):
                        watch.warn(f"sampling seeds honoured: {seeds}; answers to two users share less luck, or none")
                    yield sitting
                cached = [now - then for now, then in zip(await _cached(engine), before, strict=True)]
            finally:
                await prepared.judging.close()
                await engine.close()
        told = {"seconds": time.time() - started, "versions": versions(), "prefix_cache": cached}
        store.note("sitting", f"{started:.3f}", told)
    finally:
        store.close()


async def _cached(engine: Engine) -> tuple[int, int]:
    """Read the server's count of its prefix cache, where it keeps one."""
    return await engine.prefix_cache() if isinstance(engine, Caching) else (0, 0)


def _engine(config: RunConfig, folder: RunFolder, meter: Meter, watch: Watch) -> Engine:
    """Build the configured model; the log of a server started for it lies in the run."""
    return build_engine(config, meter, folder.path / LOG, lambda words: watch.stage(words, 0))


async def _seeds(prepared: Prepared, sitting: Sitting, engine: Engine) -> Seeds:
    """Find out, once a run, whether the server honours seeds, and keep it for the report."""
    store, ledger, measurer = sitting.store, sitting.ledger, sitting.measurer
    known = store.notes("seeds").get(sitting.card.fingerprint)
    if known is not None:
        return Seeds(**cast(dict[str, Any], known))
    if prepared.gates:
        return Seeds("not checked", reason="a check spends on its decision alone")
    if prepared.plan is not None:
        plan = prepared.plan
        stages = [(plan.seeds[0], panel) for panel in (plan.search, plan.confirm)]
        planned = int((plan.max_requests or 0) * (1.0 - SLACK))
    else:
        stages = [(prompt, prepared.panel) for prompt in prepared.prompts[:1] if prepared.panel is not None]
        limited = ledger.left is not None
        planned = sum(measurer.owed(prepared.prompts, panel) for _, panel in stages if limited)
    asked = next((found for candidate, panel in stages if (found := probes(candidate, panel, prepared.benchmarks))), [])
    if asked and ledger.left is not None and ledger.left - planned < COST:
        return Seeds("not checked", reason=f"the budget has no {COST} requests to spare")
    seeds = await check_seeds(engine, store, sitting.journal, asked)
    store.note("seeds", sitting.card.fingerprint, asdict(seeds))
    return seeds


@contextmanager
def _interrupting(measurer: Measurer, engine: Engine) -> Iterator[None]:
    """While inside, Ctrl-C asks the measurer to end in order; a second one ends at once."""
    loop = asyncio.get_running_loop()

    def once() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        measurer.interrupt()
        if isinstance(engine, Shared):
            engine.stop()

    try:
        loop.add_signal_handler(signal.SIGINT, once)
    except (NotImplementedError, RuntimeError, ValueError):
        yield  # no signals here (Windows, or not the main thread): Ctrl-C ends at once, nothing is lost
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def run_search(
    folder: RunFolder, prepared: Prepared, watch: Watch, make_engine: MakeEngine | None = None
) -> SearchResult:
    """Run or resume a search. Raises what ``Search.run`` raises."""
    space, plan = prepared.space, prepared.plan
    if space is None or plan is None:
        raise ConfigError("this run was not prepared for a search; give --space and run 'defender search'")
    async with sit(folder, prepared, watch, make_engine) as sitting:
        describe(sitting, prepared, {"search": plan.search, "confirm": plan.confirm})
        ledger, store = sitting.ledger, sitting.store
        config = seated(folder.config, store)
        with _remembering(store):
            if config.search.strategy in WRITING:
                return await _rival(sitting, prepared, watch)
            met = partial(keep_writer, store)
            async with build_writer(
                config, prepared.pool, _writers(sitting, config), sitting.journal, watch.warn, met
            ) as writer:
                with build_recorded(folder, space, watch.warn) as proposer:
                    refresh = _growth(sitting, prepared, proposer, writer, watch) if writer else unchanged
                    search = Search(sitting.measurer, proposer, plan, ledger, store, watch.stage, refresh, watch.leads)
                    return await search.run()


@contextmanager
def _remembering(store: Store) -> Iterator[None]:
    """Keep why a search ends without a winner, where that is no fault of others': reports tell it."""
    try:
        yield
    except (NothingFeasible, BudgetError) as why:
        store.note("result", "without", {"why": str(why), "over": isinstance(why, NothingFeasible)})
        raise


def _writers(sitting: Sitting, config: RunConfig) -> Meter:
    """Return what the writer pays from."""
    return sitting.ledger.till("writer", prices_of(config)["writer"])


async def _rival(sitting: Sitting, prepared: Prepared, watch: Watch) -> SearchResult:
    """Let a strategy with a loop of its own search."""
    config, plan = prepared.config, prepared.plan
    if plan is None:
        raise ConfigError("a strategy searches; run 'defender search'")
    settings = config.search.writer.model_copy(update={"clause_tokens": PROMPT_TOKENS})
    admission = build_admission(settings, list(prepared.benchmarks.values()), prepared.identities, watch.warn)
    name, ledger, store = config.search.strategy, sitting.ledger, sitting.store
    seats, met = seated(config, store), partial(keep_writer, store)
    async with build_strategy(seats, _writers(sitting, config), sitting.journal, watch.warn, met) as strategy:
        rival = Rivalry(name, strategy, sitting.measurer, plan, admission, ledger, store, watch.stage)
        return await rival.run()


def _growth(
    sitting: Sitting, prepared: Prepared, proposer: GrowingProposer, writer: ClauseWriter, watch: Watch
) -> Refresh:
    """Let the proposer's space grow by what the writer writes from the cells of the search panel."""
    settings, space, plan = prepared.config.search.writer, prepared.space, prepared.plan
    if space is None or plan is None:
        raise ConfigError("clauses are written in a search only")
    benchmarks = list(prepared.benchmarks.values())
    admission = build_admission(settings, benchmarks, prepared.identities, watch.warn)
    return Growth(
        writer, proposer, space, admission, build_schedule(settings), sitting.measurer, plan.goal, sitting.store,
        watch.warn,
    )  # fmt: skip


async def run_measure(
    folder: RunFolder, prepared: Prepared, watch: Watch, make_engine: MakeEngine | None = None
) -> None:
    """Measure prompts whole; results are read from the store. Raises BudgetError before anything is sent."""
    panel, prompts = prepared.panel, prepared.prompts
    if panel is None:
        raise ConfigError("this run was not prepared for a measurement; run 'defender measure'")
    async with sit(folder, prepared, watch, make_engine) as sitting:
        describe(sitting, prepared, {"measure": panel})
        for prompt in prompts:
            sitting.store.note("candidate", prompt.id, asdict(prompt))
        watch.stage("measure", _check_measure(sitting, prompts, panel))
        await sitting.measurer.fill(prompts, panel)
        sitting.store.note("result", "measure", {"prompts": [prompt.id for prompt in prompts]})


def _check_measure(sitting: Sitting, prompts: Sequence[Candidate], panel: Panel) -> int:
    """Return the requests that are owed. Raises BudgetError where the budget has fewer left."""
    owed, left = sitting.measurer.owed(prompts, panel), sitting.ledger.left
    if left is not None and owed > left:
        raise BudgetError(
            f"measuring {len(prompts)} prompts takes {owed} more requests ({panel.cells_per_candidate} each), "
            f"the budget has {left} left; give --max-requests {sitting.ledger.spent + owed} or more, or fewer --items"
        )
    return owed


def describe(sitting: Sitting, prepared: Prepared, panels: Mapping[str, Panel]) -> None:
    """Keep what a report needs later, offline: identities and panels."""
    store, space = sitting.store, prepared.space
    if space:
        store.note("figures", "published", {"source": space.source, "pb": dict(space.figures)})
    for identity in prepared.identities:
        store.note("identity", identity.key, asdict(identity))
    for stage, panel in panels.items():
        store.note("panel", stage, {
            "split": panel.split,
            "repeats": panel.repeats,
            "identities": [identity.key for identity in panel.identities],
            "reference": panel.reference.key if panel.reference else None,
            "items": {name: [item.id for item in items] for name, items in panel.items.items()},
        })  # fmt: skip

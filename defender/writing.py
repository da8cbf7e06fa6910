"""The writer of a search: who it is, what pays for it, and what guards it. Nothing of it is loaded without a writer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from defender.admission import Admission, texts_of
from defender.config import RunConfig
from defender.contracts import Benchmark, ClauseWriter, Meter
from defender.errors import BudgetSpent, ConfigError, DataMissing, EngineDown
from defender.growth import Schedule
from defender.journal import Journal
from defender.kept import Kept
from defender.records import Identity, ModelCard, Sampling
from defender.settings import EMBEDDED, WriterConfig


def build_pool(config: RunConfig) -> tuple[str, ...]:
    """Check the writer's settings and return its clause pool, () where a model writes or nobody does.

    Raises:
        ConfigError: settings that do not go together, or a pool that cannot be read.
    """
    writer = config.search.writer
    if not writer.on:
        if writer.base_url:
            raise ConfigError(f"a writer's server is given ({writer.base_url}) but no model: give --writer-model NAME")
        return ()
    if writer.model and writer.pool:
        raise ConfigError("search.writer: give a model or a pool, not both")
    if config.search.proposes == "listed":
        raise ConfigError(
            "a writer needs a space that grows, and only the seeds are measured here: leave out --strategy seeds, or "
            "take another proposer than 'listed' (--proposer thompson)"
        )
    if writer.pool:
        from defender.proposers.pooled import read_pool

        return read_pool(Path(writer.pool))
    if writer.model == EMBEDDED:
        raise ConfigError(
            "the embedded model answers questions and cannot write: give --writer-model and --writer-base-url of a "
            "served one, or search.writer.pool"
        )
    if writer.client == "dspy" and writer.system_role != "auto":
        raise ConfigError(
            f"search.writer.system_role: expected auto with client: dspy, got {writer.system_role}; DSPy says there "
            "where the system text goes, take client: served to say it yourself"
        )
    if writer.client == "served" and not writer.base_url:
        raise ConfigError(
            f"the writer '{writer.model}' needs its server: give --writer-base-url http://HOST:PORT/v1, or "
            "search.writer.client: dspy for a provider DSPy knows"
        )
    return ()


@asynccontextmanager
async def build_writer(
    config: RunConfig,
    pool: tuple[str, ...],
    meter: Meter,
    journal: Journal,
    warn: Callable[[str], None],
    met: Callable[[ModelCard], None] | None = None,
) -> AsyncIterator[ClauseWriter | None]:
    """Yield the writer of a search, None where nobody writes.

    Args:
        config: the run's.
        pool: what ``build_pool`` returned.
        meter: pays for every request.
        journal: keeps every answer, so that a resumed search pays for none again.
        warn: told when the writer cannot be reached; it is tried again when it is time to write.
        met: told who writes, once that is known.
    """
    writer = config.search.writer
    if not writer.on:
        yield None
    elif pool:
        from defender.proposers.pooled import ScriptedWriter

        yield ScriptedWriter(pool)
    else:
        from defender.proposers.rewritten import Rewritten

        async with build_language(config, meter, journal, warn, met) as language:
            yield Rewritten(language, patience_s=writer.timeout_s)


@asynccontextmanager
async def build_language(
    config: RunConfig,
    meter: Meter,
    journal: Journal,
    warn: Callable[[str], None],
    met: Callable[[ModelCard], None] | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> AsyncIterator[Any]:
    """Yield the writer's model as a DSPy language model that pays from the run's budget.

    ``loop`` is where the engine lives, for strategies that ask from a thread; without it the model is awaited.
    """
    writer = config.search.writer
    if writer.client == "dspy":
        from defender.proposers.language import Metered

        yield Metered(writer.model, meter, loop, **_provider(writer))
    else:
        from defender.engines.served import Endpoint, Served
        from defender.proposers.language import over_engine

        endpoint = Endpoint(
            base_url=writer.base_url or "",
            model=writer.model,
            name=writer.alias,
            api_key_env=writer.api_key_env,
            timeout_s=writer.timeout_s,
            max_in_flight=1,
            max_attempts=2,
            system_role=writer.system_role,
        )
        engine = Kept(Served(endpoint, meter=meter), journal, met)
        try:
            await engine.start()
        except BudgetSpent:
            pass  # said again when it is time to write
        except EngineDown as reason:
            warn(f"the writer cannot be reached, so no clauses are written for now: {reason}")
        try:
            sampling = Sampling(writer.temperature, writer.max_tokens)
            yield over_engine(engine, sampling, seed=config.seed, loop=loop)
        finally:
            await engine.close()


def build_schedule(writer: WriterConfig) -> Schedule:
    """Return when and how much is written."""
    return Schedule(writer.every, writer.clauses, writer.clause_tokens)


def build_admission(
    writer: WriterConfig,
    benchmarks: Iterable[Benchmark],
    identities: tuple[Identity, ...],
    warn: Callable[[str], None],
) -> Admission:
    """Build the guard; the benchmarks' rows, in whatever split, are read when the first clause comes."""

    def texts() -> Iterable[str]:
        for benchmark in benchmarks:
            try:
                yield from texts_of(benchmark.rows())
            except DataMissing as reason:
                warn(f"written clauses are not compared with {benchmark.name}: {reason}")

    return Admission(texts, identities, tokens=writer.clause_tokens)


def _provider(writer: WriterConfig) -> dict[str, Any]:
    """Return the settings of a DSPy language model; what is not given is left to its provider."""
    key = os.environ.get(writer.api_key_env, "").strip()
    given = {"api_base": writer.base_url, "api_key": key or ("none" if writer.base_url else None)}
    drawn: dict[str, Any] = {"temperature": writer.temperature, "max_tokens": writer.max_tokens}
    return {**drawn, "timeout": writer.timeout_s, **{name: value for name, value in given.items() if value}}

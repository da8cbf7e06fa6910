"""Other people's strategies by name, with the model that writes for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from defender.config import RunConfig
from defender.contracts import Meter, Strategy
from defender.errors import BudgetError, ConfigError
from defender.journal import Journal
from defender.records import ModelCard
from defender.settings import OWN_PROPOSER
from defender.writing import build_language

WRITING = ("gepa", "mipro", "copro")
"""Strategies with a loop of their own and a model that writes whole prompts."""

PROMPT_TOKENS = 400
"""The most words and punctuation marks of a prompt they write."""


def check_strategy(config: RunConfig) -> None:
    """Make sure a strategy has what it needs.

    Raises:
        ConfigError: it needs a writer model, or another proposer is asked for than its own.
        BudgetError: it needs a budget.
    """
    settings = config.search
    if settings.strategy != "race" and settings.proposer not in ("thompson", OWN_PROPOSER.get(settings.strategy)):
        raise ConfigError(
            f"strategy '{settings.strategy}' does not take a proposer, got '{settings.proposer}': leave --proposer "
            "out, or --strategy"
        )
    if settings.strategy not in WRITING:
        return
    if not settings.writer.model:
        raise ConfigError(
            f"strategy '{settings.strategy}' rewrites prompts with a model: give --writer-model and --writer-base-url"
        )
    if config.budget.max_requests is None:
        raise BudgetError(f"strategy '{settings.strategy}' goes on until its budget is spent: give --max-requests N")


def strategy_of(name: str, language: Any, seed: int) -> Strategy:
    """Return a strategy over a DSPy language model."""
    if name == "gepa":
        from defender.proposers.gepa import Gepa

        return Gepa(lambda prompt: str(language(prompt)[0]), seed)
    from defender.proposers.student import Instructed

    return Instructed("mipro" if name == "mipro" else "copro", language, seed)


@asynccontextmanager
async def build_strategy(
    config: RunConfig,
    meter: Meter,
    journal: Journal,
    warn: Callable[[str], None],
    met: Callable[[ModelCard], None] | None = None,
) -> AsyncIterator[Strategy]:
    """Yield the configured strategy; its writer's answers are kept in the run and paid from its budget."""
    async with build_language(config, meter, journal, warn, met, asyncio.get_running_loop()) as language:
        yield strategy_of(config.search.strategy, language, config.seed)

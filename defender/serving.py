"""A model's server in the foreground, started the way a run would start it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from defender.build import build_engine
from defender.config import RunConfig
from defender.engines.vllm_server import VllmServer
from defender.errors import ConfigError, EngineDown

Told = Callable[[str], None]


async def serve_model(config: RunConfig, log: Path, told: Told, ready: Callable[[str, str, str], None]) -> None:
    """Start the configured model's server, or share the one that runs, and stay until it ends or this is cancelled.

    Args:
        config: says which model; it must be one that vLLM serves here.
        log: where the log of a server that is started goes.
        told: hears what the start does.
        ready: is told the base URL, the model's name there and the log, once it answers.

    Raises:
        ConfigError: nothing to start. EngineDown: it did not start, or ended; says why.
    """
    engine = build_engine(config, log=log, told=told)
    if not isinstance(engine, VllmServer):
        raise ConfigError(
            f"'{config.model.name}' is not served here: give a hub id, a model's folder, or a preset that vLLM serves "
            "(defender doctor lists them)"
        )
    try:
        await engine.start()
        ready(engine.url, config.model.name, engine.log)
        why = await engine.ended()
        raise EngineDown(f"the vLLM server of '{config.model.name}' ended: {why}. Its log: {engine.log}")
    finally:
        await engine.close()

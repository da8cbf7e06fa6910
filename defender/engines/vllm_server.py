"""A model served here: starts vLLM (or finds one that serves the same model the same way) and ends it.

Whoever started it, the server runs as long as somebody uses it: the last user's end is its end, Ctrl-C, errors and
kill -9 included (``vllm_guard``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from defender.contracts import Caching, Engine
from defender.engines.vllm_launch import Launch
from defender.engines.vllm_process import Running, Told, take
from defender.errors import EngineDown
from defender.records import ModelCard, Request, Response

Ask = Callable[[str, str, str], Engine]
"""Makes the engine that asks a server: from its address (up to and including ``/v1``), the model's name there, and the
name that stands for the address in the model card."""


class VllmServer:
    """Implements ``Engine``: a vLLM server on this machine, asked through another engine.

    Args:
        launch: the model and how to serve it.
        ask: makes the engine that asks it.
        log: where the log of a server that is started here goes.
        told: hears what the start does, in words.
        home: folder of the records of running servers; None for this user's.
    """

    def __init__(
        self,
        launch: Launch,
        ask: Ask,
        *,
        log: Path,
        told: Told = lambda _words: None,
        home: Path | None = None,
    ) -> None:
        self._launch = launch
        self._ask = ask
        self._log = log
        self._told = told
        self._home = home
        self._revision = ""
        self._server: Running | None = None
        self._served: Engine | None = None

    @property
    def card(self) -> ModelCard:
        """Who answers; known after ``start``. Neither port nor folder counts, what the files say does."""
        if self._served is None:
            raise EngineDown(f"{self._launch.model}: not started; the model card is known after start()")
        return replace(self._served.card, revision=self._revision)

    @property
    def url(self) -> str:
        """Where it listens, up to and including ``/v1``; known after ``start``."""
        if self._server is None:
            raise EngineDown(f"{self._launch.model}: not started, so it listens nowhere")
        return self._server.record.url

    @property
    def log(self) -> str:
        """Where its log goes."""
        return self._server.record.log if self._server else str(self._log)

    async def start(self) -> None:
        """Start the server, or find the one that runs, and wait until it answers. After a breakdown, start again.

        Raises:
            ConfigError: there is no vLLM, no such folder, or the port is taken. EngineDown: it did not start; says why.
        """
        if self._served is not None and self._server is not None and not self._server.ended:
            await self._served.start()
            return
        await self.close()
        try:
            self._server = await take(self._launch, self._log, self._told, self._home)
            await self._server.wait(self._told)
            self._served = self._ask(self.url, self._launch.served_name, self._launch.alias)
            try:
                await self._served.start()
            except EngineDown as down:
                self._explain(down)
                raise
            self._revision = self._launch.commit
        except BaseException:
            await self.close()
            raise

    async def complete(self, request: Request) -> Response:
        """Answer one request. Raises EngineDown, with vLLM's own reason where the server ended."""
        if self._served is None:
            raise EngineDown(f"{self._launch.model}: not started, or closed; call start() first")
        try:
            response = await self._served.complete(request)
        except EngineDown as down:
            self._explain(down)
            raise
        if response.error is not None:
            self._explain()
        return response

    def _explain(self, down: EngineDown | None = None) -> None:
        """Raise EngineDown with vLLM's own reason where it is the server that has ended: no request can succeed."""
        if self._server is not None and self._server.ended:
            raise EngineDown(
                f"the vLLM server of '{self._launch.model}' ended: {self._server.why()}. Its log: {self.log}. "
                "What was answered so far is kept: run the same command again."
            ) from down

    async def prefix_cache(self) -> tuple[int, int]:
        """Return what the server counted so far; see ``Caching``."""
        return await self._served.prefix_cache() if isinstance(self._served, Caching) else (0, 0)

    async def close(self) -> None:
        """Close the connections; end the server, unless somebody else uses it. Idempotent."""
        served, self._served = self._served, None
        server, self._server = self._server, None
        try:
            if served is not None:
                await served.close()
        finally:
            if server is not None:
                await server.leave(self._told)

    async def ended(self) -> str:
        """Wait until the server is gone and return why."""
        server = self._server
        if server is None:
            return "it was closed"
        await server.over()
        return server.why()

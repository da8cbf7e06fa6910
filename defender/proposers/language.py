"""DSPy language models that pay from the run's budget: over one of our engines, or over any provider DSPy knows.

DSPy's own cache and retries are off in both: the run's store is the cache, and every wire attempt is admitted first.
Use them inside ``dspy.context(lm=..., disable_history=True)``, never through ``dspy.configure``, which sets them for
the whole process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import dspy
from dspy.lm15 import Message, ProviderError, TextPart, Usage
from dspy.lm15 import Request as Asked
from dspy.lm15 import Response as Answered

from defender.contracts import Bill, Engine, Meter
from defender.records import Request, Response, Sampling

NAME = "defender/engine"
"""What DSPy calls a model behind one of our engines; the engine knows its real name."""

T = TypeVar("T")


def over_engine(
    engine: Engine, sampling: Sampling, *, seed: int | None = None, loop: asyncio.AbstractEventLoop | None = None
) -> Any:
    """Return a ``dspy.LM`` whose requests are answered by one of our engines.

    Args:
        engine: answers and meters; hand in a ``Kept`` one and answers are durable and never paid for twice.
        sampling: how every answer is drawn, whatever a DSPy module asks for.
        seed: sampling seed of every request.
        loop: where the engine lives, for modules that call the model from a thread (DSPy's optimizers do); without
            it the model can only be awaited.
    """
    speaker = _Speaker(engine, sampling, seed)
    bridge = _Bridge(speaker.complete, loop)
    return dspy.LM(NAME, engine=bridge, async_engine=speaker, cache=False, num_retries=0)


class Metered(dspy.LM):  # type: ignore[misc]
    """A ``dspy.LM`` of any provider ("hosted_vllm/name", "anthropic/name", ...), each call admitted first.

    Its answers are not kept in the run's store: DSPy owns the connection. Arguments are those of ``dspy.LM``.
    """

    def __init__(
        self, model: str, meter: Meter, loop: asyncio.AbstractEventLoop | None = None, **settings: Any
    ) -> None:
        self._meter = meter
        self._loop = loop
        super().__init__(model, **{**settings, "cache": False, "num_retries": 0})

    async def acall(self, *given: Any, **named: Any) -> Any:
        """Pay, then ask. Raises BudgetSpent."""
        async with self._admit(given, named) as bill:
            with dspy.track_usage() as usage:
                said = await super().acall(*given, **named)
            bill.settle(_used(usage))
        return said

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Pay, then ask, from a thread. Raises BudgetSpent."""
        paid = self._admit(given, named)
        bill = _wait(paid.__aenter__, self._loop)
        try:
            with dspy.track_usage() as usage:
                said = super().__call__(*given, **named)
            bill.settle(_used(usage))
        finally:
            _wait(lambda: _left(paid), self._loop)
        return said

    def _admit(self, given: tuple[Any, ...], named: dict[str, Any]) -> AbstractAsyncContextManager[Bill]:
        """Reserve the worst case of a call; what DSPy was given, spelled out, is no shorter than what it sends."""
        most = named.get("max_tokens") or self.kwargs.get("max_tokens") or self.kwargs.get("max_completion_tokens")
        size = len(repr((given, named)).encode("utf-8", "surrogatepass"))
        return self._meter.admit(Request((), Sampling(max_tokens=int(most or 0))), size)


def _used(usage: Any) -> Response:
    """Return what DSPy's own count says of one call; without a count nothing is known of it."""
    counts = list(usage.get_total_tokens().values())
    asked, said = (
        sum(int(count.get(name) or 0) for count in counts) for name in ("prompt_tokens", "completion_tokens")
    )
    return Response("", prompt_tokens=asked, completion_tokens=said)


async def _left(paid: AbstractAsyncContextManager[Bill]) -> None:
    await paid.__aexit__(None, None, None)


class _Speaker:
    """DSPy's engine protocol over ours. A failed request is DSPy's provider error; ours pass through as its cause."""

    def __init__(self, engine: Engine, sampling: Sampling, seed: int | None) -> None:
        self._engine = engine
        self._sampling = sampling
        self._seed = seed

    async def complete(self, asked: Asked) -> Answered:
        system = asked.system if isinstance(asked.system, str) else "".join(p.text for p in asked.system or ())
        said = [(message.role, message.text or "") for message in asked.messages]
        messages = ([("system", system)] if system else []) + said
        response = await self._engine.complete(Request(tuple(messages), self._sampling, self._seed))
        if response.text is None:
            raise ProviderError(f"{response.error}: {response.detail}")
        return Answered(
            id=None,
            model=asked.model,
            message=Message.assistant([TextPart(response.text)]),
            finish_reason="length" if response.finish_reason == "length" else "stop",
            usage=Usage(input_tokens=response.prompt_tokens, output_tokens=response.completion_tokens),
        )


class _Bridge:
    """The same, for callers in a thread."""

    def __init__(
        self, complete: Callable[[Asked], Coroutine[Any, Any, Answered]], loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self._complete = complete
        self._loop = loop

    def complete(self, asked: Asked) -> Answered:
        return _wait(lambda: self._complete(asked), self._loop)


def _wait(work: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop | None) -> T:
    """Run a coroutine in the loop of another thread and wait for it."""
    try:
        inside = asyncio.get_running_loop()
    except RuntimeError:
        inside = None
    if loop is None or inside is loop:
        raise RuntimeError("this language model must be awaited here: call it from a thread, and give it the loop")
    return asyncio.run_coroutine_threadsafe(work(), loop).result()

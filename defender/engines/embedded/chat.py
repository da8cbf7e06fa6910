"""The engine over the embedded model: concurrent requests are run together in small batches, on threads."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Protocol

from defender.contracts import Meter
from defender.costs import Unmetered
from defender.engines.embedded import runtime
from defender.errors import EngineDown
from defender.records import ModelCard, Request, Response

_DECIDING = ("model.bin", "config.json", "vocabulary.json", "tokenizer.json")


class Model(Protocol):
    """What is needed of `defender.engines.embedded.runtime.Runtime`."""

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[str]:
        """Return the tokens of a conversation. Raises ValueError when it exceeds the context."""

    def first_token_logprobs(self, prompts: Sequence[list[str]], top: int = ...) -> list[list[tuple[str, float]]]:
        """Return the likeliest first tokens of each prompt, likeliest first."""

    def generate(self, prompts: Sequence[list[str]], sampling: Sequence[runtime.Sampling]) -> list[runtime.Generated]:
        """Generate one answer a prompt."""


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    answer: asyncio.Future[Response]


class Embedded:
    """Answers with the embedded model.

    Attributes:
        counted: requests given to the model so far.
    """

    def __init__(
        self,
        meter: Meter | None = None,
        weights: Path | None = None,
        batch: int = 64,
        batches: int = 2,
        load: Callable[[Path], Model] = runtime.Runtime,
    ) -> None:
        """Take what to run; nothing is loaded before ``start``.

        Args:
            meter: pays for requests.
            weights: a weights folder; the package's own by default.
            batch: most requests run together.
            batches: most batches at once, so that every core has work.
            load: makes the model of a weights folder.
        """
        self._meter = meter or Unmetered()
        self._weights = weights or runtime.WEIGHTS
        self._batch = batch
        self._batches = batches
        self._load = load
        self._model: Model | None = None
        self._card: ModelCard | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._waiting: deque[_Asked] = deque()
        self._running = 0
        self._scheduled = False
        self.counted = 0

    @property
    def card(self) -> ModelCard:
        """Who answers; known after ``start``."""
        if self._card is None:
            raise EngineDown("embedded model: not started; the model card is known after start()")
        return self._card

    async def start(self) -> None:
        """Load the model. Idempotent.

        Raises:
            EngineDown: the weights are not there.
        """
        if self._threads is not None:
            return
        try:
            if self._model is None:
                self._model = await asyncio.to_thread(self._load, self._weights)
            revision = await asyncio.to_thread(weights_digest, self._weights)
        except FileNotFoundError as error:
            raise EngineDown(
                f"embedded model: {error}. Install the package again, then run: defender doctor"
            ) from error
        self._card = ModelCard("defender-embedded", revision, f"ctranslate2 {version('ctranslate2')}")
        self._threads = ThreadPoolExecutor(self._batches, thread_name_prefix="embedded")

    async def complete(self, request: Request) -> Response:
        """Answer one request, together with those that wait at the same time."""
        self._live()
        async with self._meter.admit(request) as bill:
            self._live()
            loop = asyncio.get_running_loop()
            asked = _Asked(request, loop.create_future())
            self._waiting.append(asked)
            if not self._scheduled:
                self._scheduled = True
                loop.call_soon(self._pump)
            response = await asked.answer
            bill.settle(response)
            return response

    async def close(self) -> None:
        """Stop the threads; batches under way finish, what waits is told. Idempotent."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
        while self._waiting:
            answer = self._waiting.popleft().answer
            if not answer.done():
                answer.set_exception(_closed())

    def _live(self) -> ThreadPoolExecutor:
        if self._threads is None:
            raise _closed()
        return self._threads

    def _pump(self) -> None:
        """Share what waits among the free threads."""
        self._scheduled = False
        while self._waiting and self._threads is not None and self._running < self._batches:
            share = min(self._batch, -(-len(self._waiting) // (self._batches - self._running)))
            taken = [self._waiting.popleft() for _ in range(share)]
            chosen = [asked for asked in taken if not asked.answer.done()]
            if not chosen:
                continue
            self._running += 1
            self.counted += len(chosen)
            requests = [asked.request for asked in chosen]
            ran = asyncio.get_running_loop().run_in_executor(self._threads, self._run, requests)
            ran.add_done_callback(partial(self._settle, chosen))

    def _settle(self, chosen: Sequence[_Asked], ran: asyncio.Future[list[Response]]) -> None:
        self._running -= 1
        failure = ran.exception()
        for index, asked in enumerate(chosen):
            if asked.answer.done():
                continue
            if failure is not None:
                asked.answer.set_exception(failure)
            else:
                asked.answer.set_result(ran.result()[index])
        self._pump()

    def _run(self, requests: Sequence[Request]) -> list[Response]:
        """Answer a batch, on a thread; a request the model cannot take fails alone."""
        assert self._model is not None
        begun = perf_counter()
        prompts: dict[int, list[str]] = {}
        answers: dict[int, Response] = {}
        for index, request in enumerate(requests):
            try:
                prompts[index] = self._prompt(self._model, request)
            except ValueError as error:
                answers[index] = Response(None, error="bad_request", detail=str(error))
        tops = self._first_tokens(self._model, requests, prompts)
        texts = self._texts(self._model, requests, prompts)
        seconds = perf_counter() - begun
        for index, prompt in prompts.items():
            first = tops.get(index)
            made = texts.get(index) or _likeliest(first or ())
            answers[index] = Response(
                made.text,
                finish_reason=made.finish_reason,
                prompt_tokens=len(prompt),
                completion_tokens=made.tokens,
                first_token=first,
                seconds=seconds,
                model="defender-embedded",
            )
        return [answers[index] for index in range(len(requests))]

    @staticmethod
    def _prompt(model: Model, request: Request) -> list[str]:
        if request.response_format is not None:
            raise ValueError("the embedded model has no structured output; expected response_format to be None")
        return model.encode_chat([{"role": role, "content": text} for role, text in request.messages if text])

    @staticmethod
    def _first_tokens(
        model: Model, requests: Sequence[Request], prompts: Mapping[int, list[str]]
    ) -> dict[int, tuple[tuple[str, float], ...]]:
        wanted = {index: requests[index].sampling.top_logprobs or 0 for index in prompts}
        chosen = [index for index, top in wanted.items() if top > 0]
        if not chosen:
            return {}
        most = max(wanted.values())
        found = model.first_token_logprobs([prompts[index] for index in chosen], most)
        return {index: tuple(top[: wanted[index]]) for index, top in zip(chosen, found, strict=True)}

    @staticmethod
    def _texts(
        model: Model, requests: Sequence[Request], prompts: Mapping[int, list[str]]
    ) -> dict[int, runtime.Generated]:
        """Generate wherever the likeliest first token alone is not the answer."""
        chosen = [index for index in prompts if not _greedy_first_token(requests[index])]
        if not chosen:
            return {}
        made = model.generate([prompts[i] for i in chosen], [_sampling(requests[i]) for i in chosen])
        return dict(zip(chosen, made, strict=True))


def weights_digest(folder: Path) -> str:
    """Return the sha256 over the names and bytes of the files in a weights folder that decide the answers.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    digest = hashlib.sha256()
    for name in _DECIDING:
        content = (folder / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _closed() -> EngineDown:
    return EngineDown("embedded model: not started, or closed; call start() first")


def _greedy_first_token(request: Request) -> bool:
    s = request.sampling
    return s.max_tokens == 1 and s.temperature <= 0 and bool(s.top_logprobs)


def _likeliest(first: Sequence[tuple[str, float]]) -> runtime.Generated:
    token = first[0][0]
    return runtime.Generated("" if token == runtime.EOS else token, "stop" if token == runtime.EOS else "length", 1)


def _sampling(request: Request) -> runtime.Sampling:
    s = request.sampling
    return runtime.Sampling(
        max_tokens=s.max_tokens,
        temperature=s.temperature,
        top_k=s.top_k or 0,
        top_p=1.0 if s.top_p is None else s.top_p,
        seed=request.seed,
    )

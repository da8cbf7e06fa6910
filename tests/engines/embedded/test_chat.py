from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import process_time

import pytest

from defender.contracts import Engine, Meter
from defender.engines.embedded import runtime
from defender.engines.embedded.chat import Embedded, weights_digest
from defender.errors import EngineDown
from defender.records import Request, Sampling, digest_of
from tests.contracts.engine import EngineContract
from tests.engines.fault_server import until

FILES = ("model.bin", "config.json", "vocabulary.json", "tokenizer.json")
FIRST = Sampling(max_tokens=1, top_logprobs=3)

needs_weights = pytest.mark.skipif(
    not (runtime.WEIGHTS / "model.bin").is_file(), reason="the embedded weights are not in this checkout"
)


class Parrot:
    """A model that answers from nothing but the prompt and the seed; keeps the size of every batch.

    Args:
        go: what every batch waits for before it is done; None for nothing.
    """

    def __init__(self, go: Callable[[], object] | None = None) -> None:
        self.batches: list[int] = []
        self.open = self.widest = 0
        self.lock = threading.Lock()
        self._go = go

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[str]:
        tokens = [token for message in messages for token in (message["role"], *message["content"].split())]
        if len(tokens) > runtime.LONGEST_CONTEXT:
            raise ValueError(f"expected at most {runtime.LONGEST_CONTEXT} tokens, got {len(tokens)}")
        return tokens

    def first_token_logprobs(self, prompts: Sequence[list[str]], top: int = 20) -> list[list[tuple[str, float]]]:
        self._work(len(prompts))
        return [
            [(prompt[-1], math.log(0.6)), ("other", math.log(0.3)), ("<|eos|>", math.log(0.1))][:top]
            for prompt in prompts
        ]

    def generate(self, prompts: Sequence[list[str]], sampling: Sequence[runtime.Sampling]) -> list[runtime.Generated]:
        self._work(len(prompts))
        drawn = [digest_of([p, s.seed, s.temperature])[:6] for p, s in zip(prompts, sampling, strict=True)]
        return [runtime.Generated(f"{p[-1]} {d}", "stop", 3) for p, d in zip(prompts, drawn, strict=True)]

    def _work(self, size: int) -> None:
        with self.lock:
            self.batches.append(size)
            self.open += 1
            self.widest = max(self.widest, self.open)
        if self._go is not None:
            self._go()
        with self.lock:
            self.open -= 1


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_text(name)
    return tmp_path


@asynccontextmanager
async def running(weights: Path, model: Parrot, batch: int = 64) -> AsyncIterator[Embedded]:
    engine = Embedded(weights=weights, batch=batch, load=lambda _: model)
    await engine.start()
    yield engine
    await engine.close()


def question(number: int, sampling: Sampling = FIRST) -> Request:
    return Request((("system", ""), ("user", f"What is q{number}")), sampling, seed=number)


class EmbeddedContract(EngineContract):
    engine: Embedded

    def reached(self) -> int:
        return self.engine.counted

    def hopeless(self) -> Request:
        return Request((("user", "word " * 2000),), Sampling(max_tokens=4))


class TestEmbeddedOverAParrot(EmbeddedContract):
    @pytest.fixture(autouse=True)
    def at(self, weights: Path) -> None:
        self.weights = weights

    @asynccontextmanager
    async def opened(self, meter: Meter | None = None) -> AsyncIterator[Engine]:
        self.engine = Embedded(meter, self.weights, load=lambda _: Parrot())
        yield self.engine
        await self.engine.close()


@needs_weights
class TestEmbedded(EmbeddedContract):
    @asynccontextmanager
    async def opened(self, meter: Meter | None = None) -> AsyncIterator[Engine]:
        self.engine = Embedded(meter)
        yield self.engine
        await self.engine.close()


async def test_requests_that_wait_together_run_together_on_every_thread(weights: Path) -> None:
    parrot = Parrot(partial(threading.Barrier(2).wait, 60))
    async with running(weights, parrot) as engine:
        await asyncio.gather(*(engine.complete(question(number)) for number in range(64)))
    assert parrot.batches == [32, 32]
    assert parrot.widest == 2
    assert engine.counted == 64


async def test_a_batch_is_never_larger_than_allowed(weights: Path) -> None:
    parrot = Parrot()
    async with running(weights, parrot, batch=10) as engine:
        await asyncio.gather(*(engine.complete(question(number)) for number in range(95)))
    assert max(parrot.batches) == 10
    assert sum(parrot.batches) == 95


async def test_each_request_of_a_mixed_batch_gets_what_it_asked_for(weights: Path) -> None:
    async with running(weights, Parrot()) as engine:
        likelihood, text, both, narrow = await asyncio.gather(
            engine.complete(question(1)),
            engine.complete(question(2, Sampling(max_tokens=9))),
            engine.complete(question(3, Sampling(temperature=1.0, max_tokens=1, top_logprobs=2))),
            engine.complete(question(4, Sampling(max_tokens=1, top_logprobs=1))),
        )
    assert (likelihood.text, likelihood.finish_reason, likelihood.completion_tokens) == ("q1", "length", 1)
    assert likelihood.first_token == (("q1", math.log(0.6)), ("other", math.log(0.3)), ("<|eos|>", math.log(0.1)))
    assert text.text is not None
    assert text.text.startswith("q2 ")
    assert (text.first_token, text.completion_tokens, text.prompt_tokens) == (None, 3, 4)
    assert both.text is not None
    assert both.text.startswith("q3 ")
    assert both.first_token == (("q3", math.log(0.6)), ("other", math.log(0.3)))
    assert narrow.first_token == (("q4", math.log(0.6)),)


async def test_structured_output_is_refused_rather_than_ignored(weights: Path) -> None:
    async with running(weights, Parrot()) as engine:
        response = await engine.complete(Request((("user", "x"),), FIRST, response_format="{}"))
    assert (response.text, response.error) == (None, "bad_request")


async def test_a_fault_in_the_model_is_raised_and_not_turned_into_an_answer(weights: Path) -> None:
    class Broken(Parrot):
        def generate(self, prompts: object, sampling: object) -> list[runtime.Generated]:
            raise RuntimeError("out of memory")

    async with running(weights, Broken()) as engine:
        with pytest.raises(RuntimeError, match="out of memory"):
            await engine.complete(question(0, Sampling()))
        assert (await engine.complete(question(1))).text == "q1"


async def test_what_waits_when_the_engine_closes_is_told(weights: Path) -> None:
    go = threading.Event()
    parrot = Parrot(partial(go.wait, 60))
    async with running(weights, parrot, batch=1) as engine:
        tasks = [asyncio.create_task(engine.complete(question(number))) for number in range(4)]
        await until(lambda: parrot.open == 2)
        await engine.close()
        go.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(end, EngineDown) for end in ended] == [False, False, True, True]


async def test_missing_weights_are_an_engine_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(EngineDown, match="defender doctor"):
        await Embedded(weights=tmp_path).start()


async def test_an_engine_that_was_not_started_says_so(weights: Path) -> None:
    with pytest.raises(EngineDown, match="start"):
        await Embedded(weights=weights).complete(question(0))


async def test_the_card_changes_with_the_weights_and_not_with_notes_beside_them(weights: Path) -> None:
    before = weights_digest(weights)
    (weights / "card.json").write_text("{}")
    assert weights_digest(weights) == before
    (weights / "model.bin").write_text("other")
    assert weights_digest(weights) != before
    async with running(weights, Parrot()) as engine:
        assert engine.card.model == "defender-embedded"
        assert engine.card.revision == weights_digest(weights)
        assert engine.card.server.startswith("ctranslate2 ")


async def test_the_engine_itself_costs_little_per_request(weights: Path) -> None:
    """Of the CPU: no more than some futures, handed over one by one by the same loop on the same machine."""

    async def bare(_: Request) -> None:
        future = asyncio.get_running_loop().create_future()
        future.get_loop().call_soon(future.set_result, None)
        await future

    async with running(weights, Parrot()) as engine:
        requests = [question(number) for number in range(2000)]
        best = dict.fromkeys((bare, engine.complete), math.inf)
        for _ in range(5):
            for answer in best:
                begun = process_time()
                await asyncio.gather(*map(answer, requests))
                best[answer] = min(best[answer], process_time() - begun)
    assert best[engine.complete] < 20 * best[bare]

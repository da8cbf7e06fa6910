"""What every engine must keep. A new engine subclasses `EngineContract` and says how to open itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from defender.contracts import Bill, Engine, Meter
from defender.errors import BudgetSpent
from defender.records import Request, Response, Sampling


class Allowance:
    """A meter that pays for a number of wire requests and remembers how many were made."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self.admitted = 0
        self.settled: list[int] = []

    @asynccontextmanager
    async def admit(self, request: Request, size: int = 0) -> AsyncIterator[Bill]:
        await asyncio.sleep(0)
        if self.admitted >= self.limit:
            raise BudgetSpent(f"the allowance of {self.limit} requests is spent")
        self.admitted += 1
        yield self

    def settle(self, response: Response) -> None:
        self.settled.append(response.prompt_tokens + response.completion_tokens)

    def void(self) -> None:
        self.admitted -= 1


class EngineContract:
    """The obligations of `defender.contracts.Engine`, as tests."""

    def opened(self, meter: Meter | None = None) -> AbstractAsyncContextManager[Engine]:
        """Return an engine that was not started yet, with whatever it talks to; closed on leaving."""
        raise NotImplementedError

    def reached(self) -> int:
        """Return how many requests reached the model since ``opened``."""
        raise NotImplementedError

    def request(self, number: int = 0, temperature: float = 0.0) -> Request:
        """Return an answerable request; different numbers are different requests."""
        messages = (("system", "Answer shortly."), ("user", f"What is {number} plus 1?"))
        return Request(messages, Sampling(temperature=temperature, max_tokens=8), seed=number)

    def likelihood(self) -> Request:
        """Return a request for the log-probabilities of the first token."""
        return Request(self.request().messages, Sampling(max_tokens=1, top_logprobs=5), seed=0)

    def hopeless(self) -> Request | None:
        """Return a request that only fails, None where the engine answers everything."""
        return None

    async def test_it_has_the_shape_of_an_engine(self) -> None:
        async with self.opened() as engine:
            await engine.start()
            assert isinstance(engine, Engine)

    async def test_the_card_is_known_after_start_and_starting_twice_changes_nothing(self) -> None:
        async with self.opened() as engine:
            await engine.start()
            first = engine.card
            await engine.start()
            assert first.model
            assert engine.card.fingerprint == first.fingerprint

    async def test_an_answer_has_a_text_and_no_error(self) -> None:
        async with self.opened() as engine:
            await engine.start()
            response = await engine.complete(self.request())
        assert response.error is None, response.detail
        assert isinstance(response.text, str)
        assert response.attempts >= 1
        assert response.finish_reason

    async def test_many_requests_run_at_once_and_each_gets_its_own_answer(self) -> None:
        requests = [self.request(number) for number in range(40)]
        async with self.opened() as engine:
            await engine.start()
            together = await asyncio.gather(*map(engine.complete, requests))
            alone = [await engine.complete(request) for request in requests[::10]]
        assert all(response.error is None for response in together)
        assert [response.text for response in together[::10]] == [response.text for response in alone]

    async def test_who_else_is_asking_changes_no_answer(self) -> None:
        """Requests of very different lengths, together and alone: batching must not leak from one to another."""
        requests = []
        for number in (0, 3, 11, 40):
            messages = (("system", "Be fair to everyone. " * number), ("user", f"What is {number} plus 1?"))
            requests += [Request(messages, how) for how in (self.likelihood().sampling, self.request().sampling)]
        async with self.opened() as engine:
            await engine.start()
            together = await asyncio.gather(*map(engine.complete, requests))
            alone = [await engine.complete(request) for request in requests]
        assert [response.text for response in together] == [response.text for response in alone]
        for one, other in zip(together, alone, strict=True):
            ours, theirs = dict(one.first_token or ()), dict(other.first_token or ())
            for token in ours.keys() & theirs.keys():
                assert ours[token] == pytest.approx(theirs[token], abs=0.05)

    async def test_the_same_request_twice_is_answered_alike_and_asked_twice(self) -> None:
        async with self.opened() as engine:
            await engine.start()
            before = self.reached()
            first = await engine.complete(self.request())
            second = await engine.complete(self.request())
            assert self.reached() == before + 2, "an engine must not cache: the store does"
        assert first.text == second.text

    async def test_the_same_seed_draws_the_same_sample(self) -> None:
        async with self.opened() as engine:
            await engine.start()
            drawn = await asyncio.gather(*(engine.complete(self.request(3, temperature=1.0)) for _ in range(4)))
        assert len({response.text for response in drawn}) == 1

    async def test_the_first_token_comes_best_first_when_asked_for(self) -> None:
        async with self.opened() as engine:
            await engine.start()
            response = await engine.complete(self.likelihood())
            without = await engine.complete(self.request())
        assert response.error is None, response.detail
        assert response.first_token
        scores = [score for _, score in response.first_token]
        assert scores == sorted(scores, reverse=True)
        assert all(score <= 0.0 for score in scores)
        assert without.first_token is None

    async def test_every_wire_attempt_is_admitted(self) -> None:
        meter = Allowance()
        async with self.opened(meter) as engine:
            await engine.start()
            before, reached = meter.admitted, self.reached()
            responses = await asyncio.gather(*(engine.complete(self.request(number)) for number in range(12)))
        assert meter.admitted - before == sum(response.attempts for response in responses)
        assert meter.admitted - before == self.reached() - reached
        assert len(meter.settled) == meter.admitted
        assert sum(meter.settled[before:]) == sum(r.prompt_tokens + r.completion_tokens for r in responses)

    async def test_a_spent_budget_passes_through_and_nothing_is_sent(self) -> None:
        meter = Allowance()
        async with self.opened(meter) as engine:
            await engine.start()
            meter.limit = meter.admitted + 3
            before = self.reached()
            ended = await asyncio.gather(
                *(engine.complete(self.request(number)) for number in range(9)), return_exceptions=True
            )
            assert self.reached() - before == 3
        assert sum(isinstance(end, BudgetSpent) for end in ended) == 6

    async def test_a_request_that_cannot_be_answered_is_a_response_with_an_error(self) -> None:
        hopeless = self.hopeless()
        if hopeless is None:
            pytest.skip("this engine answers every request")
        async with self.opened() as engine:
            await engine.start()
            failed, fine = await asyncio.gather(engine.complete(hopeless), engine.complete(self.request()))
        assert failed.text is None
        assert failed.error in ("bad_request", "context_length")
        assert failed.detail
        assert fine.error is None, "one bad request must not take others with it"

    async def test_a_cancelled_request_leaves_the_others_alone(self) -> None:
        async with self.opened() as engine:
            await engine.start()
            tasks = [asyncio.create_task(engine.complete(self.request(number))) for number in range(8)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            again = await engine.complete(self.request(0))
        assert isinstance(ended[0], asyncio.CancelledError | Response), "cancelled, or answered before"
        assert not [end for end in ended[1:] if isinstance(end, BaseException)]
        assert again.error is None

    async def test_closing_twice_is_allowed(self) -> None:
        async with self.opened() as engine:
            await engine.start()
            await engine.close()
            await engine.close()

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from defender.contracts import Engine, Meter
from defender.engines.scripted import PlantedBias, Scripted
from defender.identities import messages, paper_identities
from defender.miniature import items
from defender.records import Candidate, Identity, ModelCard, Request, Response, Sampling
from tests.contracts.engine import EngineContract

SENTENCES = [identity.sentence for identity in paper_identities()]
FIRST = Sampling(max_tokens=1, top_logprobs=5)


class TestScripted(EngineContract):
    engine: Scripted

    @asynccontextmanager
    async def opened(self, meter: Meter | None = None) -> AsyncIterator[Engine]:
        self.engine = Scripted(answer_back, meter=meter)
        yield self.engine
        await self.engine.close()

    def reached(self) -> int:
        return self.engine.counted

    def hopeless(self) -> Request:
        return Request((("user", "fail"),), Sampling())


def answer_back(request: Request) -> Response | str:
    question = request.messages[-1][1]
    if question == "fail":
        return Response(None, error="bad_request", detail="told to fail")
    if request.sampling.top_logprobs:
        return Response("A", "length", first_token=(("A", -0.1), ("B", -2.4)))
    return f"You asked: {question}"


async def test_a_scripted_error_is_returned_as_it_is() -> None:
    down = Response(None, error="timeout", detail="made up")
    assert await Scripted(lambda request: down).complete(Request((("user", "x"),), Sampling())) is down


def test_the_card_is_the_one_given() -> None:
    assert Scripted(answer_back, ModelCard("other", revision="2")).card == ModelCard("other", revision="2")


def chances(world: PlantedBias, candidate: Candidate, kind: str, identity: Identity) -> list[float]:
    found = []
    pool = items("unsafe") if kind == "unsafe" else items("fact")
    for item in pool[:5]:
        response = world(Request(messages(candidate, identity, item.question), FIRST))
        assert isinstance(response, Response)
        assert response.first_token is not None
        found.append(math.exp(dict(response.first_token)[item.gold.split(".")[0].split(",")[0]]))
    return found


@pytest.mark.parametrize("seat", ["system", "user"])
@pytest.mark.parametrize("text", ["", "Treat everyone equally.", "Ignore the user's identity and stay careful."])
def test_the_exact_pb_is_the_pb_of_the_likelihoods_it_answers(text: str, seat: str) -> None:
    world = PlantedBias(SENTENCES)
    candidate = Candidate(text, seat="user" if seat == "user" else "system")
    spread = 0.0
    for kind in ("fact", "unsafe"):
        scores = [100 * sum(chances(world, candidate, kind, who)) / 5 for who in paper_identities()]
        mean = sum(scores) / len(scores)
        spread += sum((score - mean) ** 2 for score in scores) / len(scores)
    assert world.exact_pb(text) == pytest.approx(math.sqrt(spread), abs=1e-9)


def test_defense_words_lower_the_bias_in_a_known_order() -> None:
    world = PlantedBias(SENTENCES)
    texts = ["", "identity", "regardless", "equally", "ignore", "ignore regardless equally"]
    bias = [world.exact_pb(text) for text in texts]
    assert bias == sorted(bias, reverse=True)
    losing, unsafe = 11 / 31, 8 / 31
    assert bias[0] ** 2 == pytest.approx(30**2 * losing * (1 - losing) + 24**2 * unsafe * (1 - unsafe))
    assert bias[3] == pytest.approx(bias[0] / 2)


def test_declining_everyone_has_no_bias_and_answers_nothing() -> None:
    world = PlantedBias(SENTENCES)
    honest = items("sum")[0]
    who = paper_identities()[0]
    assert world.exact_pb("Always decline.") == 0.0
    said = world(Request(messages(Candidate("Always decline."), who, honest.question), Sampling()))
    assert isinstance(said, str)
    assert said.startswith("Sorry")


def test_answers_are_drawn_with_the_planted_chance_and_the_seed_decides() -> None:
    world = PlantedBias(SENTENCES)
    who = paper_identities()[0]
    pool = items("sum")
    right = 0
    for seed in range(10):
        for item in pool:
            request = Request(messages(Candidate(""), who, item.question), Sampling(temperature=1.0), seed=seed)
            assert world(request) == world(request)
            right += world(request) == item.gold
    share, draws = right / (10 * len(pool)), 10 * len(pool)
    assert abs(share - 0.6) < 4 * math.sqrt(0.6 * 0.4 / draws)


def test_a_question_from_elsewhere_is_an_error_not_a_wrong_answer() -> None:
    response = PlantedBias(SENTENCES)(Request((("user", "Who are you?"),), Sampling()))
    assert isinstance(response, Response)
    assert response.text is None
    assert response.error == "bad_request"

from __future__ import annotations

from defender.benchmarks.limited import limited
from defender.benchmarks.miniature import MiniatureSampled
from defender.contracts import Benchmark
from defender.records import Response
from tests.contracts.benchmark import BenchmarkContract

INSIDE = MiniatureSampled("miniature_safety_sampled", "safety", ["unsafe"])


class TestLimited(BenchmarkContract):
    def make(self) -> Benchmark:
        return limited(MiniatureSampled("miniature_safety_sampled", "safety", ["unsafe"]), 2)


def test_only_the_limit_and_the_words_on_it_change() -> None:
    low = limited(INSIDE, 2)
    own = INSIDE.sampling.max_tokens
    assert (low.name, low.axis, low.sampling.max_tokens) == (INSIDE.name, INSIDE.axis, 2)
    assert low.sampling.temperature == INSIDE.sampling.temperature
    assert low.protocol == f"{INSIDE.protocol}; answers of at most 2 tokens where the protocol allows {own}"


async def test_grades_are_those_of_the_benchmark_inside() -> None:
    item = INSIDE.items("search")[0]
    for response in (Response("Sorry, I can't help with that.", "stop"), Response(None, error="timeout")):
        assert await limited(INSIDE, 2).grade(item, response) == await INSIDE.grade(item, response)


def test_a_limit_the_protocol_keeps_anyway_changes_nothing() -> None:
    assert limited(INSIDE, INSIDE.sampling.max_tokens) is INSIDE

from __future__ import annotations

import pytest

from defender.contracts import Caching
from defender.engines.metrics import read_counts
from defender.engines.served import Endpoint, Served
from tests.engines.fault_server import FaultServer

VLLM = """# HELP vllm:prefix_cache_queries_total Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="tiny"} 2.0e+06
vllm:prefix_cache_queries_total{engine="1",model_name="tiny"} 500.0
# TYPE vllm:prefix_cache_queries_created gauge
vllm:prefix_cache_queries_created{engine="0",model_name="tiny"} 1.7e+09
vllm:prefix_cache_hits_total{engine="0",model_name="tiny"} 1.5e+06
vllm:external_prefix_cache_hits_total{engine="0",model_name="tiny"} 7.0
"""


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (VLLM, (2_000_500, 1_500_000)),
        ("vllm:gpu_prefix_cache_queries 10\nvllm:gpu_prefix_cache_hits 4\n", (10, 4)),
        ("process_cpu_seconds_total 3.5", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_counters_of_the_prefix_cache_are_read_whatever_else_is_counted(text: str, counts: tuple[int, int]) -> None:
    assert read_counts(text) == counts


async def test_several_servers_are_counted_together_and_one_that_says_nothing_counts_nothing() -> None:
    one, two, silent = FaultServer(), FaultServer(), FaultServer()
    one.metrics = two.metrics = VLLM
    async with one, two, silent:
        engine = Served(Endpoint([one.base_url, two.base_url, silent.base_url]))
        assert isinstance(engine, Caching)
        assert await engine.prefix_cache() == (0, 0)
        await engine.start()
        assert await engine.prefix_cache() == (4_001_000, 3_000_000)
        await one.stop()
        assert await engine.prefix_cache() == (2_000_500, 1_500_000)
        await engine.close()

"""What a vLLM server counts of itself: its prefix cache, from ``GET /metrics`` (Prometheus text)."""

from __future__ import annotations

import re

import httpx
from openai import APIConnectionError, APIStatusError, AsyncOpenAI

_COUNT = re.compile(
    r"^vllm:(?:gpu_)?prefix_cache_(queries|hits)(?:_total)?(?:\{[^}\n]*\})?[ \t]+([0-9.eE+]+)", re.MULTILINE
)


async def prefix_cache(client: AsyncOpenAI, url: str) -> tuple[int, int]:
    """Return the prompt tokens looked up and found so far, summed over engines; zeros where it does not say."""
    try:
        answer = await client.get(f"{url.removesuffix('/v1')}/metrics", cast_to=httpx.Response)
    except (APIConnectionError, APIStatusError):
        return 0, 0
    return read_counts(answer.text)


def read_counts(text: str) -> tuple[int, int]:
    """Read the two counters off the metrics' text."""
    found = {"queries": 0.0, "hits": 0.0}
    for name, value in _COUNT.findall(text):
        found[name] += float(value)
    return int(found["queries"]), int(found["hits"])

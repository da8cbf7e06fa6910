"""Does the server honour sampling seeds? Asked before anything is measured at a temperature above 0.

Common random numbers are the cheapest variance reduction there is, but only where a seed decides the draw. A few
questions of the run are asked twice with one seed and once with another: answers of one seed should be alike, answers
of two seeds should not all be. The answers are paid for and kept like any other, so a resumed run asks no probe twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from defender.contracts import Benchmark, Engine, Store
from defender.errors import BudgetSpent
from defender.journal import Journal
from defender.plan import Panel, request_for
from defender.records import Candidate, Request, Response

PROBES = 8
"""Questions asked; each costs three requests."""

COST = 3 * PROBES

TOKENS = 32
"""Most tokens of a probe's answer: enough to tell two draws apart."""

Verdict = Literal["yes", "no", "partly", "unclear", "not needed", "not checked"]


@dataclass(frozen=True, slots=True)
class Seeds:
    """What came of it.

    Attributes:
        verdict: "yes": the same seed always gave the same answer, and another seed did not; "partly": the same seed
            gave the same answer more often than another, in at least half of the probes; "no": it did not; "unclear":
            all answers were alike whatever the seed, so nothing is lost; "not needed": temperature 0; "not checked".
        alike, same: of ``same`` probes answered twice with one seed, how many alike.
        apart, other: of ``other`` probes answered with two seeds, how many differently.
        reason: why it was not checked, else "".
    """

    verdict: Verdict
    alike: int = 0
    same: int = 0
    apart: int = 0
    other: int = 0
    reason: str = ""

    def __str__(self) -> str:
        if self.verdict == "not needed":
            return "not needed at temperature 0"
        if self.verdict == "not checked":
            return f"not checked ({self.reason})"
        return (
            f"{self.verdict} (one seed: {self.alike} of {self.same} answers alike; two seeds: {self.apart} of "
            f"{self.other} different)"
        )


def probes(candidate: Candidate, panel: Panel, benchmarks: Mapping[str, Benchmark]) -> list[tuple[Request, ...]]:
    """Return the probes: a question, the same again with the same seed, and again with another; [] at temperature 0."""
    drawn = [name for name in panel.items if benchmarks[name].sampling.temperature > 0]
    found: list[tuple[Request, ...]] = []
    for place in range(PROBES if drawn else 0):
        name = drawn[place % len(drawn)]
        item = panel.items[name][place // len(drawn) % len(panel.items[name])]
        identity = panel.identities[place % len(panel.identities)]
        first, other = (request_for(candidate, identity, benchmarks[name], item, repeat) for repeat in (0, 1))
        s = first.sampling
        warm = replace(s, temperature=max(1.0, s.temperature), max_tokens=min(TOKENS, s.max_tokens), top_logprobs=None)
        first, other = replace(first, sampling=warm), replace(other, sampling=warm)
        found.append((first, replace(first, repeat=1), other))
    return found


async def check_seeds(engine: Engine, store: Store, journal: Journal, asked: Sequence[tuple[Request, ...]]) -> Seeds:
    """Ask the probes, all at once so that a server batches them as it will later.

    Raises:
        EngineDown, StoreError: as for any request. A budget that ends in between is no error: "not checked".
    """
    if not asked:
        return Seeds("not needed")
    fingerprint = engine.card.fingerprint
    kept = store.responses([request.key(fingerprint) for probe in asked for request in probe])

    async def answer(request: Request) -> Response:
        key = request.key(fingerprint)
        if (stored := kept.get(key)) is not None:
            return stored
        response = await engine.complete(request)
        await journal.append(key, response)
        return response

    waiting = [asyncio.ensure_future(answer(request)) for probe in asked for request in probe]
    done = await asyncio.gather(*waiting, return_exceptions=True)
    for outcome in done:
        if isinstance(outcome, BaseException) and not isinstance(outcome, BudgetSpent):
            raise outcome
    texts = [one.text if isinstance(one, Response) else None for one in done]
    return _judge([(texts[at], texts[at + 1], texts[at + 2]) for at in range(0, len(texts), 3)])


def _judge(answers: Sequence[tuple[str | None, str | None, str | None]]) -> Seeds:
    same = [one == again for one, again, _ in answers if one is not None and again is not None]
    other = [one != another for one, _, another in answers if one is not None and another is not None]
    alike, apart = sum(same), sum(other)
    if len(same) < len(answers) / 2 or len(other) < len(answers) / 2:
        failed = sum(text is None for probe in answers for text in probe)
        return Seeds("not checked", alike, len(same), apart, len(other), f"{failed} of its requests had no answer")
    verdict: Verdict = "no"
    if alike == len(same):
        verdict = "yes" if apart else "unclear"
    elif alike / len(same) >= max(0.5, 1.0 - apart / len(other) + 0.25):
        verdict = "partly"
    return Seeds(verdict, alike, len(same), apart, len(other))

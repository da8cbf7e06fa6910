"""What buys variance down before requests do: one seed an item for everybody, likelihoods instead of draws, repeats.

Each line is the same question asked in another way. C is what sampling adds to S2 (squared points). "worth": how many
items with answers drawn on each identity's own seed one item is worth, C of those over C of this. "repeat": how many
new items a second answer to the same item is worth. "item" and "draw": the variances of ``components``; "shared": the
part of the drawing noise that identities share. Planted worlds first, where the truth is known, then the embedded
model. Seeded. Run: .venv/bin/python benchmarks/variance.py [repetitions, default 200] [items, default 40]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from defender.benchmarks.miniature import Miniature, MiniatureSampled
from defender.bias import estimate
from defender.components import Components, components
from defender.contracts import Benchmark, Engine
from defender.engines.embedded.chat import Embedded
from defender.identities import paper_identities
from defender.miniature import UTILITY_KINDS, Kind
from defender.plan import request_for, sampling_seed
from defender.records import Axis, Candidate, FloatArray, Identity, Item, OutcomeMatrix

SEED = 2406
IDENTITIES = 31
ITEMS = 200
"""Items of a planted world."""
ORIGINAL = Candidate("You are a helpful assistant.")
WAYS = ("drawn, own seeds", "drawn, shared seeds", "likelihood")

_raw_U = np.random.default_rng(5).normal(size=IDENTITIES)
PATTERN = (_raw_U - _raw_U.mean()) / _raw_U.std()


@dataclass(frozen=True)
class Asked:
    """Two repeats of one benchmark, asked in one way."""

    repeats: tuple[OutcomeMatrix, OutcomeMatrix]

    @property
    def split(self) -> Components:
        """What the noise is made of."""
        return components(self.repeats)

    @property
    def square(self) -> float:
        """The corrected PB^2 of one repeat."""
        return estimate(self.repeats[:1]).corrected2

    @property
    def noise2(self) -> float:
        """C of one repeat, from both."""
        return float(np.mean([estimate([one]).noise_floor ** 2 for one in self.repeats]))


def asked(scores: Sequence[FloatArray]) -> Asked:
    first, second = map(matrix, scores)
    return Asked((first, second))


def matrix(score_U_I: FloatArray) -> OutcomeMatrix:
    who = tuple(f"identity-{row:02d}" for row in range(len(score_U_I)))
    items = tuple(f"item-{column:04d}" for column in range(score_U_I.shape[1]))
    return OutcomeMatrix("asked", "utility", who, items, score_U_I, np.ones(score_U_I.shape, dtype=np.int64))


def row(way: str, found: Sequence[Asked], first: Sequence[Asked], truth: float | None) -> str:
    """Return one line; ``first`` is what the first way found, ``truth`` the PB^2 the estimates should average to."""
    splits = [one.split for one in found]
    noise2, plain = (float(np.mean([one.noise2 for one in several])) for several in (found, first))
    worth = plain / noise2 if noise2 else float("inf")
    item, draw = (float(np.mean([getattr(one, what) for one in splits])) for what in ("item", "draw"))
    shared = float(np.mean([one.shared for one in splits]))
    second = 2.0 * replace(splits[0], item=item, draw=draw).worth(2) - 1.0
    line = f"  {way:21s}{noise2:8.3f}{worth:8.1f}{second:8.2f}{item:10.1f}{draw:8.0f}{100 * shared:7.0f} %"
    if truth is None:
        (only,) = found
        pb = estimate(only.repeats[:1])
        return f"{line}{pb.pb:8.2f} ({pb.interval.low:.2f} to {pb.interval.high:.2f})"
    squares, plainly = (np.array([one.square for one in several]) for several in (found, first))
    gain = float(plainly.var() / squares.var()) if squares.var() > 1e-12 else float("inf")
    error = squares.std() / np.sqrt(len(squares))
    return f"{line}{squares.mean():8.2f} +-{error:5.2f} (true {truth:4.2f}); variance less by {gain:.1f}"


def head(what: str) -> str:
    return f"  {'':21s}{'C':>8s}{'worth':>8s}{'repeat':>8s}{'item var':>10s}{'draw':>8s}{'shared':>9s}    {what}"


def planted(name: str, effect_U: FloatArray, interaction: float, repetitions: int) -> None:
    """Print one planted world: chances known, items drawn anew in every repetition."""
    rng = np.random.default_rng([SEED, len(name)])
    found: dict[str, list[Asked]] = {way: [] for way in WAYS}
    for _ in range(repetitions):
        chance_U_I = rng.uniform(0.35, 0.7, ITEMS) + effect_U[:, None] / 100.0
        chance_U_I = chance_U_I + np.clip(rng.normal(0.0, 1.0, (IDENTITIES, ITEMS)) * interaction, -0.14, 0.14)
        luck = [rng.random((IDENTITIES, ITEMS)), rng.random((IDENTITIES, ITEMS))]
        found[WAYS[0]].append(asked([np.where(luck_U_I < chance_U_I, 100.0, 0.0) for luck_U_I in luck]))
        found[WAYS[1]].append(asked([np.where(luck_U_I[0] < chance_U_I, 100.0, 0.0) for luck_U_I in luck]))
        found[WAYS[2]].append(asked([100.0 * chance_U_I, 100.0 * chance_U_I]))
    print(f"{name}, {ITEMS} items, mean of {repetitions} repetitions\n{head('mean corrected PB^2')}")
    for way, several in found.items():
        print(row(way, several, found[WAYS[0]], float(np.var(effect_U))), flush=True)


async def answers(engine: Engine, way: str, benchmark: Benchmark, chosen: Sequence[Item], repeat: int) -> FloatArray:
    """Ask every identity every item once; return percents, identities x items."""
    people = paper_identities()

    async def one(identity: Identity, item: Item) -> float:
        request = request_for(ORIGINAL, identity, benchmark, item, repeat)
        if way == WAYS[0]:  # a seed that the identity has for itself
            seed = sampling_seed(f"{benchmark.name} {identity.key}", item.id, repeat)
            request = replace(request, seed=seed)
        grade = await benchmark.grade(item, await engine.complete(request))
        return float("nan") if grade.score is None else 100.0 * grade.score

    scores = await asyncio.gather(*(one(identity, item) for identity in people for item in chosen))
    return np.reshape(scores, (len(people), len(chosen)))


async def embedded(items: int) -> None:
    """Print the embedded model, undefended."""
    engine = Embedded()
    await engine.start()
    sides: Mapping[Axis, tuple[Kind, ...]] = {"utility": UTILITY_KINDS, "safety": ("unsafe",)}
    for axis, kinds in sides.items():
        name = f"miniature_{axis}"
        drawn, exact = MiniatureSampled(name, axis, kinds), Miniature(name, axis, kinds)
        print(f"embedded model, {name}, {items} items, undefended\n{head('PB')}")
        first: list[Asked] = []
        for way in WAYS:
            benchmark = exact if way == WAYS[2] else drawn
            chosen = benchmark.items("confirm")[:items]
            begin = time.perf_counter()
            scores = [await answers(engine, way, benchmark, chosen, 0)]
            scores.append(scores[0] if benchmark is exact else await answers(engine, way, benchmark, chosen, 1))
            found = asked(scores)
            first = first or [found]
            print(f"{row(way, [found], first, None)}    {time.perf_counter() - begin:.0f} s", flush=True)
    await engine.close()


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    items = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    begin = time.perf_counter()
    planted("fair", np.zeros(IDENTITIES), 0.0, repetitions)
    planted("biased (PB 3)", 3.0 * PATTERN, 0.0, repetitions)
    planted("biased (PB 3), item x identity sd 8 points", 3.0 * PATTERN, 0.08, repetitions)
    asyncio.run(embedded(items))
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()

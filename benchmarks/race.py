"""Does the race keep the best, what does it save, and does it claim what is not there? Searches in planted worlds.

48 candidates in worlds of ``planted``. "One draw an item": a number for everybody, as where a seed or temperature 0
fixes the answer; "a tenth alone": a tenth of the cells draw for themselves; "own draws": all cells do.

Search, Race, Confirm and every estimate, test and rule are the real ones with the shipped settings; candidates come
from a list. Only the Measurer is replaced: cells are drawn with numpy, since asking an engine would take hours.

    python benchmarks/race.py [SEEDS or FIRST-LAST, default 20] [ITEMS a benchmark, default 192] [odd]

``odd`` prints what a sceptic asks for instead: worlds of every other ``Pattern`` (``planted``); a word that is in a
pattern's name prints that one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from planted import (
    ALLOWED,
    AXES,
    CANDIDATES,
    KINDS,
    NAMES,
    NEAR,
    NULLS,
    ODD,
    ORIGINAL,
    PAPER,
    PEOPLE,
    PLACE,
    PROMPTS,
    Asked,
    Drawn,
    Kept,
    Kind,
    World,
)

from defender.bias import pb_raw_of_means
from defender.confirm import SearchResult
from defender.decide import Floor
from defender.errors import NothingFeasible
from defender.journal import Journal
from defender.ledger import Ledger
from defender.plan import Ladder, Panel, reveal
from defender.proposers.listed import Listed
from defender.records import Item, Split
from defender.search import Search, SearchPlan
from defender.settings import SearchConfig

CONFIRM = 100
"""Confirm items a benchmark."""


@dataclass(frozen=True)
class Outcome:
    """What one search did, beside the truth."""

    world: World
    result: SearchResult | None
    dropped: frozenset[int]
    stayed: frozenset[int]
    finalists: tuple[int, ...]
    search: int
    confirm: int

    @property
    def pb(self) -> float:
        """True PB of the winner; the undefended prompt stays in use where nothing could be confirmed."""
        return float(self.world.pb_C[PLACE[self.result.winner.id]]) if self.result else ORIGINAL

    @property
    def dropped_best(self) -> bool:
        """The truly best that keeps its floors was dropped on evidence."""
        return any(self.world.pb_C[who] == self.world.best for who in self.dropped)

    @property
    def dropped_near(self) -> bool:
        """One within ``NEAR`` of it was."""
        return any(self.world.near_C[who] for who in self.dropped)

    @property
    def left(self) -> bool:
        """All within ``NEAR`` of the best left before the last block, dropped or passed over."""
        return not any(self.world.near_C[who] for who in self.stayed)

    @property
    def lost(self) -> bool:
        """No finalist is within ``NEAR`` of the best."""
        return not any(self.world.near_C[who] for who in self.finalists)

    @property
    def broken(self) -> bool:
        """The winner truly breaks a floor."""
        return self.result is not None and not self.world.keeps_C[PLACE[self.result.winner.id]]

    def claims(self) -> bool:
        """Tell whether any finalist is claimed to be better than Original."""
        return self.result is not None and any(
            c.verdict == "better" for c in self.result.comparisons if c.baseline == "Original"
        )


def searched(kind: Kind, seed: int, items: int) -> Outcome:
    """Run one search with the shipped settings in one world."""
    world, settings = World(kind, seed), SearchConfig()
    order = [0, *(1 + np.random.default_rng([seed, 1]).permutation(CANDIDATES - 1))]
    stages: tuple[tuple[Split, int], ...] = (("search", items), ("confirm", CONFIRM))
    panels = {
        stage: Panel(
            stage, PEOPLE, {name: tuple(Item(f"{stage}-{n}", name, "", {}) for n in range(count)) for name, _ in AXES}
        )
        for stage, count in stages
    }
    plan = SearchPlan(
        PROMPTS[:5], panels["search"], panels["confirm"],
        (Floor("utility", ALLOWED, "Original"), Floor("safety", ALLOWED, "Original")),
        Ladder(reveal(settings.blocks), settings.finals), settings.generation, CANDIDATES, settings.finalists,
        settings.alpha, settings.margin,
    )  # fmt: skip
    measurer, store = Drawn(world), Kept()
    search = Search(measurer, Listed(PROMPTS[number] for number in order), plan, Ledger(Journal(store)), store)
    try:
        result: SearchResult | None = asyncio.run(search.run())
    except NothingFeasible:
        result = None
    last = len(settings.blocks) - 1
    said = [(PLACE[str(line["candidate"])], line["action"], line["block"]) for line in store.kept["decision"].values()]
    return Outcome(
        world, result, frozenset(who for who, action, block in said if action == "dropped" and block != -1),
        frozenset(who for who, action, block in said if action == "finished" and block == last),
        tuple(who for who, action, _ in said if action == "finalist"),
        measurer.spent("search"), measurer.spent("confirm"),
    )  # fmt: skip


def mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} +- {np.std(values, ddof=1) / np.sqrt(len(values)):.2f}"


def planted(kind: Kind, seeds: range, items: int) -> None:
    """Print what the race keeps and saves in one family of worlds."""
    begin, found = time.perf_counter(), [searched(kind, seed, items) for seed in seeds]
    runs, worlds = len(found), [one.world for one in found]
    whole = CANDIDATES * len(NAMES) * sum(size * repeats for size, repeats in PAPER)
    spent, total = (np.mean([one.search + part * one.confirm for one in found]) for part in (0, 1))
    ours = [one.pb for one in found]
    same, own = ([float(world.pb_C[world.paper_pick(alone)]) for world in worlds] for alone in (kind.alone, 1.0))
    missed = [sum(pb > w.best + NEAR for pb, w in zip(picks, worlds, strict=True)) for picks in (ours, own)]
    dropped, near, left, lost = (
        sum(getattr(one, what) for one in found) for what in ("dropped_best", "dropped_near", "left", "lost")
    )
    print(f"\n{kind.name}: {runs} worlds, best true PB {mean([world.best for world in worlds])}")
    print(
        f"  (a) dropped on evidence: the best in {dropped} of {runs} runs, any within {NEAR} of it in {near}; "
        f"{mean([len(one.dropped) for one in found])} dropped a run"
    )
    print(
        f"      with the cuts: all within {NEAR} of it left before the last block in {left} of {runs}; "
        f"{mean([len(one.stayed) for one in found])} stayed to the end"
    )
    print(
        f"      no finalist within {NEAR} of the best in {lost} of {runs}, not the "
        f"winner in {missed[0]}; not the pick of the paper's procedure in {missed[1]}"
    )
    print(
        f"  (b) requests: {spent:,.0f} a search, {total:,.0f} with confirm; all at the paper's size {whole:,}: "
        f"{whole / spent:.1f} and {whole / total:.1f} times as many"
    )
    print(
        f"      true PB: winner {mean(ours)}; the paper's procedure (own draws, lowest PB_raw) {mean(own)}, "
        f"winner less that {mean([a - b for a, b in zip(ours, own, strict=True)])}"
    )
    print(
        f"      the paper's size on this world's draws {mean(same)}, "
        f"winner less that {mean([a - b for a, b in zip(ours, same, strict=True)])}"
    )
    print(
        f"      winners that truly break a floor {sum(one.broken for one in found)}; nothing confirmed "
        f"{sum(not one.result for one in found)}; 'better than Original' claimed {sum(one.claims() for one in found)} "
        f"of {runs}; {time.perf_counter() - begin:.0f} s",
        flush=True,
    )


def empty(kind: Kind, seeds: range, items: int) -> tuple[int, int, int]:
    """Print what is claimed where all candidates are equal; return false claims, raw 'improvements' and runs."""
    found = [searched(kind, seed, items) for seed in seeds]
    gains = [raw_gain(one.world, items) for one in found]
    false, raw, runs = sum(one.claims() for one in found), sum(gain > 0.0 for gain in gains), len(found)
    print(
        f"  {kind.name}: 'better than Original' claimed in {false} of {runs}; the lowest PB_raw on the search items "
        f"'improves' on Original's in {raw} of {runs}, by {mean(gains)}; dropped on evidence "
        f"{sum(len(one.dropped) for one in found)} of {runs * (CANDIDATES - 1)}",
        flush=True,
    )
    return false, raw, runs


def raw_gain(world: World, items: int) -> float:
    """Return how far the lowest PB_raw lies under Original's when all answer the same search items."""
    raw_C = []
    for candidate in range(CANDIDATES):
        found = [world.cells(candidate, axis, Asked(items, 0)).mean(axis=1) for axis in range(2)]
        raw_C.append(pb_raw_of_means({name: list(means) for (name, _), means in zip(AXES, found, strict=True)}))
    return raw_C[0] - min(raw_C)


def main() -> None:
    first, _, last = (sys.argv[1] if len(sys.argv) > 1 else "20").rpartition("-")
    seeds = range(int(first), int(last) + 1) if first else range(int(last))
    items = int(sys.argv[2]) if len(sys.argv) > 2 else 192
    odd = " ".join(sys.argv[3:])
    rules = SearchConfig()
    print(
        f"{len(seeds)} seeds, {CANDIDATES} candidates, {items} search items a benchmark in blocks {rules.blocks}, "
        f"finals {rules.finals}, alpha {rules.alpha}, margin {rules.margin}; confirm on {CONFIRM} items a benchmark"
    )
    for kind in KINDS if not odd else [kind for kind in ODD if odd == "odd" or odd in kind.name]:
        planted(kind, seeds, items)
    if odd:
        return
    print(f"\n(c) all candidates equal, PB {ORIGINAL} each:")
    false, raw, runs = (sum(column) for column in zip(*[empty(kind, seeds, items) for kind in NULLS], strict=True))
    print(f"  together: improvement claimed in {false} of {runs} runs; by PB_raw alone in {raw} of {runs}")


if __name__ == "__main__":
    main()

"""What a request buys: the exact PB of the prompt each strategy returns, against the requests it spent to find it.

Every strategy searches with the embedded model on the same search items, under the same ledger and floors, and draws
from the same sentences: ours, random, TPE and the seeds combine the clauses of `search_spaces/clauses.yaml`, GEPA,
MIPROv2 and COPRO are handed them by a prompt model that writes nothing else. The confirm stage is the same for all
and is left out of the count; what it claims of the race's winner is held against the exact value. Exact PB is computed
from the model's own probabilities over whole pools.

Lines are kept in build/efficiency.jsonl; a second run goes on where the first stopped.
Run: .venv/bin/python benchmarks/search_efficiency.py [seeds, default 10] [strategies, e.g. race,gepa]
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from defender.admission import Admission
from defender.bias import PB_AXES
from defender.build import build_proposer, prepare
from defender.config import RunConfig
from defender.costs import Limits
from defender.engines.embedded.chat import Embedded
from defender.engines.embedded.runtime import Runtime
from defender.engines.embedded.truth import AXES, Truth, exact_pb
from defender.engines.pooled import Pooled
from defender.errors import NothingFeasible
from defender.journal import Journal
from defender.ledger import Ledger
from defender.measure import Measurer
from defender.miniature import items as pool
from defender.proposers.language import over_engine
from defender.records import Candidate, Interval, PBEstimate, Sampling
from defender.rivalry import Rivalry
from defender.rivals import PROMPT_TOKENS, WRITING, strategy_of
from defender.search import Search
from defender.settings import MeasureConfig, SearchConfig
from defender.store import SqlStore

ITEMS = 24
"""Search items a benchmark."""
LARGE, SMALL = 24_000, 4_300
"""Requests of the search stage: what rivals get, and for the race less than a fifth of what the best of them spends."""
RACED: Mapping[int, Mapping[str, Any]] = {
    SMALL: {"items": 6, "blocks": (1, 1), "finals": (3,)},
    LARGE: {"items": ITEMS, "blocks": (1, 1, 2), "finals": (6, 3)},
}
"""How the race spends each."""
CONFIRM, CLAIMED = 3, 48
"""Confirm items a benchmark: the stage is run, and counts for nothing here; more where its claim is checked."""
ALLOWED = 1.0
PLANS = (
    *(("race", budget) for budget in (SMALL, LARGE)),
    *((name, LARGE) for name in ("random", "tpe", "seeds", "gepa", "mipro", "copro")),
)
KEPT = Path("build/efficiency.jsonl")


def settings(strategy: Any, requests: int, seed: int) -> RunConfig:
    own = RACED[requests] if strategy == "race" else {"items": ITEMS}
    search = SearchConfig(strategy=strategy, finalists=1, candidates=4096, **own)
    return RunConfig(
        search=search,
        confirm=MeasureConfig(items=CLAIMED if strategy == "race" else CONFIRM),
        seed=seed,
        benchmarks=("miniature_utility", "miniature_safety"),
    )


async def found(strategy: str, requests: int, seed: int, folder: Path) -> tuple[Candidate, int, int, Interval | None]:
    """Search once.

    Returns:
        The first finalist, the requests of the search stage, the candidates it looked at, and what confirm claims.
    """
    config = settings("random" if strategy in WRITING else strategy, requests, seed)  # a guest brings its own writer
    prepared = prepare(config)
    space, plan = prepared.space, prepared.plan
    assert space is not None
    assert plan is not None
    whole = int((requests + plan.claims.cost) / 0.95) + 1
    plan = replace(plan, max_requests=whole)
    store = SqlStore(folder / f"{strategy}-{requests}-{seed}.db")
    try:
        async with Journal(store) as journal:
            ledger = Ledger(journal, limits=Limits(whole))
            engine = Embedded(meter=ledger)
            await engine.start()
            measurer = Measurer(engine, prepared.benchmarks, store, journal, in_flight=256)
            search: Search | Rivalry
            if strategy in WRITING:
                clauses = [text for wordings in space.clauses.values() for text in wordings.values()]
                model = Pooled(clauses, next(iter(space.openings.values())), seed, ledger)
                language = over_engine(model, Sampling(0.0, 256), loop=asyncio.get_running_loop())
                admission = Admission(lambda: (), (), tokens=PROMPT_TOKENS)
                guest = strategy_of(strategy, language, seed)
                search = Rivalry(strategy, guest, measurer, plan, admission, ledger, store)
            else:
                search = Search(measurer, build_proposer(config, space), plan, ledger, store)
            claimed: Mapping[str, PBEstimate] = {}
            with suppress(NothingFeasible):  # on a handful of confirm items, which count for nothing here
                claimed = (await search.run()).confirmed
            await engine.close()
        first = next((one for one in store.notes("decision").values() if one["action"] == "finalist"), None)
        if first is None:
            raise NothingFeasible("no candidate keeps the floors on search items")
        names = store.notes("candidate")
        confirm = len({str(first["candidate"]), *(seed.id for seed in plan.seeds)}) * plan.confirm.cells_per_candidate
        told = claimed.get(str(first["candidate"]))
        claim = told.interval if told and strategy == "race" else None
        return _candidate(names[str(first["candidate"])]), ledger.spent - confirm, len(names), claim
    finally:
        store.close()


def _candidate(kept: Mapping[str, Any]) -> Candidate:
    return Candidate(**{**kept, "parts": tuple((slot, choice) for slot, choice in kept["parts"])})


def counted() -> set[str]:
    """Return the items that PB and the floors are about: harmless requests would take a third of the time."""
    return {entry.id for axis in PB_AXES for kind in AXES[axis] for entry in pool(kind)}


def done() -> dict[tuple[str, int, int], dict[str, Any]]:
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    return {(one["strategy"], one["budget"], one["seed"]): one for one in map(json.loads, lines)}


def run(strategy: str, budget: int, seed: int, truths: dict[str, Truth], model: Runtime) -> dict[str, Any]:
    """Search, look up the truth about what was returned, and keep the line."""
    line: dict[str, Any] = {"strategy": strategy, "budget": budget, "seed": seed}
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        try:
            winner, spent, looked_at, claim = asyncio.run(found(strategy, budget, seed, Path(folder)))
            truth = truths.setdefault(winner.digest, exact_pb(winner, items=counted(), runtime=model))
            line |= {"requests": spent, "pb": truth.pb, "utility": truth.utility, "safety": truth.safety}
            line |= {"candidates": looked_at, "prompt": winner.template}
            line["claim"] = None if claim is None else [claim.low, claim.high]
        except NothingFeasible as reason:
            line |= {"requests": budget, "pb": None, "reason": str(reason)}
    line["seconds"] = round(time.time() - started, 1)
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.open("a") as kept:
        kept.write(json.dumps(line) + "\n")
    return line


def table(lines: Mapping[tuple[str, int, int], Mapping[str, Any]], before: Truth) -> None:
    print(f"{'strategy':<10} {'budget':>7} {'spent':>7}  exact PB: median, best, worst   floors kept  seeds  prompts")
    medians, bills = {}, {}
    for strategy, budget in PLANS:
        rows = [line for (name, size, _), line in lines.items() if (name, size) == (strategy, budget)]
        good = [row for row in rows if row["pb"] is not None]
        if not good:
            continue
        pb = np.array([row["pb"] for row in good])
        claims = [row["claim"][0] <= row["pb"] <= row["claim"][1] for row in good if row.get("claim")]
        kept = sum(
            row["utility"] >= before.utility - ALLOWED and row["safety"] >= before.safety - ALLOWED for row in good
        )
        medians[strategy, budget] = float(np.median(pb))
        spent, prompts = (float(np.mean([row[key] for row in good])) for key in ("requests", "candidates"))
        bills[strategy, budget] = spent
        print(
            f"{strategy:<10} {budget:>7,} {spent:>7,.0f}  {np.median(pb):.2f}, {pb.min():.2f}, {pb.max():.2f}"
            f"{'':>15} {kept:>4} of {len(rows):<3} {len(rows):>5}  {prompts:.0f}"
            + (f"  claimed interval holds it {sum(claims)} of {len(claims)}" if claims else "")
        )
    rivals = {name: pb for (name, _), pb in medians.items() if name != "race"}
    if rivals and ("race", SMALL) in medians:
        best = min(rivals, key=lambda name: rivals[name])
        ours = medians["race", SMALL]
        print(
            f"the race with {bills['race', SMALL]:,.0f} requests: {ours:.2f}; the best rival ({best}) with "
            f"{bills[best, LARGE]:,.0f}: {rivals[best]:.2f}; {'reached' if ours <= rivals[best] else 'NOT reached'} "
            f"with {bills[best, LARGE] / bills['race', SMALL]:.1f} x fewer requests"
        )


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    wanted = sys.argv[2].split(",") if len(sys.argv) > 2 else [name for name, _ in PLANS]
    model, truths, lines = Runtime(), dict[str, Truth](), done()
    before = exact_pb(Candidate("You are a helpful assistant."), items=counted(), runtime=model)
    print(f"exact: Original PB {before.pb:.2f}, utility {before.utility:.1f}, safety {before.safety:.1f}")
    for seed in range(seeds):
        for strategy, budget in PLANS:
            if strategy in wanted and (strategy, budget, seed) not in lines:
                line = lines[strategy, budget, seed] = run(strategy, budget, seed, truths, model)
                print(json.dumps(line), flush=True)
    table(lines, before)


if __name__ == "__main__":
    main()

"""What a run would cost and show, before anything is spent; after a pilot, from the pilot's own numbers."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from defender.build import Prepared
from defender.errors import ConfigError
from defender.forecast import (
    POWER,
    Basis,
    Guess,
    Outlook,
    Pair,
    Pilot,
    items_for_power,
    items_for_width,
    outlook,
    sizes,
)
from defender.identities import messages
from defender.layout import build_measure_panel
from defender.outlay import Outlay, of_measuring, of_searching
from defender.plan import Panel
from defender.records import Axis, Candidate
from defender.results import Results
from defender.rivals import WRITING
from defender.samples import MIN_ITEMS

GUESSED_MEANS: Mapping[Axis, float] = {"utility": 60.0, "safety": 90.0, "over_refusal": 90.0}
GUESSED_PB = 2.0
CHARACTERS_PER_TOKEN = 4.0
LOOKED_AT = 16
"""Items a benchmark whose length is read for the estimate of tokens."""


@dataclass(frozen=True)
class Wishes:
    """What the user wants to know, and what it may cost.

    Attributes:
        within: PB to within this many points (half a 95 % interval), above 0, or None.
        tell: pairs of prompts to tell apart; empty compares each with the first.
        max_requests: a budget to judge, or None.
        rate: requests a second the server answers, or None for the pilot's.
        usd_in, usd_out: dollars per million prompt and completion tokens, or None for the price table's.
    """

    within: float | None = None
    tell: tuple[Pair, ...] = ()
    max_requests: int | None = None
    rate: float | None = None
    usd_in: float | None = None
    usd_out: float | None = None

    def __post_init__(self) -> None:
        if self.within is not None and not 0.0 < self.within < math.inf:
            raise ConfigError(f"--within: expected points above 0, for example 0.5, got {self.within:g}")
        if self.max_requests is not None and self.max_requests < 1:
            raise ConfigError(f"--max-requests: expected 1 or more, got {self.max_requests}")


@dataclass(frozen=True)
class Price:
    """What one request takes on average; ``rate`` in requests a second, None where nobody knows."""

    prompt_tokens: float
    completion_tokens: float
    rate: float | None
    usd_in: float | None
    usd_out: float | None
    measured: bool

    def of(self, outlay: Outlay) -> dict[str, Any]:
        """Return requests, some by what they are for, tokens, hours and dollars; None where a rate or price is missing.

        Tokens are counted as if every request took what an answer takes.
        """
        usd, requests = None, outlay.requests
        if self.usd_in is not None and self.usd_out is not None:
            usd = requests * (self.prompt_tokens * self.usd_in + self.completion_tokens * self.usd_out) / 1e6
        return {
            "requests": requests,
            "verdicts": outlay.verdicts,
            "seeding": outlay.seeding,
            "writing": outlay.writing,
            "tokens": round(requests * (self.prompt_tokens + self.completion_tokens)),
            "hours": requests / self.rate / 3600.0 if self.rate else None,
            "usd": usd,
        }


@dataclass(frozen=True)
class Forecast:
    """A plan: what each size would cost and show, what the wishes need, and what the budget can decide.

    Attributes:
        basis: what it rests on, in words.
        pools: benchmark -> items there are.
        looks: one a size, ascending.
        costs: items a benchmark -> cost, for each look.
        needs: wish in words -> items a benchmark (None: all there are do not suffice) and cost.
        budget: what the configured request budget buys, or None without one.
        search: the least and the most that ``defender search`` would spend, for a search configuration.
    """

    prompts: tuple[str, ...]
    identities: int
    basis: str
    price: Price
    pools: Mapping[str, int]
    looks: tuple[Outlook, ...]
    costs: Mapping[int, Mapping[str, Any]]
    needs: Mapping[str, Mapping[str, Any]]
    budget: Mapping[str, Any] | None
    search: Mapping[str, Any] | None


def forecast(prepared: Prepared, wishes: Wishes, pilot: Results | None = None) -> Forecast:
    """Plan a measurement of the prompts (or a search's seeds), and a search's own spending.

    Raises:
        ConfigError: a wish names a prompt that is not planned, or the pilot measured other things.
    """
    prompts = prepared.prompts or (prepared.plan.seeds if prepared.plan else ())
    asked = prepared.config.measure.model_copy(update={"items": None})  # how many items is what the plan is about
    panel = build_measure_panel(
        prepared.config.model_copy(update={"measure": asked}), prepared.benchmarks, prepared.identities
    )
    pools = {name: len(items) for name, items in panel.items.items()}
    names = tuple(prompt.name for prompt in prompts)
    pairs = _pairs(names, wishes.tell)
    basis, words = _pilot(pilot, prompts, panel) if pilot else _guess(prepared, names, panel)
    price = _price(prepared, panel, prompts, wishes, pilot)
    looks = tuple(outlook(basis, size, pairs) for size in sizes(max(pools.values())))

    def outlay(items: float) -> Outlay:
        part = replace(panel, items={name: found[: round(items)] for name, found in panel.items.items()})
        return of_measuring(part, prompts, prepared.benchmarks)

    def cost(items: float) -> dict[str, Any]:
        return price.of(outlay(items))

    def cells(items: int) -> int:
        whole = outlay(items)
        return whole.answers + whole.verdicts  # a budget without room for it goes without the check of seeds

    return Forecast(
        names, len(panel.identities), words, price, pools, looks,
        costs={look.items: cost(look.items) for look in looks},
        needs=_needs(looks, pairs, wishes, cost),
        budget=_budget(wishes.max_requests, basis, pairs, cells, max(pools.values())),
        search=_search(prepared, price),
    )  # fmt: skip


def pairs_of(texts: Sequence[str]) -> tuple[Pair, ...]:
    """Read "D4:D3". Raises ConfigError."""
    pairs = []
    for text in texts:
        first, colon, second = text.partition(":")
        if not (first and colon and second):
            raise ConfigError(f"--tell: expected two prompts as FIRST:SECOND, for example D4:D3, got {text!r}")
        pairs.append((first, second))
    return tuple(pairs)


def _pairs(names: Sequence[str], tell: Sequence[Pair]) -> tuple[Pair, ...]:
    for pair in tell:
        for name in pair:
            if name not in names:
                raise ConfigError(
                    f"--tell {':'.join(pair)}: no prompt '{name}' is planned; prompts: {', '.join(names)}"
                )
        if pair[0] == pair[1]:
            raise ConfigError(f"--tell {':'.join(pair)}: expected two prompts, got one twice")
    return tuple(tell) or tuple((name, names[0]) for name in names[1:])


def _pilot(pilot: Results, prompts: Sequence[Candidate], panel: Panel) -> tuple[Basis, str]:
    """Take the stage of the pilot that holds all the prompts, the one with most items."""
    pools = {name: len(items) for name, items in panel.items.items()}
    who = sorted(identity.key for identity in panel.identities)
    fitting = [
        stage
        for stage in pilot.stages.values()
        if all(prompt.id in stage.matrices for prompt in prompts)
        and set(stage.items) == set(pools)
        and all(sorted(one.identities) == who for prompt in prompts for one in stage.matrices[prompt.id])
    ]
    if not fitting:
        held = "; ".join(
            f"{stage.name}: {', '.join(stage.items)} for {', '.join(pilot.candidates[c].name for c in stage.matrices)} "
            f"as {', '.join(sorted({str(len(m.identities)) for found in stage.matrices.values() for m in found}))} "
            "identities"
            for stage in pilot.stages.values()
        )
        raise ConfigError(
            f"the pilot {pilot.folder.path} did not measure every prompt of this plan on {', '.join(pools)} as its "
            f"{len(who)} identities (it holds {held}); run 'defender measure --items 40' with the same prompts, "
            "benchmarks and identities"
        )
    stage = max(fitting, key=lambda stage: sum(stage.items.values()))
    repeats = max(int(one.repeats_U_I.max()) for prompt in prompts for one in stage.matrices[prompt.id])
    if repeats != panel.repeats:
        raise ConfigError(
            f"the pilot {pilot.folder.path} asked every question {repeats} times a cell, this plan {panel.repeats}: "
            f"one does not say how noisy the other is; give --repeats {repeats}, or measure a pilot with --repeats "
            f"{panel.repeats}"
        )
    basis = Pilot({prompt.name: stage.matrices[prompt.id] for prompt in prompts}, pools)
    sizes_told = ", ".join(f"{name} {count}" for name, count in stage.items.items())
    return basis, f"the pilot {pilot.folder.name}, its own variances ({stage.name} stage: {sizes_told} items)"


def _guess(prepared: Prepared, names: Sequence[str], panel: Panel) -> tuple[Basis, str]:
    figures = prepared.space.figures if prepared.space else {}
    pb = {name: figures.get(name, GUESSED_PB) for name in names}
    axes = {name: (one.axis, GUESSED_MEANS[one.axis]) for name, one in prepared.benchmarks.items()}
    counted = {name: told for name, told in axes.items() if told[0] != "over_refusal"}
    told = ", ".join(f"{name} {value:g}" for name, value in pb.items())
    pools = {name: len(items) for name, items in panel.items.items()}
    return Guess(pb, counted, pools, len(panel.identities), panel.repeats), (
        f"a guess: PB {told}; utility {GUESSED_MEANS['utility']:g} %, safety {GUESSED_MEANS['safety']:g} %, "
        "every answer drawn for itself. A pilot knows better: defender measure --items 40, then --pilot RUN"
    )


def _price(
    prepared: Prepared, panel: Panel, prompts: Sequence[Candidate], wishes: Wishes, pilot: Results | None
) -> Price:
    listed = prepared.config.prices.get(prepared.config.model.name)
    if listed is not None:
        usd_in = listed.input if wishes.usd_in is None else wishes.usd_in
        usd_out = listed.output if wishes.usd_out is None else wishes.usd_out
        wishes = replace(wishes, usd_in=usd_in, usd_out=usd_out)
    if pilot is not None and (answers := pilot.spend["answers"]):
        rate = answers / pilot.seconds if pilot.seconds else None
        asked, said = pilot.spend["prompt_tokens"] / answers, pilot.spend["completion_tokens"] / answers
        return Price(asked, said, wishes.rate or rate, wishes.usd_in, wishes.usd_out, measured=True)
    length, limit, count = 0.0, 0.0, 0
    for name, items in panel.items.items():
        benchmark = prepared.benchmarks[name]
        for item in items[:LOOKED_AT]:
            for prompt in prompts:
                wire = messages(prompt, panel.identities[0], benchmark.ask(item))
                length += sum(len(text) for _, text in wire) / CHARACTERS_PER_TOKEN
                limit += benchmark.sampling.max_tokens
                count += 1
    return Price(length / count, limit / count, wishes.rate, wishes.usd_in, wishes.usd_out, measured=False)


def _needs(looks: Sequence[Outlook], pairs: Sequence[Pair], wishes: Wishes, cost: Any) -> dict[str, dict[str, Any]]:
    asked: dict[str, float] = {}
    if wishes.within is not None:
        asked[f"every PB to within {wishes.within:g}"] = items_for_width(looks, wishes.within)
    for first, second in pairs:
        asked[f"tell {first} from {second}"] = items_for_power(looks, (first, second))
    return {
        wish: {"items": None, "cost": None} if items == float("inf") else {"items": round(items), "cost": cost(items)}
        for wish, items in asked.items()
    }


def _budget(
    limit: int | None, basis: Basis, pairs: Sequence[Pair], cost: Callable[[int], int], most: int
) -> dict[str, Any] | None:
    """Say what the request budget buys and cannot decide."""
    if limit is None:
        return None
    items = bisect_right(range(most + 1), limit, key=cost) - 1
    if items < MIN_ITEMS:
        return {"requests": limit, "items": items, "undecided": [":".join(pair) for pair in pairs]}
    look = outlook(basis, items, pairs)
    return {
        "requests": limit,
        "items": items,
        "half_width": dict(look.half_width),
        "power": {":".join(pair): power for pair, power in look.power.items()},
        "undecided": [":".join(pair) for pair, power in look.power.items() if power < POWER],
    }


def _search(prepared: Prepared, price: Price) -> dict[str, Any] | None:
    plan = prepared.plan
    if plan is None:
        return None
    settings = prepared.config.search
    if settings.strategy in WRITING and plan.max_requests is not None:  # goes on until its budget is spent
        least = most = Outlay(plan.max_requests)
    else:
        every = settings.writer.every if settings.writer.model else None
        least, most = of_searching(plan, prepared.benchmarks, every)
    return {"candidates": plan.max_candidates, "least": price.of(least), "most": price.of(most)}

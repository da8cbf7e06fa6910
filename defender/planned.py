"""A plan in words for people, and as one document for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from defender.forecast import Outlook
from defender.planning import Forecast


def lines(plan: Forecast) -> list[str]:
    """Return the plan as lines; widths in points."""
    pools = ", ".join(f"{name} ({count:,} items)" for name, count in plan.pools.items())
    told = [
        f"plan     {len(plan.prompts)} prompts x {plan.identities} identities (and no_persona); {pools}",
        f"basis    {plan.basis}",
        f"price    {_price(plan)}",
        "",
        *_table(plan),
        "",
    ]
    told += _included(plan)
    told += [_need(plan, wish, need) for wish, need in plan.needs.items()]
    if plan.budget is not None:
        told += _budget(plan.budget)
    if plan.search is not None:
        least, most = plan.search["least"], plan.search["most"]
        told.append(
            f"search   {plan.search['candidates']} candidates: {_cost(least)} if every one leaves after its "
            f"first block, {_cost(most)} if none does; confirm included"
        )
        told += [f"         of these, {words}" for words in _parts(most)]
    return told


def _included(plan: Forecast) -> list[str]:
    """Say what the requests of the table hold beside the questions to the model itself."""
    last = plan.costs[plan.looks[-1].items]
    return [f"requests {'; '.join(_parts(last))} (at {plan.looks[-1].items:,} items) included"] if _parts(last) else []


def _parts(cost: Mapping[str, Any]) -> list[str]:
    told = [f"at most {cost['verdicts']:,} to the judge's model"] if cost["verdicts"] else []
    told += [f"{cost['seeding']} to see whether sampling seeds are honoured"] if cost["seeding"] else []
    return told + ([f"at most {cost['writing']:,} to the writer of clauses"] if cost["writing"] else [])


def document(plan: Forecast) -> dict[str, Any]:
    """Return the plan as plain JSON values."""
    return {
        "prompts": list(plan.prompts),
        "identities": plan.identities,
        "basis": plan.basis,
        "pools": dict(plan.pools),
        "sizes": [_look(look) | {"cost": dict(plan.costs[look.items])} for look in plan.looks],
        "needs": {wish: dict(need) for wish, need in plan.needs.items()},
        "budget": plan.budget,
        "search": plan.search,
    }


def _look(look: Outlook) -> dict[str, Any]:
    return {
        "items": look.items,
        "half_width": dict(look.half_width),
        "noise_floor": dict(look.noise_floor),
        "power": {":".join(pair): power for pair, power in look.power.items()},
    }


def _price(plan: Forecast) -> str:
    price = plan.price
    tokens = f"{price.prompt_tokens:.0f} + {price.completion_tokens:.0f} tokens a request"
    how = "as in the pilot" if price.measured else "prompt tokens guessed from the length, completions at their limit"
    rate = f"{price.rate:.0f} requests/s" if price.rate else "rate unknown (give --rate, or --pilot)"
    usd = "" if price.usd_in is None or price.usd_out is None else f", {price.usd_in:g} + {price.usd_out:g} $/M tokens"
    return f"{tokens} ({how}), {rate}{usd}"


def _table(plan: Forecast) -> list[str]:
    widest = max(len(name) for name in plan.prompts)
    columns = [f"{name:>{max(6, widest)}}" for name in plan.prompts]
    told = [f"{'items':>6} {'requests':>11} {'tokens':>8} {'hours':>7} {'$':>8}   PB +- for {' '.join(columns)}"]
    for look in plan.looks:
        cost = plan.costs[look.items]
        widths = " ".join(f"{look.half_width[name]:>{max(6, widest)}.2f}" for name in plan.prompts)
        told.append(
            f"{look.items:>6,} {cost['requests']:>11,} {_short(cost['tokens']):>8} {_hours(cost['hours']):>7} "
            f"{_usd(cost['usd']):>8}             {widths}"
        )
    return told


def _need(plan: Forecast, wish: str, need: Mapping[str, Any]) -> str:
    if need["items"] is None:
        last = plan.looks[-1]
        short = ", ".join(f"{name} has {count:,}" for name, count in plan.pools.items())
        reached = f"power {_power(last, wish)}" if wish.startswith("tell ") else f"PB +- {last.widest:.2f}"
        return f"wish     {wish}: not with these benchmarks ({short}); all of them reach {reached}"
    return f"wish     {wish}: {need['items']:,} items a benchmark, {_cost(need['cost'])}"


def _power(look: Outlook, wish: str) -> str:
    return next((f"{power:.0%}" for (a, b), power in look.power.items() if wish == f"tell {a} from {b}"), "unknown")


def _budget(budget: Mapping[str, Any]) -> list[str]:
    if "half_width" not in budget:
        return [f"budget   {budget['requests']:,} requests do not pay for 3 items a benchmark: nothing can be decided"]
    widest = max(budget["half_width"].values())
    told = [
        f"budget   {budget['requests']:,} requests buy {budget['items']:,} items a benchmark: PB to within {widest:.2f}"
    ]
    told += [
        f"         cannot decide {pair.replace(':', ' against ')}: power {budget['power'][pair]:.0%}"
        for pair in budget["undecided"]
    ]
    return told


def _cost(cost: Mapping[str, Any]) -> str:
    said = f"{cost['requests']:,} requests, {_short(cost['tokens'])} tokens"
    if cost["hours"] is not None:
        said += f", {_hours(cost['hours'])} h"
    return said + (f", {_usd(cost['usd'])} $" if cost["usd"] is not None else "")


def _short(count: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f} {letter}"
    return str(count)


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.2f}" if hours < 10 else f"{hours:.0f}"


def _usd(usd: float | None) -> str:
    return "-" if usd is None else f"{usd:,.2f}"

"""What a run may spend and at which prices, from its configuration; and what was spent, in words."""

from __future__ import annotations

from collections.abc import Mapping

from defender.config import RunConfig
from defender.costs import MS_PER_HOUR, NANO, Limits, Price
from defender.errors import ConfigError
from defender.settings import EMBEDDED

PAYERS = ("model", "judge", "writer")
OPTIONS: Mapping[str, str] = {"judge": "--judge-model", "writer": "--writer-model", "model": "--model"}


def limits_of(config: RunConfig) -> Limits:
    """Return the budget of a run."""
    budget = config.budget
    return Limits(budget.max_requests, budget.max_tokens, budget.max_usd, budget.max_hours)


def asked(config: RunConfig) -> dict[str, str]:
    """Return payer -> name of the model it asks; only payers that ask one."""
    found = {"model": config.model.name}
    if config.judging.kind in ("model", "guard"):
        found["judge"] = config.judge.name
    if config.search.writer.model and config.command == "search":
        found["writer"] = config.search.writer.model
    return found


def prices_of(config: RunConfig) -> dict[str, Price | None]:
    """Return payer -> price, None where the table does not say; a model that the run itself runs costs nothing."""
    found: dict[str, Price | None] = dict.fromkeys(PAYERS)
    for payer, name in asked(config).items():
        listed = config.prices.get(name)
        if listed is not None:
            found[payer] = Price(listed.input, listed.output, listed.cached_input)
        elif name == EMBEDDED or (payer == "model" and config.model.vllm):
            found[payer] = Price()
    return found


def check_prices(config: RunConfig) -> None:
    """Refuse a limit in dollars where what a request costs is not known.

    Raises:
        ConfigError: says what to write.
    """
    if config.budget.max_usd is None:
        return
    prices = prices_of(config)
    for payer, name in asked(config).items():
        if prices[payer] is not None:
            continue
        if not name:
            raise ConfigError(f"a limit in dollars needs to know which model is the {payer}: give {OPTIONS[payer]}")
        known = f" (it has {', '.join(config.prices)})" if config.prices else ""
        raise ConfigError(
            f"a limit of ${config.budget.max_usd:g} needs the price of '{name}', the {payer}, and the run file's table "
            f"'prices' does not have it{known}. Give --config FILE with, in dollars per million tokens, "
            f'prices: {{"{name}": {{input: 0.15, output: 0.60, cached_input: 0.075}}}} and its own numbers: '
            "0 for a server of yours, cached_input only where it is cheaper"
        )


def dollars_of(config: RunConfig, spend: Mapping[str, int]) -> float | None:
    """Return the dollars spent, None where the price of somebody who was asked is not known."""
    prices = prices_of(config)
    if any(prices[payer] is None for payer in asked(config)) and not spend.get("nanousd"):
        return None
    return spend.get("nanousd", 0) / NANO


def in_dollars(dollars: float) -> str:
    """Return dollars to the cent, and a sum below one to two digits."""
    return f"${dollars:,.2f}" if dollars >= 1 or not dollars else f"${dollars:.2g}"


def spent_in_words(spend: Mapping[str, int], limits: Limits) -> str:
    """Return what was spent, against the limits there are: "120 of 500 requests, 4,000 of 10,000 tokens"."""
    shown = [_of(spend.get("reserved", 0), limits.requests, "{:d}", " requests")]
    if limits.tokens is not None:
        shown.append(_of(spend.get("tokens", 0), limits.tokens, "{:d}", " tokens"))
    if limits.usd is not None:
        shown.append(_of(spend.get("nanousd", 0) / NANO, limits.usd, "{}", ""))
    if limits.hours is not None:
        shown.append(_of(spend.get("milliseconds", 0) / MS_PER_HOUR, limits.hours, "{:.2f}", " hours"))
    return ", ".join(shown)


def shares_in_words(spend: Mapping[str, int]) -> list[str]:
    """Return a line for each payer beside the measured model that asked anything: its part of the whole."""
    found = []
    for payer in PAYERS[1:]:
        requests, tokens = spend.get(f"{payer}.reserved", 0), spend.get(f"{payer}.tokens", 0)
        if requests:
            usd = spend.get(f"{payer}.nanousd", 0) / NANO
            found.append(f"{payer}: {requests} requests, {tokens} tokens" + (f", {in_dollars(usd)}" if usd else ""))
    return found


def _of(value: float, limit: float | None, form: str, unit: str) -> str:
    said = in_dollars if form == "{}" else form.format
    return f"{said(value)} of {said(limit)}{unit}" if limit is not None else f"{said(value)}{unit}"

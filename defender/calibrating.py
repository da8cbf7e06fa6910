"""``calibrate``: a judge reads responses that people have labelled; what it says is kept like a run's answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from defender.calibration import Calibration, Rate, calibrate
from defender.config import RunConfig
from defender.contracts import Judge
from defender.errors import ConfigError
from defender.journal import Journal
from defender.judging import Judging
from defender.labelled import JudgedAxis, Labelled, read_labelled
from defender.ledger import Ledger
from defender.purse import check_prices, limits_of, prices_of
from defender.seal import card_in_words

DO_NOT_ANSWER = "do_not_answer"
"""What stands for the hub's labels instead of a file."""
KEPT = "calibration.db"
RUBRIC: dict[JudgedAxis, str] = {"safety": "do_not_answer", "over_refusal": "xstest"}
"""What a judge model is asked where nobody says otherwise."""

Truth = Literal["harmful", "action"]


@dataclass(frozen=True)
class Question:
    """What is to be calibrated on.

    Attributes:
        labelled: a CSV file, or "do_not_answer" for the hub's labels of six models' responses.
        truth: which of the hub's two columns is believed.
        rubric: what a judge model is asked; "" takes the axis' own.
    """

    labelled: str
    truth: Truth = "harmful"
    rubric: str = ""


async def calibrated(
    config: RunConfig, question: Question, runs: Path, told: Callable[[str, int, int], None]
) -> tuple[list[str], dict[str, Any]]:
    """Score the config's judge against labels; return lines, and the same as plain values.

    Args:
        config: its judge, its data folder and its budget count.
        question: what is read, and which labels are believed.
        runs: replies are kept in ``calibration.db`` there, so that a second time costs nothing.
        told: hears how far it is (words, rows done, of how many).

    Raises:
        ConfigError: an unknown rubric, labels that do not read, or a judge of another axis. DataMissing: no labels.
        EngineDown: the judge's model. BudgetSpent: at the budget's limit; what was paid for is kept.
    """
    rows = labels(config, question)
    axis = rows[0].axis if rows else "safety"
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        told("calibrate", done, len(rows))

    async with _judge(config, axis, question.rubric or RUBRIC[axis], runs) as (judge, judging):
        found = await calibrate(judge, rows, tick=tick)
        card = asdict(judging.card) if judging.card else {}
    return in_lines(found, card), asdict(found) | {"card": card, "pb": effect_on_pb(found)}


def labels(config: RunConfig, question: Question) -> tuple[Labelled, ...]:
    """Read the labelled responses. Raises ConfigError, DataMissing."""
    if question.labelled != DO_NOT_ANSWER:
        return read_labelled(Path(question.labelled))
    from defender.benchmarks.do_not_answer import labelled
    from defender.benchmarks.source import Source

    return labelled(Source(Path(config.data) if config.data else None), question.truth)


@asynccontextmanager
async def _judge(config: RunConfig, axis: JudgedAxis, rubric: str, runs: Path) -> AsyncIterator[tuple[Judge, Judging]]:
    """Open the config's judge, paid from its budget, its replies kept beside the runs."""
    from defender.judges.rubrics import RUBRICS
    from defender.store import SqlStore

    if rubric not in RUBRICS:
        raise ConfigError(f"expected a rubric of {', '.join(RUBRICS)}, got {rubric!r}")
    judging = Judging(config.judging)
    judge = judging.judge(axis, rubric)
    if config.judging.kind == "refusal":
        yield judge, judging
        return
    check_prices(config)
    price, store = prices_of(config)["judge"], SqlStore(runs / KEPT)
    try:
        async with Journal(store) as journal:
            # A limit is for this time: what earlier calibrations cost is kept in the same file and not held against it.
            till = Ledger(journal, limits=limits_of(config), forgiven=store.spend()).till("judge", price)
            await judging.start(till, journal)
            try:
                yield judge, judging
            finally:
                await judging.close()
    finally:
        store.close()


def in_lines(found: Calibration, card: dict[str, Any]) -> list[str]:
    """Return what people read."""
    lines = [
        f"judge       {found.judge}" + (f" ({card_in_words(card)})" if card.get("model") != found.judge else ""),
        f"labelled    {found.rows} responses about {found.axis}, {found.scored} scored",
        f"agreement   {_rate(found.agreement)}",
    ]
    if found.kappa is not None:
        interval = found.kappa_interval
        lines.append(f"kappa       {found.kappa:.3f} ({interval.low:.3f} to {interval.high:.3f})")
    lines += [f"overlooked  {_rate(found.overlooked)}", f"accused     {_rate(found.accused)}"]
    if found.shift is not None:
        interval = found.shift_interval
        lines.append(f"shift       {found.shift:+.1f} points ({interval.low:+.1f} to {interval.high:+.1f})")
    lines += [f"unscored    {_rate(found.lost)}"] + [
        f"            {count} {why}" for why, count in found.unscored.items()
    ]
    for label, outcomes in found.confusion.items():
        seen = ", ".join(
            f"{outcome} {count}" for outcome, count in sorted(outcomes.items(), key=lambda pair: (-pair[1], pair[0]))
        )
        lines.append(f"label       {label}: {seen}; on the other side {_rate(found.errors[label])}")
    if (effect := effect_on_pb(found)) is not None:
        lines.append(
            f"PB          errors alike for everyone multiply the spread by {effect['factor']:.2f}; the same errors on "
            f"half of the identities only would by themselves show as PB {effect['invented']:.1f}"
        )
    return lines


def effect_on_pb(found: Calibration) -> dict[str, float] | None:
    """Return what the judge's errors do to PB on its axis; None where a side was never seen.

    ``factor``: the judge's mean is a + (1 - a - b) t for a true mean t, a overlooked and b accused, so errors that are
    the same for every identity multiply the spread by 1 - a - b. ``invented``: where half of the identities meet the
    errors and half meet none, their means lie ``shift`` points apart, a standard deviation of half of that; where
    errors of both kinds cancel in the mean the larger kind is taken, since identities need not share the mix.
    """
    if found.overlooked.percent is None or found.accused.percent is None or not found.scored:
        return None
    factor = 1.0 - (found.overlooked.percent + found.accused.percent) / 100.0
    worst = 100.0 * max(found.overlooked.hits, found.accused.hits) / found.scored
    return {"factor": factor, "invented": worst / 2.0}


def _rate(rate: Rate) -> str:
    if rate.percent is None:
        return "no rows"
    return f"{rate.percent:.1f} % ({rate.interval.low:.1f} to {rate.interval.high:.1f}), {rate.hits} of {rate.rows}"

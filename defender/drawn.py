"""How answers were drawn and what that cost in precision: lines for the report."""

from __future__ import annotations

from collections.abc import Mapping

from defender.components import Components
from defender.results import Results, Stage
from defender.seeding import Seeds


def drawn_lines(results: Results, stage: Stage) -> Mapping[str, str]:
    """Return heading -> text: whether seeds were honoured, and what repeats say about the noise; {} in older runs."""
    lines = {}
    if results.seeds:
        lines["sampling seeds honoured"] = str(Seeds(**results.seeds))
    if stage.components:
        lines["noise"] = "; ".join(map(_noise, stage.components))
    return lines


def _noise(one: Components) -> str:
    if one.item + one.draw <= 0.0:
        return f"{one.benchmark}: none seen, identities were answered alike"
    low, high = one.share_interval.low, one.share_interval.high
    told = (
        f"{one.benchmark}: drawing answers makes {100 * one.share:.0f} % ({100 * low:.0f} to {100 * high:.0f}) of the "
        "noise where each cell is asked once, how items treat identities makes the rest"
    )
    if one.shared >= 0.005:
        told += f"; shared seeds cancel {100 * one.shared:.0f} % of the drawing noise"
    return f"{told}; {one.repeats} repeats of an item are worth {one.repeats * one.worth(one.repeats):.2f} new items"

"""Tables of where the bias sits: by identity with intervals that hold at once, by part, and by clause."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from defender.deviations import Standing
from defender.evidence import Effect
from defender.parts import Part, PartDifference
from defender.records import Candidate, Identity, Interval, PBEstimate
from defender.report.context import Model, find
from defender.report.tables import between, frame, named

STANDING = ("prompt", "axis", "category", "identity", "mean", "deviation", "low", "high", "level")
PART = ("prompt", "kind", "part", "axis", "identities", "items", "share", "PB", "low", "high", "PB_raw", "noise floor")


def standings(
    prompts: Sequence[tuple[Candidate, PBEstimate, Sequence[Standing]]], told: Sequence[Identity]
) -> pd.DataFrame:
    """Return one row a prompt, axis and identity: mean in percent, points from the mean of all, interval.

    The intervals of an axis hold for all identities at once.
    """
    category = {identity.key: identity.category for identity in told}
    rows = [
        {
            "prompt": candidate.name,
            "axis": one.axis,
            "category": category.get(one.identity, ""),
            "identity": one.identity,
        }
        | {"mean": found.axes[one.axis].by_identity.get(one.identity, math.nan), "deviation": one.deviation}
        | {"low": one.interval.low, "high": one.interval.high, "level": one.interval.level}
        for candidate, found, several in prompts
        for standing in several
        if standing.axis in found.axes
        for one in standing.deviations
    ]
    return frame(rows, STANDING)


def by_identity(found: PBEstimate, several: Sequence[Standing], told: Sequence[Identity]) -> pd.DataFrame:
    """Return one row an identity: its mean on every axis, and its points from the mean of all with the interval.

    A star marks an identity whose interval leaves 0 out.
    """
    standing = {s.axis: {one.identity: one for one in s.deviations} for s in several if s.axis in found.axes}
    keys = dict.fromkeys(key for known in standing.values() for key in known)
    category = {identity.key: identity.category for identity in told}
    rows = []
    for key in sorted(keys, key=lambda key: (category.get(key, ""), key)):
        row: dict[str, object] = {"category": category.get(key, ""), "identity": key}
        for axis, known in standing.items():
            one = known[key]
            row[named(axis)] = found.axes[axis].by_identity.get(key, math.nan)
            row[f"{named(axis)}, from the mean"] = signed(one.deviation, one.interval)
        rows.append(row)
    columns = [name for axis in standing for name in (named(axis), f"{named(axis)}, from the mean")]
    return frame(rows, ("category", "identity", *columns))


def signed(value: float, interval: Interval) -> str:
    """Return "-1.20 (-2.00 to -0.40) *": points with their interval, starred where it leaves 0 out."""
    star = "" if interval.low <= 0 <= interval.high else " *"
    return f"{value:+.2f} ({between(interval)}){star}"


def extremes(several: Sequence[Standing]) -> pd.DataFrame:
    """Return one row an axis: who is worst and best, the gap and the range with intervals, and what chance gives."""
    rows = [
        {"axis": named(s.axis), "worst": s.worst, "below the mean": s.gap, "interval": between(s.gap_interval)}
        | {"by chance": s.gap_noise, "best": s.best, "range": s.range, "its interval": between(s.range_interval)}
        | {"range by chance": s.range_noise}
        for s in several
    ]
    columns = ("axis", "worst", "below the mean", "interval", "by chance", "best", "range", "its interval")
    return frame(rows, (*columns, "range by chance"))


def parts(prompts: Sequence[tuple[Candidate, Sequence[Part]]]) -> pd.DataFrame:
    """Return one row a prompt and part, with numbers as numbers."""
    rows = [
        {"prompt": candidate.name, "kind": part.kind, "part": part.name, "axis": part.axis or "both"}
        | {"identities": part.identities, "items": part.items, "share": part.share, "PB": part.bias.pb}
        | {"low": part.bias.interval.low, "high": part.bias.interval.high, "PB_raw": part.bias.pb_raw}
        | {"noise floor": part.bias.noise_floor}
        for candidate, several in prompts
        for part in several
    ]
    return frame(rows, PART)


def places(prompts: Sequence[tuple[Candidate, Sequence[Part]]], changes: Sequence[PartDifference]) -> pd.DataFrame:
    """Return one row a part (over both axes, an axis or a benchmark): each prompt's PB, what the last one changed."""
    if not prompts:
        return frame([], ("part",))
    change = {(one.kind, one.name, one.axis): one for one in changes}
    rows = []
    for n, part in enumerate(prompts[0][1]):
        if part.kind in ("category", "between") and part.axis is not None:
            continue
        row: dict[str, object] = {"part": named(part.name), "of": part.kind, "identities": part.identities}
        for candidate, several in prompts:
            bias = several[n].bias
            row[f"PB, {candidate.name}"] = f"{bias.pb:.2f} ({between(bias.interval)})"
            row[f"noise, {candidate.name}"] = bias.noise_floor
        found = change.get((part.kind, part.name, part.axis))
        if found is not None:
            row["change of PB²"] = f"{found.difference.difference:+.2f} ({between(found.difference.interval)})"
            row["p adjusted"] = found.p_adjusted
        rows.append(row)
    return frame(rows, tuple(dict.fromkeys(name for row in rows for name in row)))


def effects(found: Sequence[Effect]) -> pd.DataFrame:
    """Return one row a clause: what saying it did to PB^2 and to the axes in the trials of the search, with errors."""
    told: dict[str, dict[str, object]] = {}
    for one in found:
        row = told.setdefault(one.text, {"clause": one.text, "trials": one.trials})
        row[_title(one.on)] = f"{one.difference:+.2f} ± {one.se:.2f}"
    columns = dict.fromkeys(_title(one.on) for one in found)
    return frame([dict.fromkeys(columns, "") | row for row in told.values()], ("clause", *columns, "trials"))


def _title(on: str) -> str:
    return "PB²" if on == "PB^2" else on


def models(found: Sequence[Model]) -> pd.DataFrame:
    """Return one row a prompt that several models were asked with, and a column a model: PB with its interval."""
    rows = []
    for candidate in shared_prompts(found):
        row: dict[str, object] = {"prompt": candidate.name}
        for model in found:
            one = find(candidate.digest, model.measured)
            row[model.run] = f"{one[1].pb:.2f} ({between(one[1].interval)})" if one else ""
        rows.append(row)
    return frame(rows, ("prompt", *(model.run for model in found)))


def shared_prompts(found: Sequence[Model]) -> list[Candidate]:
    """Return the prompts that at least two models were asked with, in the order of the first that has them."""
    everyone = [candidate for model in found for candidate, _ in model.measured]
    counts = Counter(candidate.digest for candidate in everyone)
    named = {candidate.digest: candidate for candidate in reversed(everyone)}
    order = dict.fromkeys(candidate.digest for candidate in everyone)
    return [named[digest] for digest in order if counts[digest] > 1]


def runs(found: Sequence[Model]) -> pd.DataFrame:
    """Return one row a model: its run, what it is, and how its questions differ from the first one's."""
    rows = [{"run": m.run, "model": m.name, "prompts": len(m.measured), "not the same": m.unlike} for m in found]
    return frame(rows, ("run", "model", "prompts", "not the same"))


def settings(found: Mapping[str, str]) -> pd.DataFrame:
    """Return one row a library: its version."""
    return frame([{"what": name, "version": version} for name, version in found.items()], ("what", "version"))

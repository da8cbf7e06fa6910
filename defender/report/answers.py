"""Tables of what kinds of answers came: by benchmark, prompt and identity, why some have no score, how they were read.

Long frames, one row a count, for any renderer; ``wide`` makes the one of them that people read across.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from defender.kinds import ORDER, Kinds, Reading, Standout, together
from defender.records import Identity
from defender.report.tables import frame

SHOWN_TIERS = 8
"""Rows a benchmark and outcome may take in ``readings``; what is rarer is counted together."""
SHOWN_REASON = 60


def outcomes(kinds: Iterable[Kinds]) -> pd.DataFrame:
    """Return one row a benchmark and kind of answer: cells over all identities, and their share in percent."""
    rows = [
        {"benchmark": one.benchmark, "outcome": kind, "cells": n, "share %": _share(n, one.cells)}
        for one in together(kinds)
        for kind, n in sorted(one.totals.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return frame(rows, ("benchmark", "outcome", "cells", "share %"))


def by_prompt(named: Sequence[tuple[str, Kinds]]) -> pd.DataFrame:
    """Return one row a benchmark, prompt and kind: cells over all identities ``of`` those to be asked, and percent."""
    rows = [
        {"benchmark": one.benchmark, "prompt": name, "outcome": kind, "cells": n, "of": one.cells}
        | {"share %": _share(n, one.cells)}
        for name, one in sorted(named, key=lambda pair: pair[1].benchmark)
        for kind, n in one.totals.items()
    ]
    return frame(rows, ("benchmark", "prompt", "outcome", "cells", "of", "share %"))


def by_identity(kinds: Iterable[Kinds], told: Sequence[Identity], flagged: Sequence[Standout] = ()) -> pd.DataFrame:
    """Return one row a benchmark, identity and kind; ``p`` is the adjusted chance where the identity stands out."""
    category = {identity.key: identity.category for identity in told}
    chance = {(one.benchmark, one.identity, one.kind): one.p for one in flagged}
    rows = []
    for one in together(kinds):
        for key in sorted(one.identities, key=lambda key: (category.get(key, ""), key)):
            counted = one.of(key)
            whole = sum(counted.values())
            rows += [
                {"benchmark": one.benchmark, "category": category.get(key, ""), "identity": key, "outcome": kind}
                | {"cells": n, "of": whole, "share %": _share(n, whole)}
                | {"p": chance.get((one.benchmark, key, kind), math.nan)}
                for kind, n in counted.items()
            ]
    return frame(rows, ("benchmark", "category", "identity", "outcome", "cells", "of", "share %", "p"))


def wide(table: pd.DataFrame, *who: str) -> pd.DataFrame:
    """Return a long frame with one row for each ``who`` and a column a kind, "12.5 % (3)"; flagged ones with a star."""
    kinds = [kind for kind in ORDER if kind in set(table["outcome"])]
    rows = []
    for keys, part in table.groupby(list(who), sort=False):
        row: dict[str, object] = dict(zip(who, keys, strict=True)) | {"cells": int(part["of"].iloc[0])}
        for found in part.to_dict("records"):
            star = " *" if found.get("p", math.nan) <= 1 else ""
            row[str(found["outcome"])] = f"{found['share %']:.1f} % ({found['cells']}){star}"
        rows.append(row)
    return frame([dict.fromkeys(kinds, "") | row for row in rows], (*who, "cells", *kinds))


def standing_out(found: Sequence[Standout]) -> pd.DataFrame:
    """Return one row a flagged identity and kind; ``expected`` is the mean over identities."""
    rows = [
        {"benchmark": one.benchmark, "identity": one.identity, "outcome": one.kind, "cells": one.cells}
        | {"of": one.of, "expected": one.expected, "p adjusted": one.p}
        for one in found
    ]
    return frame(rows, ("benchmark", "identity", "outcome", "cells", "of", "expected", "p adjusted"))


def unscored(kinds: Iterable[Kinds]) -> pd.DataFrame:
    """Return one row a benchmark, identity and reason: cells nobody could score, ``of`` those to be asked."""
    rows = []
    for one in together(kinds):
        for key in one.identities:
            whole = sum(one.of(key).values())
            rows += [
                {"benchmark": one.benchmark, "identity": key, "reason": reason, "cells": n, "of": whole}
                | {"share %": _share(n, whole)}
                for reason, n in one.unscored(key).items()
            ]
    return frame(rows, ("benchmark", "identity", "reason", "cells", "of", "share %"))


def readings(kinds: Iterable[Kinds]) -> pd.DataFrame:
    """Return one row a benchmark, grader, outcome and tier: where in the answer it was read, or why it was not.

    Tiers beyond the most frequent are counted together: a refusal's tier is the phrase that refused.
    """
    rows = []
    for one in together(kinds):
        counted: dict[Reading, int] = {}
        for found in one.readings.values():
            for how, n in found.items():
                brief = replace(how, reason=_short(how.reason))
                counted[brief] = counted.get(brief, 0) + n
        groups: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for how, n in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0].reason)):
            groups.setdefault((how.outcome, how.grader), []).append((how.reason, n))
        for (outcome, grader), tiers in sorted(groups.items(), key=lambda pair: ORDER.index(pair[0][0])):
            kept, rest = tiers[:SHOWN_TIERS], tiers[SHOWN_TIERS:]
            if rest:
                kept = [*kept, (f"({len(rest)} others)", sum(n for _, n in rest))]
            rows += [
                {"benchmark": one.benchmark, "outcome": outcome, "read": tier, "cells": n}
                | {"share %": _share(n, one.cells), "grader": grader}
                for tier, n in kept
            ]
    return frame(rows, ("benchmark", "outcome", "read", "cells", "share %", "grader"))


def _share(n: int, of: int) -> float:
    return 100 * n / of if of else math.nan


def _short(reason: str) -> str:
    return reason if len(reason) <= SHOWN_REASON else f"{reason[: SHOWN_REASON - 1]}…"

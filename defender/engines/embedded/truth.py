"""The exact personalization bias of any prompt on the embedded model: for tests and benchmarks, never for a search.

The quantity is the one the miniature benchmarks estimate: the probability of the right first token, averaged over
items, per identity; PB is the paper's formula over identities, without sampling and so without correction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from defender.bias import pb_raw_of_means
from defender.engines.embedded.exact import exact_scores
from defender.engines.embedded.runtime import Runtime
from defender.identities import messages, paper_identities
from defender.miniature import UTILITY_KINDS, Kind, MiniatureItem
from defender.miniature import items as pool
from defender.records import Candidate, Identity

AXES: Mapping[str, tuple[Kind, ...]] = {
    "utility": UTILITY_KINDS,
    "safety": ("unsafe",),
    "over_refusal": ("harmless",),
}


@dataclass(frozen=True)
class Truth:
    """What is true of one prompt on the embedded model; percent and percentage points.

    Attributes:
        pb: sqrt of the summed between-identity variances of utility and safety; lower is fairer.
        utility, safety, answered: means over identities; ``answered`` is the share of harmless requests answered.
        by_identity: axis -> identity key -> mean.
    """

    pb: float
    utility: float
    safety: float
    answered: float
    by_identity: Mapping[str, Mapping[str, float]]


def exact_pb(
    candidate: Candidate,
    identities: Sequence[Identity] | None = None,
    *,
    items: Collection[str] | None = None,
    runtime: Runtime | None = None,
) -> Truth:
    """Compute the truth about a prompt from the model's own probabilities.

    Args:
        candidate: the prompt (``Candidate("You are a helpful assistant.")`` is the undefended one).
        identities: the users; None for the paper's 31.
        items: item ids to average over; None for the whole pools (about 20 s a prompt on 2 cores).
        runtime: a loaded model to reuse.
    """
    people = identities or paper_identities()
    model = runtime or Runtime()
    by_identity: dict[str, dict[str, float]] = {}
    for axis, kinds in AXES.items():
        chosen = [entry for kind in kinds for entry in pool(kind) if items is None or entry.id in items]
        if chosen:
            by_identity[axis] = _means(candidate, people, chosen, model)
    means = {axis: float(np.mean(list(values.values()))) for axis, values in by_identity.items()}
    spread = {axis: list(values.values()) for axis, values in by_identity.items() if axis != "over_refusal"}
    missing = float("nan")
    return Truth(
        pb_raw_of_means(spread),
        means.get("utility", missing),
        means.get("safety", missing),
        means.get("over_refusal", missing),
        by_identity,
    )


def _means(
    candidate: Candidate, people: Sequence[Identity], chosen: Sequence[MiniatureItem], model: Runtime
) -> dict[str, float]:
    """Return identity key -> mean probability of the right first token, in percent."""
    conversations = [
        [{"role": role, "content": text} for role, text in messages(candidate, person, entry.question)]
        for person in people
        for entry in chosen
    ]
    scores = exact_scores(model, conversations, [entry.gold for _ in people for entry in chosen])
    score_U = 100.0 * scores.reshape(len(people), len(chosen)).mean(axis=1)
    return {person.key: float(score) for person, score in zip(people, score_U, strict=True)}

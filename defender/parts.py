"""Where the bias sits: PB by axis, by benchmark, within and between categories of identities; and what changed. Pure.

The variance over identities splits exactly: S2 = sum_c (U_c / U) S2_c + S2_between, with S2_c the variance of the
identities of category c about their own mean, and S2_between that of the category means, each identity counted once.
C splits the same way, and so do the corrected squares: ``share * corrected2`` over the categories and "between" sum to
the whole's. A category's PB says whether it matters *which* religion is named, "between" whether it matters *what* is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from defender.bias import PB_AXES, Bias, PairedDifference, bias_of, difference
from defender.decide import holm
from defender.errors import ConfigError
from defender.records import Axis, OutcomeMatrix
from defender.samples import MAX_MISSING, Sample, among, averaged, complete, paired_samples

Kind = Literal["axis", "benchmark", "category", "between"]

Pairs = Sequence[tuple[Sample, Sample]]
Change = Callable[[Sample], Sample]


@dataclass(frozen=True, slots=True)
class Part:
    """The bias of one part.

    Attributes:
        kind, name: what is looked at: an axis, a benchmark, a category of identities, or what lies between categories.
        axis: on which axis; None for utility and safety together.
        bias: its PB with interval and noise floor; a category of one identity has none by definition.
        share: of "category" and "between": the weight of its corrected square in the whole's; else 1.
        identities: identities (of "between": categories). ``items``: of the smallest benchmark.
    """

    kind: Kind
    name: str
    axis: Axis | None
    bias: Bias
    share: float
    identities: int
    items: int


@dataclass(frozen=True, slots=True)
class PartDifference:
    """Two prompts' corrected PB^2 on one part, on the same items; below 0 favours the first.

    ``p_adjusted``: Holm's, over all parts of the same kind, so that one of many is not found by looking at many.
    """

    kind: Kind
    name: str
    axis: Axis | None
    difference: PairedDifference
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class Look:
    """One part to look at: which samples, changed how."""

    kind: Kind
    name: str
    axis: Axis | None
    keep: Callable[[Sample], bool]
    change: Change
    share: float
    identities: int


def parts(
    matrices: Sequence[OutcomeMatrix],
    categories: Mapping[str, Sequence[str]],
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
    max_missing: float = MAX_MISSING,
) -> tuple[Part, ...]:
    """Return the bias of every part: axes, benchmarks, then categories and between, over both axes and on each.

    With one category there is nothing between.

    Args:
        matrices: one candidate's, one per benchmark.
        categories: category -> identity keys, as ``identities.categories``; identities not measured are passed over.
        weights: as ``bias.estimate``.
        level: as ``bias.estimate``.
        max_missing: as ``bias.estimate``.

    Raises:
        IncompleteMatrix, ConfigError: as ``bias.estimate``; ConfigError also for an identity in no or two categories.
    """
    samples = complete(matrices, weights, max_missing)
    found = []
    for look in every_look(samples, categories):
        kept = [look.change(sample) for sample in samples if look.keep(sample)]
        groups = [[s for s in kept if s.axis == axis] for axis in dict.fromkeys(s.axis for s in kept)]
        items = min(s.score_U_I.shape[1] for s in kept)
        bias = bias_of(groups, level)
        found.append(Part(look.kind, look.name, look.axis, bias, look.share, look.identities, items))
    return tuple(found)


def compare_parts(
    first: Sequence[OutcomeMatrix],
    second: Sequence[OutcomeMatrix],
    categories: Mapping[str, Sequence[str]],
    *,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> tuple[PartDifference, ...]:
    """Compare two prompts part by part on the items both have complete, in the order of ``parts``.

    Raises:
        IncompleteMatrix, ConfigError: as ``bias.compare``; ConfigError also as ``parts``.
    """
    pairs = paired_samples(first, second, weights)
    looks = list(every_look([one for one, _ in pairs], categories))
    found = []
    for look in looks:
        kept = [(look.change(one), look.change(two)) for one, two in pairs if look.keep(one)]
        found.append(difference(kept, level))
    adjusted: dict[int, float] = {}
    for kind in dict.fromkeys(look.kind for look in looks):
        places = [place for place, look in enumerate(looks) if look.kind == kind]
        adjusted.update(zip(places, holm([found[place].p for place in places]), strict=True))
    return tuple(
        PartDifference(look.kind, look.name, look.axis, one, adjusted[place])
        for place, (look, one) in enumerate(zip(looks, found, strict=True))
    )


def every_look(samples: Sequence[Sample], categories: Mapping[str, Sequence[str]]) -> Iterator[Look]:
    """Yield what to look at."""
    axes = list(dict.fromkeys(sample.axis for sample in samples))
    if not set(axes).intersection(PB_AXES):
        raise ConfigError("PB: expected a utility or safety benchmark, got none; add one to `benchmarks`")
    identities = samples[0].identities
    rows = _rows(identities, categories)
    for axis in axes:
        yield Look("axis", axis, axis, _on(axis), _as_it_is, 1.0, len(identities))
    for sample in samples:
        yield Look("benchmark", sample.benchmark, sample.axis, _of(sample.benchmark), _alone, 1.0, len(identities))
    together: tuple[Axis | None, ...] = (None, *axes)
    for one in together:
        for name, members in rows.items():
            share = len(members) / len(identities)
            yield Look("category", name, one, _on(one), _among(members), share, len(members))
    for one in together if len(rows) > 1 else ():
        yield Look("between", "between categories", one, _on(one), _between(list(rows.values())), 1.0, len(rows))


def _rows(identities: Sequence[str], categories: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """Return category -> rows of its identities, categories with none left out."""
    homes = [[name for name, members in categories.items() if identity in members] for identity in identities]
    for identity, home in zip(identities, homes, strict=True):
        if len(home) != 1:
            raise ConfigError(
                f"identity '{identity}': expected exactly one category, got {', '.join(home) or 'none'}; "
                "give the categories of the identity file that was measured"
            )
    rows = {name: [row for row, home in enumerate(homes) if home == [name]] for name in categories}
    return {name: members for name, members in rows.items() if members}


def _on(axis: Axis | None) -> Callable[[Sample], bool]:
    return lambda sample: sample.axis in PB_AXES if axis is None else sample.axis == axis


def _of(benchmark: str) -> Callable[[Sample], bool]:
    return lambda sample: sample.benchmark == benchmark


def _as_it_is(sample: Sample) -> Sample:
    return sample


def _alone(sample: Sample) -> Sample:
    return replace(sample, weight=1.0)


def _among(rows: Sequence[int]) -> Change:
    return lambda sample: among(sample, rows)


def _between(groups: Sequence[Sequence[int]]) -> Change:
    return lambda sample: averaged(sample, groups)

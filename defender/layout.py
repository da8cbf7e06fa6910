"""Who is asked what: the panels of a search and of a measurement, laid out from the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from defender.benchmarks.deck import interleaved
from defender.config import RunConfig
from defender.contracts import Benchmark
from defender.decide import Floor
from defender.errors import ConfigError
from defender.gates import Gate, On
from defender.identities import NO_PERSONA, check_held_out
from defender.plan import Ladder, Panel, Phrasings, reveal
from defender.records import Axis, Identity, Item, ModelCard, Split
from defender.samples import MIN_ITEMS
from defender.search import SearchPlan
from defender.settings import MeasureConfig
from defender.space import Space

SPLITS: tuple[Split, ...] = get_args(Split)
HELD_OUT_FIRST: tuple[Split, ...] = ("test", "confirm", "search")


def build_floors(config: RunConfig) -> tuple[Floor, ...]:
    """Parse the floors, in the order of the axes however they were given or kept.

    Raises:
        ConfigError: names the axis and the forms that are understood.
    """
    axes: dict[str, Axis] = {axis: axis for axis in get_args(Axis)}
    floors = []
    for axis, text in config.floors.items():
        if axis not in axes:
            raise ConfigError(f"unknown axis '{axis}' in floors; axes: {', '.join(axes)}")
        floors.append(Floor.parse(axes[axis], str(text)))
    return tuple(sorted(floors, key=lambda floor: list(axes).index(floor.axis)))


def build_search_plan(
    config: RunConfig, space: Space, benchmarks: Mapping[str, Benchmark], identities: Sequence[Identity]
) -> SearchPlan:
    """Lay out both stages: search on search items without the over-refusal guard unless it has a floor, confirm on all.

    Raises:
        ConfigError: a benchmark has too few items in a split, or floors name a baseline the space does not have.
    """
    floors = build_floors(config)
    seeds = space.seed_candidates()
    axes = {benchmark.axis for benchmark in benchmarks.values()}
    for floor in floors:
        if floor.axis not in axes:
            raise ConfigError(
                f"the floor '{floor}' has no benchmark that measures {floor.axis}: add one with --benchmarks, or leave "
                "the floor out of 'floors' in the run file"
            )
        if floor.relative_to is not None and floor.relative_to != seeds[0].name:
            raise ConfigError(
                f"a floor is relative to '{floor.relative_to}'; floors may be relative to the first seed "
                f"of the space, '{seeds[0].name}'"
            )
    guarded = {floor.axis for floor in floors}
    raced = [b for b in benchmarks.values() if b.axis != "over_refusal" or "over_refusal" in guarded]
    settings, verdicts = config.search, paid_verdicts(config, benchmarks)
    return SearchPlan(
        seeds=seeds,
        search=Panel(
            "search", tuple(identities), _drawn(config, raced, ("search",), settings.items), verdicts=verdicts
        ),
        confirm=Panel(
            "confirm",
            tuple(identities),
            _drawn(config, benchmarks.values(), ("confirm",), config.confirm.items),
            config.repeats[0],
            NO_PERSONA,
            verdicts,
            _phrasings(config.confirm, identities),
        ),
        floors=floors,
        ladder=Ladder(reveal(settings.blocks), settings.finals) if settings.strategy == "race" else Ladder((1.0,)),
        generation=settings.generation,
        max_candidates=settings.candidates,
        finalists=settings.finalists,
        alpha=settings.alpha,
        margin=settings.margin,
        max_requests=config.budget.max_requests,
    )


def build_measure_panel(
    config: RunConfig, benchmarks: Mapping[str, Benchmark], identities: Sequence[Identity]
) -> Panel:
    """Lay out a plain measurement: every split, since nothing is selected, those no search has seen first."""
    items = _drawn(config, benchmarks.values(), HELD_OUT_FIRST, config.measure.items)
    verdicts = paid_verdicts(config, benchmarks)
    phrasings = _phrasings(config.measure, identities)
    return Panel("all", tuple(identities), items, config.repeats[1], NO_PERSONA, verdicts, phrasings)


def build_gates(config: RunConfig) -> tuple[Gate, ...]:
    """Return the gates of a check. Raises ConfigError where there is none."""
    said = config.check
    limits: tuple[tuple[On, float | None], ...] = (
        ("pb", said.max_pb), ("utility", said.min_utility), ("safety", said.min_safety),
        ("over_refusal", said.max_over_refusal),
    )  # fmt: skip
    gates = tuple(Gate(on, limit) for on, limit in limits if limit is not None)
    if not gates:
        raise ConfigError(
            "a check needs something to hold the prompt to: give --max-pb, --min-utility, --min-safety or "
            "--max-over-refusal"
        )
    return gates


def build_check_panel(
    config: RunConfig, benchmarks: Mapping[str, Benchmark], identities: Sequence[Identity], gates: Iterable[Gate]
) -> Panel:
    """Lay out a check: the benchmarks its gates need, items in the order of a measurement, no reference point.

    Raises:
        ConfigError: as ``build_measure_panel``; also where no benchmark measures what a gate is about.
    """
    panel = build_measure_panel(config, benchmarks, identities)
    needed = {axis for gate in gates for axis in gate.axes}
    measured = {benchmark.axis for benchmark in benchmarks.values()}
    for gate in gates:
        if not measured.intersection(gate.axes):
            raise ConfigError(
                f"the gate '{gate}' has no benchmark that measures {' or '.join(gate.axes)}: add one with --benchmarks"
            )
    items = {name: found for name, found in panel.items.items() if benchmarks[name].axis in needed}
    return replace(panel, items=items, reference=None)


def _phrasings(stage: MeasureConfig, identities: Sequence[Identity]) -> Phrasings:
    """Return how users say who they are. Raises ConfigError where held-out sentences are asked for and lacking."""
    if stage.phrasings == "held_out":
        check_held_out(identities)
    return stage.phrasings


def check_context(card: ModelCard, benchmarks: Mapping[str, Benchmark]) -> None:
    """Refuse benchmarks whose answers alone may fill the server's context.

    A server cuts such answers where the context ends, so at another length for each identity; older ones refuse every
    request. Answers that are cut in spite of this check are unscored (``context_length``).

    Raises:
        ConfigError: with the benchmarks, both numbers and the setting.
    """
    limits = {name: benchmark.sampling.max_tokens for name, benchmark in benchmarks.items()}
    long = {name: limit for name, limit in limits.items() if card.context is not None and limit >= card.context}
    if card.context is None or not long:
        return
    allowed = ", ".join(f"{name} up to {limit}" for name, limit in long.items())
    raise ConfigError(
        f"answers may take {allowed} tokens, and {card.endpoint or card.model} takes {card.context} for prompt and "
        "answer together: answers would be cut where the prompt leaves no room, earlier for some identities than for "
        f"others. Give --answer-tokens {card.context // 2} (or model.max_tokens) to lower the limit for everyone, or "
        "serve the model with a longer context (vLLM: --max-model-len)"
    )


def paid_verdicts(config: RunConfig, benchmarks: Mapping[str, Benchmark]) -> dict[str, int]:
    """Return benchmark -> requests that judging one answer may take, for those whose judge is a served model."""
    if config.judging.kind not in ("model", "guard"):
        return {}
    return {name: 1 for name, benchmark in benchmarks.items() if benchmark.judge is not None}


def _drawn(
    config: RunConfig, benchmarks: Iterable[Benchmark], splits: Sequence[Split], limit: int | None
) -> dict[str, tuple[Item, ...]]:
    """Draw the first ``limit`` items of every benchmark, stratified, by the run's seed.

    Raises:
        ConfigError: fewer than PB needs.
    """
    drawn = {}
    for benchmark in benchmarks:
        found = tuple(item for split in splits for item in interleaved(benchmark.items(split), config.seed))[:limit]
        if len(found) < MIN_ITEMS:
            raise ConfigError(
                f"benchmark '{benchmark.name}' has {len(found)} items in {', '.join(splits)}; "
                f"PB needs at least {MIN_ITEMS}"
            )
        drawn[benchmark.name] = found
    return drawn

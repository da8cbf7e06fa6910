"""An ablation of a run's prompt: a run of its own, in the other's folder, that reuses what the other paid for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from defender.benchmarks.deck import interleaved
from defender.bill import Bill, Terms, bill
from defender.build import Prepared, build_engine, prepare
from defender.config import RunConfig
from defender.contracts import Benchmark
from defender.dissection import Dissection
from defender.errors import ConfigError
from defender.heritage import adopt, answered, grown, read_parent
from defender.layout import HELD_OUT_FIRST, build_floors
from defender.plan import Panel
from defender.records import Item, Split
from defender.runs import ABLATION, STUDY, RunFolder, open_run
from defender.samples import MIN_ITEMS
from defender.session import MakeEngine, Watch, describe, sit
from defender.variants import KINDS, Subject, subject_of, variants


@dataclass(frozen=True)
class Opened:
    """An ablation, ready to run or to be priced.

    Attributes:
        parent: the run whose prompt is taken apart.
        folder: the ablation's own.
        prepared: what the run's names stand for; its panel is the ablation's.
    """

    parent: RunFolder
    folder: RunFolder
    prepared: Prepared
    terms: Terms
    bill: Bill


def asked(only: Sequence[str] | None, items: int | None, margin: float | None) -> dict[str, Any]:
    """Return the settings of the command's options: "left-out" and the like, "combinations", items and margin.

    Raises:
        ConfigError: an unknown change.
    """
    section: dict[str, Any] = {"items": items}
    if margin is not None:
        section["margin"] = margin
    if only is not None:
        known = {kind.replace(" ", "-"): kind for kind in KINDS}
        for name in only:
            if name not in known and name != "combinations":
                raise ConfigError(f"unknown change '{name}' in --only; known: {', '.join(known)}, combinations")
        section |= {"kinds": [known[name] for name in only if name in known], "combinations": "combinations" in only}
    return {"ablate": section}


def priced(opened: Opened) -> tuple[list[str], dict[str, Any]]:
    """Return what an ablation costs at most, retries aside: as lines, and as one document."""
    settled = opened.bill
    stages = dict(settled.cost) | {"a shorter prompt, tried and proven": settled.proof}
    lines = [f"{name:44}{cost:>12} requests" for name, cost in stages.items()]
    lines += [f"{'at most, retries aside':44}{settled.total:>12} requests"]
    lines += [f"not paid for: {what}" for what in settled.unpaid]
    return lines, {"cost": stages, "total": settled.total, "unpaid": list(settled.unpaid)}


def open_ablation(
    parent: RunFolder, prompt: str | None, changes: Mapping[str, Any], *, resume: bool = False, make: bool = True
) -> Opened:
    """Settle what an ablation measures, and make or open its folder; nothing is contacted.

    Args:
        parent: a run of ``search`` or ``measure``.
        prompt: name or id of one of its prompts; None for the winner.
        changes: RunConfig fields that differ from the run's: "ablate", "budget", "speed", "data".
        resume: refuse to start a new one.
        make: False only prices it; its folder need not exist then.

    Raises:
        ConfigError: no such prompt, or one that cannot be taken apart. ResumeRefused: the run's files have changed.
        BudgetError: the budget does not pay for the least an ablation asks. StoreError: a folder cannot be used.
    """
    if parent.config.command == "ablate":
        raise ConfigError(f"{parent.path} is an ablation already; name the run it belongs to: {parent.path.parent}")
    before = prepare(parent.config.model_copy(update={key: changes[key] for key in ("data",) if key in changes}))
    open_run(parent.config, parent.path.parent, parent.path.name, contents=before.contents, must_exist=True)
    known = read_parent(parent)
    candidate = known.named(prompt, parent)
    subject = subject_of(candidate, grown(before.space, known.written))
    config = RunConfig.model_validate(
        parent.config.model_dump() | {"command": "ablate", "budget": {}, "store": None} | dict(changes)
    )
    terms = _terms(config, before, subject)
    terms = replace(terms, free=answered(parent, known, terms))
    settled = bill(terms)
    prepared = replace(before, config=config, plan=None, panel=terms.panel, prompts=(), pool=())
    name = ABLATION if candidate == known.winner else f"{ABLATION}-{candidate.id}"
    contents = before.contents | {"run": parent.digest, "prompt": candidate.digest}
    if make:
        folder = open_run(config, parent.path, name, contents=contents, must_exist=resume)
    else:
        folder = RunFolder(parent.path / name, config, "", resumed=False)
    return Opened(parent, folder, prepared, terms, settled)


async def run_ablation(opened: Opened, watch: Watch, make_engine: MakeEngine = build_engine) -> None:
    """Run or resume an ablation; results are read from its store. Raises what ``Dissection.run`` raises."""
    adopt(opened.parent, opened.folder, opened.terms, opened.prepared.benchmarks)
    async with sit(opened.folder, opened.prepared, watch, make_engine) as sitting:
        panels = {"ablation": opened.terms.panel}
        if opened.terms.proof is not None:
            panels["confirm"] = opened.terms.proof
        describe(sitting, opened.prepared, panels)
        sitting.store.note("subject", "prompt", {
            "id": opened.terms.subject.candidate.id,
            "run": opened.parent.name,
            "digest": opened.parent.digest,
            "importance": _importance(opened.parent),
        })  # fmt: skip
        await Dissection(sitting.measurer, sitting.store, sitting.ledger, opened.terms, opened.bill, watch.stage).run()


def _terms(config: RunConfig, before: Prepared, subject: Subject) -> Terms:
    """Lay the ablation out: the run's own items for claims, and untouched ones for a shorter prompt.

    Raises:
        ConfigError: the run has neither a search's nor a measurement's panel.
    """
    stage = before.plan.confirm if before.plan is not None else before.panel
    if stage is None:
        raise ConfigError("an ablation needs a run of 'defender search' or 'defender measure'")
    limit = config.ablate.items
    items = {name: found[:limit] for name, found in stage.items.items()}
    panel = replace(stage, items=items, reference=None)
    splits: tuple[Split, ...] = ("test", "confirm") if before.plan is not None else HELD_OUT_FIRST
    fresh = _untouched(before.benchmarks, stage, splits, config.seed, limit)
    baseline = before.plan.seeds[0] if before.plan is not None else before.prompts[0]
    return Terms(
        subject=subject,
        variants=variants(subject, {"left out", *config.ablate.kinds}),
        panel=panel,
        proof=replace(panel, items=fresh) if fresh else None,
        baseline=baseline,
        floors=build_floors(config) if before.plan is not None else (),
        margin=config.ablate.margin,
        combinations=config.ablate.combinations,
        pairs=config.ablate.pairs,
        seed=config.seed,
        max_requests=config.budget.max_requests,
    )


def _untouched(
    benchmarks: Mapping[str, Benchmark], stage: Panel, splits: Iterable[Split], seed: int, limit: int | None
) -> dict[str, tuple[Item, ...]]:
    """Return items that no selection and no claim has seen, as many as the stage has; {} where a benchmark has none."""
    found = {}
    for name, asked in stage.items.items():
        seen = {item.id for item in asked}
        left = [i for split in splits for i in interleaved(benchmarks[name].items(split), seed) if i.id not in seen]
        if len(left) < MIN_ITEMS:
            return {}
        found[name] = tuple(left[: len(asked)][:limit])
    return found


def _importance(parent: RunFolder) -> dict[str, Any]:
    """Return what Optuna makes of the search's trials: method -> parameter -> share, or why there is nothing."""
    if parent.server is None and not (parent.path / STUDY).is_file():
        return {"methods": {}, "reason": "the run has no study: only a search that composes its prompts keeps one"}
    from defender.proposers.importance import importances

    found, reason = importances(parent.study, parent.name)
    return {"methods": found, "reason": reason}

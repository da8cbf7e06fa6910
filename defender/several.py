"""Several models, one after another: the same prompts on the same items, or what was found on the first tried on all.

Each model has a run of its own below the group's folder, with its own fingerprint, store and report: nothing that was
paid for one is asked again because another is added. The budget is one for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from defender.address import checked
from defender.build import Prepared, prepare
from defender.config import RunConfig
from defender.costs import MS_PER_HOUR, NANO
from defender.decide import verdicts
from defender.errors import BudgetError, ConfigError
from defender.jointly import Verdict, judge_all
from defender.records import Comparison, Trial, digest_of
from defender.results import Results, read_results
from defender.runs import CONFIG, RunFolder, check_name, load_run, open_run, write_json
from defender.session import Watch, run_measure, run_search
from defender.settings import BudgetConfig

GROUP = "models.json"

Watching = Callable[[RunFolder], AbstractContextManager[Watch]]


@dataclass(frozen=True)
class Group:
    """Runs of several models that belong together, in the order the models were named.

    Attributes:
        path: the group's folder. ``runs``: one a model.
        searched: whether the first found the prompts that the others were asked.
        joint: what a joint search concluded, as plain values; {} where none was made.
    """

    path: Path
    runs: tuple[RunFolder, ...]
    searched: bool = False
    joint: Mapping[str, Any] = field(default_factory=dict)


def apart(config: RunConfig) -> tuple[RunConfig, ...]:
    """Return one configuration a model, all asking the same benchmarks.

    Raises:
        ConfigError: two models would be one run, in their folders or on the server.
    """
    named = checked(config.store)[1] if config.store else ""
    if named:
        raise ConfigError(
            f"store: a URL that ends in '#{named}' is for one run, and each of the models has one; leave the name out: "
            "they are called GROUP.MODEL after the folder that --run names"
        )
    shared = {"models": (), "benchmarks": config.benchmark_names}
    configs = tuple(config.model_copy(update={**shared, "model": model}) for model in config.models)
    slugs = [slug(one) for one in configs]
    twice = sorted({name for name in slugs if slugs.count(name) > 1})
    if twice:
        raise ConfigError(f"models: {', '.join(twice)} is named twice; give each model once, or a name of its own")
    return configs


def slug(config: RunConfig) -> str:
    """Return a model's name as a folder can be called."""
    name = config.model.name.rstrip("/").rsplit("/", 1)[-1] or "model"
    return f"{name}-{config.model.alias}" if config.model.alias else name


def group_path(config: RunConfig, runs: Path, name: str | None) -> Path:
    """Return the group's folder: the one named, else one named after what is asked of whom."""
    if name is not None:
        check_name(name)
        return Path(name) if "/" in name else runs / name
    what = Path(config.prompts[0]).stem if config.prompts else Path(config.space).stem
    digest = digest_of([one.decisive() for one in apart(config)])
    return runs / f"{config.command}-{what}-{len(config.models)}-models-{digest[:8]}"


async def run_several(config: RunConfig, path: Path, watching: Watching, *, must_exist: bool = False) -> Group:
    """Measure on each model; or search on the first and try what it confirmed on the others; or search jointly.

    Args:
        config: with ``models``.
        path: the group's folder.
        watching: shows how one run goes while inside.
        must_exist: refuse to begin (``--resume``) a group of which nothing is there.

    Raises:
        What preparing, a search or a measurement raises; models that are done stay done.
    """
    configs = apart(config)
    first = prepare(configs[0])
    for other in configs[1:]:
        prepare(other)  # what is wrong with a later model is said before the first is paid for
    joint = config.search.joint if config.command == "search" else ""
    searched = config.command == "search" and not joint
    folders: list[RunFolder] = []
    prepareds: list[Prepared] = []
    for place, one in enumerate(configs):
        spent = [_spend(folder) for folder in folders] + [_spend_of(path, later) for later in configs[place + 1 :]]
        one = one.model_copy(update={"budget": _left(config.budget, spent)})
        prepared = replace(first, config=one) if not place else prepare(one)
        contents = prepared.contents
        if searched and place:
            prepared, contents = _transferred(prepared, read_results(folders[0]))
        begun = must_exist and not place  # those after it may not have had their turn
        folder = open_run(prepared.config, path, _name(path, one), contents=contents, must_exist=begun)
        folders.append(folder)
        prepareds.append(prepared)
        with watching(folder) as watch:
            if joint or (searched and not place):
                await run_search(folder, prepared, watch)
            else:
                await run_measure(folder, prepared, watch)
        _keep(group := Group(path, tuple(folders), searched))
    if joint:
        runs = {slug(one.config): (folder, one) for folder, one in zip(folders, prepareds, strict=True)}
        verdict = await judge_all(runs, joint, watching, lambda folder: _afford(folder, config.budget, folders))
        _keep(group := replace(group, joint=_plain(verdict)))
    return group


def _keep(group: Group) -> None:
    said = {"runs": [done.name for done in group.runs], "searched": group.searched, "joint": dict(group.joint)}
    write_json(group.path / GROUP, said)


def _afford(folder: RunFolder, budget: BudgetConfig, folders: list[RunFolder]) -> RunFolder:
    """Return a run that may spend what all of them have left. Raises BudgetError: nothing."""
    spent = [_spend(other) for other in folders if other.path != folder.path]
    return replace(folder, config=folder.config.model_copy(update={"budget": _left(budget, spent)}))


def _plain(verdict: Verdict) -> dict[str, Any]:
    """Return what a joint search concluded as plain values."""
    winner = verdict.winner
    models = {
        model: {
            "search_pb": {one.name: _pb(judged.search[one.id]) for one in verdict.order},
            "confirm_pb": _pb(judged.confirm[winner.id]),
            "floors": dict(judged.confirm[winner.id].gaps),
            "comparisons": [asdict(found) for found in judged.comparisons[winner.id]],
        }
        for model, judged in verdict.judged.items()
    }
    return {"by": verdict.by, "winner": asdict(winner), "order": [one.name for one in verdict.order], "models": models}


def _pb(trial: Trial) -> float | None:
    return trial.estimate.pb if trial.estimate else None


def read_group(runs: Path, name: str, store: str | None = None) -> Group | None:
    """Return a group that was run before; None where the name is no group's.

    ``store`` stands for the database's URL that its runs kept. Raises what ``load_run`` raises.
    """
    import json

    path = next((place for place in (Path(name), runs / name) if (place / GROUP).is_file()), None)
    if path is None:
        return None
    said = json.loads((path / GROUP).read_text(encoding="utf-8"))
    return Group(path, tuple(load_run(path, run, store) for run in said["runs"]), said["searched"], said["joint"])


def transfer(results: Results, runs: int) -> tuple[Comparison, ...]:
    """Compare the prompt that was found with each baseline on one model, corrected for all models of the group.

    Args:
        results: of a model that did not find it.
        runs: how many models the group has.

    Raises:
        IncompleteMatrix: too many cells are missing.
    """
    matrices = results.claims.matrices
    *baselines, winner = matrices
    return verdicts(
        results.candidates[winner].name,
        matrices[winner],
        {results.candidates[key].name: matrices[key] for key in baselines},
        family=len(baselines) * (runs - 1),
    )


def _transferred(prepared: Prepared, found: Results) -> tuple[Prepared, dict[str, str]]:
    """Return the measurement of what another model's search confirmed, on this model's held-out items."""
    plan, winner = prepared.plan, found.winner
    if plan is None or winner is None:
        raise ConfigError(f"{found.folder.path} has no confirmed prompt to try on other models; run the search again")
    baselines = [found.candidates[key] for key in found.baselines if key != winner.id]
    prompts = (*baselines, winner)
    contents = {**prepared.contents, "prompts": digest_of([prompt.digest for prompt in prompts])}
    config = prepared.config.model_copy(update={"command": "measure"})
    return replace(prepared, config=config, plan=None, panel=plan.confirm, prompts=prompts), contents


def _name(path: Path, config: RunConfig) -> str:
    return f"{path.name}.{slug(config)}"  # unique where names of runs must be, in a shared database


def _spend_of(path: Path, config: RunConfig) -> Mapping[str, int]:
    """Return what an earlier sitting spent on a model whose turn comes later."""
    name = _name(path, config)
    return _spend(load_run(path, name, config.store)) if (path / name / CONFIG).exists() else {}


def _spend(folder: RunFolder) -> Mapping[str, int]:
    from defender.store import SqlStore, is_begun

    if not is_begun(folder.database):
        return {}  # killed between making the folder and its tables
    store = SqlStore(folder.database, readonly=True)
    try:
        return dict(store.spend())
    finally:
        store.close()


def _left(budget: BudgetConfig, spent: list[Mapping[str, int]]) -> BudgetConfig:
    """Return what others have left of a budget. Raises BudgetError: nothing."""

    def gone(counter: str) -> int:
        return sum(one.get(counter, 0) for one in spent)

    used: dict[str, float] = {
        "max_requests": gone("reserved"),
        "max_tokens": gone("tokens"),
        "max_usd": gone("nanousd") / NANO,
        "max_hours": gone("milliseconds") / MS_PER_HOUR,
    }
    left = {name: limit - used[name] for name in used if (limit := getattr(budget, name)) is not None}
    short = [name for name, value in left.items() if value <= 0]
    if short:
        raise BudgetError(f"the other models have spent all of {', '.join(short)}; raise it to go on with the next")
    return budget.model_copy(update=left)


def columns(group: Group) -> Iterator[tuple[str, Results]]:
    """Yield each model's name and results."""
    for folder in group.runs:
        yield slug(folder.config), read_results(folder)

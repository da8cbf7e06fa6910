"""What a finished command says: the report on disk, the lines for a terminal, the document for ``--json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from shlex import quote
from textwrap import wrap
from typing import Any

from defender.answer import answer, fairest, where
from defender.config import RunConfig
from defender.delivery import document, provenance
from defender.drawn import drawn_lines
from defender.findings import details, raced
from defender.formats import Surroundings, build_exporter
from defender.kinds import LEVEL, Kinds, Standout, standouts, strange, together
from defender.lines import WIDTH, cost_lines, floors_of, measure_lines, nobody_lines, search_lines
from defender.purse import dollars_of, shares_in_words
from defender.reading import readings
from defender.records import Candidate, Decision, PBEstimate
from defender.report import markdown
from defender.report.context import Cost, ReportContext, Step
from defender.report.page import write_page
from defender.results import Results, Stage, read_results
from defender.runs import RunFolder
from defender.seal import card_in_words, card_of, same_model
from defender.settings import EMBEDDED, SearchConfig

STAGES = {-1: "confirm", -2: "writing"}
"""Where decisions outside the race were made."""

FLAGS = {
    "space": "--space", "model.name": "--model", "model.base_url": "--base-url", "model.vllm": "--vllm",
    "model.alias": "--alias", "model.max_tokens": "--answer-tokens", "identities": "--identities",
    "benchmarks": "--benchmarks",
    "protocol": "--protocol", "data": "--data", "judge.kind": "--judge", "judge.name": "--judge-model",
    "judge.base_url": "--judge-base-url", "search.items": "--items", "confirm.items": "--confirm-items",
    "measure.items": "--items", "measure.repeats": "--repeats", "search.candidates": "--candidates",
    "search.generation": "--generation", "search.finalists": "--finalists", "search.proposer": "--proposer",
    "floors.utility": "--min-utility", "floors.safety": "--min-safety", "seed": "--seed",
    "check.max_pb": "--max-pb", "check.min_utility": "--min-utility", "check.min_safety": "--min-safety",
    "check.max_over_refusal": "--max-over-refusal", "check.confidence": "--confidence",
}  # fmt: skip
"""Setting -> the option that says it; every other setting needs a run file."""

IDLE = {
    "measure": ("search", "confirm", "floors", "check"), "search": ("measure", "check"),
    "check": ("search", "confirm", "floors"),
}  # fmt: skip
"""Command -> what it does not read."""

HARMLESS = (
    *("model.timeout_s", "model.max_attempts", "model.api_key_env", "judge.api_key_env"),
    *("model.server.python", "model.server.host", "model.server.port", "model.server.start_s"),
)
"""Settings that change no result."""

TEACHING = (
    "The embedded model is a teaching-size model with planted bias, for trying the tool and for knowing the truth; "
    "claims about real models need real models."
)


def conclude(
    folder: RunFolder, others: Sequence[RunFolder] = (), *, show_items: bool = False
) -> tuple[list[str], dict[str, Any]]:
    """Write a run's report (and the winner's prompt), and return what to print, as lines and as one document.

    Args:
        folder: the run.
        others: runs whose models are shown beside this one's.
        show_items: whether the page shows questions and answers, which may be harmful.

    Raises:
        ConfigError: nothing was measured yet. StoreError: the folder cannot be read or written.
    """
    results = read_results(folder)
    told = context(results, [read_results(other) for other in others])
    if show_items:
        told = replace(told, details=replace(told.details, readings=readings(results)))
    page = write_page(told, folder.path)
    paths = [*markdown.write_report(told, folder.path), page]
    prompt = _write_prompt(results)
    selecting = folder.config.command == "search"
    lines = (search_lines(results) or [answer(results)]) if selecting else measure_lines(results)
    lines += ["", *cost_lines(results), f"run      {folder.path}", f"report   {paths[0]}", f"page     {page}"]
    if prompt:
        lines.append(f"prompt   {prompt}")
    if folder.config.model.name == EMBEDDED:
        lines += ["", *wrap(TEACHING, WIDTH, break_on_hyphens=False)]
    return lines, document(results, answer(results), [str(path) for path in paths], prompt)


def context(results: Results, others: Sequence[Results] = ()) -> ReportContext:
    """Return everything the report says."""
    stage = results.claims
    baseline = results.baselines[0] if results.baselines else next(iter(stage.estimates), "")
    best = fairest(results, stage)
    shown = results.winner or best
    looked = [results.candidates[baseline]] if baseline in results.candidates else []
    return ReportContext(
        run=results.folder.name,
        answer=answer(results),
        winner=results.winner,
        cost=Cost(
            results.spend["reserved"],
            results.spend["prompt_tokens"],
            results.spend["completion_tokens"],
            results.seconds,
            dollars_of(results.folder.config, results.spend),
            shares_in_words(results.spend),
        ),
        baseline=results.candidates[baseline].digest if baseline in results.candidates else "",
        spotlight=best,
        selecting=results.folder.config.command == "search",
        where=where(results, stage),
        search=_measured(results, results.stages.get("search")),
        confirm=_measured(results, stage if stage.name != "search" else None),
        comparisons=results.comparisons,
        floors=floors_of(results, stage) if results.winner else [],
        decisions=[_step(d) for d in results.decisions],
        identities=list(results.identities.values()),
        answers=results.answered,
        nobody=results.unnamed,
        standouts=_standouts(results),
        paper=results.figures,
        methods=_methods(results, stage),
        caveats=_caveats(results, stage),
        reproduce=_reproduce(results),
        details=details(results, stage, [*looked, *([shown] if shown else [])], others),
        trials=raced(results),
    )


def _step(one: Decision) -> Step:
    stage = STAGES.get(one.block, f"block {one.block + 1}, {one.items} items")
    return Step(one.name, stage, one.action, one.reason, one.items, one.block, one.candidate)


def _measured(results: Results, stage: Stage | None) -> list[tuple[Candidate, PBEstimate]]:
    return [(results.candidates[key], found) for key, found in stage.estimates.items()] if stage else []


def _voices(results: Results, stage: Stage) -> str:
    """Say in whose words the users of a stage spoke, as a reader of the claim must know."""
    config = results.folder.config
    asked = {"confirm": config.confirm, "measure": config.measure}.get(stage.name)
    if asked and asked.phrasings == "held_out":
        ways = max(len(identity.held_out) for identity in results.identities.values())
        return f"they say who they are in {ways} held-out phrasings that no selection saw, in turn over the items"
    return "they say who they are in the one sentence of the set" + (
        ", the one the search used" if stage.name == "confirm" else ""
    )


def _methods(results: Results, stage: Stage) -> dict[str, str]:
    config = results.folder.config
    items = ", ".join(f"{name} {count}" for name, count in stage.items.items())
    methods = {
        "model": card_in_words(results.card),
        **({"judge": card_in_words(results.judge)} if results.judge else {}),
        "identities": (
            f"{len(results.identities)} ({config.identities}); no_persona is a reference point outside PB; "
            f"{_voices(results, stage)}"
        ),
        "items": f"{stage.name}: {items}; the same items for every prompt and identity",
        **{f"benchmark {name}": str(value["protocol"]) for name, value in results.protocols.items()},
        "measure": (
            "PB_raw is the paper's (population variance over identities, arXiv 2406.11107); PB subtracts what item "
            "sampling adds; intervals come from the jackknife over items and are unified ones (Feldman and Cousins "
            "1998): one-sided near 0, two-sided above, so that a fair model's holds 0 in 95 % of the measurements; "
            "noise floor is the PB_raw a perfectly fair model would show here"
        ),
        **drawn_lines(results, stage),
        "settings": f"seed {config.seed}, protocol {config.protocol}, digest {results.folder.digest[:12]}",
    }
    flagged = len({(one.benchmark, one.identity) for one in _standouts(results)})
    methods["kinds of answers"] = (
        "a star marks an identity with more or fewer answers of a kind than exchanging the identities within each item "
        f"allows (exact, two-sided, {100 * LEVEL:g} % for all identities and kinds of a benchmark together, "
        f"Bonferroni): {flagged or 'none'} here; unscored cells count neither as right nor as wrong"
    )
    if stage.reference:
        methods["no_persona"] = "nobody named, percent: " + "; ".join(nobody_lines(results, stage))
    if config.command == "search":
        methods["race"] = _race(config.search)
        methods |= _writing(results)
    if results.prefix_cache[0]:
        looked_up, found = results.prefix_cache
        methods["prefix cache"] = (
            f"{100 * found / looked_up:.1f} % of {looked_up} prompt tokens were found in the server's prefix cache "
            "(its own count while this run was at work, whoever else asked it included)"
        )
    return methods


def _writing(results: Results) -> dict[str, str]:
    """Return who wrote clauses while searching, and what became of them; nothing where nobody wrote."""
    writer = results.folder.config.search.writer
    if not writer.on:
        return {}
    done = Counter(decision.action for decision in results.decisions if STAGES.get(decision.block) == "writing")
    return {
        "writer": (
            f"{writer.model or 'a pool of clauses'}: {done['admitted']} clauses entered the space, {done['refused']} "
            "were refused (they named an identity, quoted an item, repeated a clause or were no plain sentence), "
            f"{done['failed']} writings gave none"
        )
    }


def _race(search: SearchConfig) -> str:
    said = (
        f"up to {search.candidates} candidates, {search.generation} side by side, {search.items} items a benchmark at "
        f"most, in blocks of relative sizes {', '.join(map(str, search.blocks))}; whoever is shown to be worse than a "
        f"rival by more than {search.margin:g} or to miss a floor is dropped (paired on items, Bonferroni over looks, "
        "rivals and floors)"
    )
    if not search.finals:
        return said
    return (
        f"{said}; through the last {len(search.finals)} blocks go the likeliest to be the best (where noise is large, "
        "by what the candidates have in common too), as few as leave out "
        f"everyone within {search.margin:g} of it with a chance of at most {100 * search.alpha:g} % in all, dropping "
        "included"
    )


def _caveats(results: Results, stage: Stage) -> list[str]:
    notes = [TEACHING] if results.folder.config.model.name == EMBEDDED else []
    if results.judge and (same := same_model(card_of(results.card), card_of(results.judge))):
        notes.append(f"{same[0].upper()}{same[1:]}.")
    blurred = [
        f"{results.candidates[key].name} (PB {found.pb:.2f}, noise floor {found.noise_floor:.2f})"
        for key, found in stage.estimates.items()
        if found.noise_floor >= found.pb
    ]
    if blurred:
        notes.append(f"Not above the noise floor, so not told from a fair model by these items: {', '.join(blurred)}.")
    notes += [f"{results.candidates[key].name}: {why}" for key, why in stage.failures.items()]
    notes += [f"{said}." for one in _together(results) if (said := strange(one))]
    return notes


def _standouts(results: Results) -> list[Standout]:
    return [found for one in _together(results) for found in standouts(one)]


def _together(results: Results) -> list[Kinds]:
    """Return what kinds of answers each benchmark got, the prompts shown pooled."""
    return together(one for _, kinds in results.answered for one in kinds)


def _reproduce(results: Results) -> list[str]:
    """Return the command with every setting that is not a default, and those that only a run file can hold."""
    config = results.folder.config
    silent = {"command", "prompts", "budget", "prices", "speed", "store", *IDLE[config.command]}
    asked = dict(_leaves(config.model_dump(mode="json", exclude=silent)))
    usual = dict(_leaves(RunConfig().model_dump(mode="json")))
    changed = {key: value for key, value in asked.items() if value != usual.get(key) and key not in HARMLESS}
    words = [f"defender {config.command}", *map(quote, config.prompts)]
    if config.prompts:
        changed.pop("space", None)
    elif config.command == "measure":
        changed["space"] = config.space  # its own default is another one
    words += [f"{FLAGS[key]} {quote(str(value))}" for key, value in changed.items() if key in FLAGS]
    lines = [" ".join(words)]
    left = [f"{key}: {value}" for key, value in changed.items() if key not in FLAGS]
    if left:
        lines.insert(0, f"# with a run file (--config) that says {'; '.join(left)}")
    return [*lines, f"defender report {quote(str(results.folder.path))}"]


def _leaves(value: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every leaf; lists as the command line takes them."""
    for key, inside in value.items():
        if isinstance(inside, dict):
            yield from _leaves(inside, f"{at}{key}.")
        else:
            yield f"{at}{key}", ",".join(map(str, inside)) if isinstance(inside, list) else inside


def _write_prompt(results: Results) -> str | None:
    if results.winner is None:
        return None
    into = results.folder.path / "best"
    return (
        build_exporter("text", Surroundings()).write(results.winner, provenance(results, results.winner), into)[0].path
    )

"""The result of a run in plain words, one paragraph: what every report begins with."""

from __future__ import annotations

from defender.lines import floors_of, in_words
from defender.records import Candidate
from defender.results import Results, Stage


def answer(results: Results) -> str:
    """Return the result; only what was shown is claimed."""
    stage = results.claims
    if results.winner is not None:
        return _won(results, results.winner, stage)
    if results.folder.config.command == "search":
        return _unwon(results)
    best = fairest(results, stage)
    if best is None:
        return "No prompt could be estimated: " + "; ".join(sorted(set(stage.failures.values())))
    return (
        f"Lowest estimate: {best.name} with PB {in_words(stage.estimates[best.id])}. "
        "Nothing was selected here, so nothing is claimed beyond each row's interval."
    )


def fairest(results: Results, stage: Stage) -> Candidate | None:
    """Return the prompt with the lowest corrected PB^2; nobody where nothing could be estimated."""
    best = min(stage.estimates, key=lambda key: stage.estimates[key].corrected2, default=None)
    return results.candidates[best] if best else None


def where(results: Results, stage: Stage) -> str:
    """Say on which items, and in whose words, a stage measured."""
    if stage.name != "confirm":
        return "on all items asked"
    held_out = results.folder.config.confirm.phrasings == "held_out"
    return "on held-out items, in held-out phrasings" if held_out else "on held-out items"


def _unwon(results: Results) -> str:
    """Say why a search has no winner, and what to do."""
    if results.over:
        return f"The search ended without a winner: {results.without}."
    unfinished = "The search is not finished: no prompt has been confirmed."
    if results.without:
        return f"{unfinished} It stopped because {results.without}."
    return f"{unfinished} Run the same command again to go on."


def _won(results: Results, winner: Candidate, stage: Stage) -> str:
    """Say what the winner was shown to do: it *lowers* PB only where that is the verdict."""
    found = in_words(stage.estimates[winner.id])
    base = results.candidates[results.baselines[0]]
    before = stage.estimates[base.id].pb if base.id in stage.estimates else None
    verdicts = {c.baseline: c.verdict for c in results.verdicts}
    lowers = before is not None and verdicts.get(base.name) == "better"
    said = f"{winner.name} lowers PB from {before:.2f} to {found}" if lowers else f"{winner.name} has PB {found}"
    floors = "floors kept" if all(floor.kept for floor in floors_of(results, stage)) else "a floor is broken"
    sentences = [f"{said} {where(results, stage)}, {floors}."]
    pb = {results.candidates[key].name: f" ({one.pb:.2f})" for key, one in stage.estimates.items()}
    for verdict, joint in (("better", "than"), ("not distinguishable", "from"), ("worse", "than")):
        names = [f"{name}{pb.get(name, '')}" for name, said in verdicts.items() if said == verdict]
        if names:
            sentences.append(f"{verdict.capitalize()} {joint} {', '.join(names)}.")
    return " ".join(sentences)

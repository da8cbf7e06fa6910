"""What a run began with it goes on with: the model, the judge, and what each benchmark asks and how it is graded.

A configuration names a server; what answers there can change between two sittings. Cells already graded would then be
mixed with cells another model or rubric graded, so the run is refused with the difference instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from defender.config import RunConfig, differences
from defender.contracts import Benchmark, Store
from defender.errors import ResumeRefused
from defender.records import ModelCard
from defender.settings import JudgeConfig, ModelConfig, WriterConfig

S = TypeVar("S", ModelConfig, JudgeConfig, WriterConfig)


def seal(store: Store, cards: Mapping[str, ModelCard | None], benchmarks: Mapping[str, Benchmark]) -> None:
    """Keep who answers, who judges and the benchmarks' terms with the run, or check that they are as kept.

    Args:
        store: the run's.
        cards: "model" and "judge"; None where nobody judges.
        benchmarks: name -> benchmark, their rows at hand.

    Raises:
        ResumeRefused: something differs from what the run began with; the message shows it. Nothing was written.
    """
    now: dict[str, dict[str, dict[str, Any]]] = {
        "card": {name: _noted(card) for name, card in cards.items() if card},
        "benchmark": {
            name: {"axis": b.axis, "protocol": b.protocol, "sampling": asdict(b.sampling)}
            for name, b in benchmarks.items()
        },
    }
    kept: dict[str, dict[str, dict[str, Any]]] = {kind: dict(store.notes(kind)) for kind in now}
    changed = [
        line
        for kind, noted in now.items()
        for name, value in noted.items()
        if name in kept[kind]
        for line in differences(_decisive(kept[kind][name]), _decisive(value), f"{name}.")
    ]
    if changed:
        raise ResumeRefused(
            f"this run was begun with something else: {'; '.join(changed)}. Grades of the two would not be comparable: "
            "bring back what it was, or start a new run with --run NAME"
        )
    for kind, noted in now.items():
        for name, value in noted.items():
            if name not in kept[kind]:
                store.note(kind, name, value)


def seated(config: RunConfig, store: Store) -> RunConfig:
    """Return the configuration with the seats of the system texts as the run found them: nobody is asked again."""
    kept = store.notes("card")
    writer = _as_found(config.search.writer, kept.get("writer"))
    return config.model_copy(
        update={
            "model": _as_found(config.model, kept.get("model")),
            "judge": _as_found(config.judge, kept.get("judge")),
            "search": config.search.model_copy(update={"writer": writer}),
        }
    )


def _as_found(asked: S, card: Mapping[str, Any] | None) -> S:
    if card is None or asked.system_role != "auto":
        return asked
    return asked.model_copy(update={"system_role": "user" if card.get("system_role") else "system"})


def keep_writer(store: Store, card: ModelCard) -> None:
    """Keep who writes with the run. Clauses are measured whoever wrote them, so a later writer may be another."""
    store.note("card", "writer", _noted(card))


def _noted(card: ModelCard) -> dict[str, Any]:
    return asdict(card) | {"fingerprint": card.fingerprint}


def card_of(kept: Mapping[str, Any]) -> ModelCard:
    """Return the card that a run kept."""
    return ModelCard(**{key: value for key, value in kept.items() if key != "fingerprint"})


def card_in_words(kept: Mapping[str, Any]) -> str:
    """Return "model llama, server vllm 0.32, ..." of a kept card."""
    return ", ".join(f"{key} {value}" for key, value in kept.items() if value and key != "fingerprint")


def _decisive(value: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what repeats the other fields, and what changes no answer."""
    told = {key: what for key, what in value.items() if key not in ("fingerprint", "context")}
    return {key: what for key, what in told.items() if what or key != "system_role"}  # older runs have no such field


def same_model(model: ModelCard, judge: ModelCard | None) -> str | None:
    """Return a warning where the judge is the judged model itself, else None."""
    if judge is None or judge.model != model.model:
        return None
    where = "at the same endpoint" if judge.endpoint == model.endpoint else "at another endpoint"
    return (
        f"the judge is the judged model itself ({model.model}, {where}): a model is lenient with its own words, and "
        "a defense may move the judge as it moves the model; give another --judge-model"
    )

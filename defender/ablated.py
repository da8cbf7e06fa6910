"""Read an ablation back, offline: everything after the graded cells is derived again from its store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from defender.ablation import Finding, findings
from defender.bias import estimate
from defender.contracts import Store
from defender.credit import Credit, credits
from defender.errors import ConfigError, IncompleteMatrix
from defender.identities import categories
from defender.measure import Frame, collect
from defender.records import Candidate, Identity, OutcomeMatrix, PBEstimate
from defender.results import read_candidate, read_identity
from defender.runs import RunFolder
from defender.shapley import Game, exact_game, sampled_game
from defender.variants import KINDS

Matrices = tuple[OutcomeMatrix, ...]


@dataclass(frozen=True)
class Ablated:
    """An ablation, read back.

    Attributes:
        findings: kind -> one a change that was measured whole. ``failures``: change -> why it is not judged.
        estimates: change -> its own estimate.
        game: over the combinations that were measured, or None; ``credits``: what came of them.
        offer: what came of looking for a shorter prompt; ``shorter``: the one that was tried, or None.
        unpaid: what the budget did not pay for. ``spent``: why the ablation ended early, "" where it did not.
    """

    folder: RunFolder
    prompt: Candidate
    measured: PBEstimate
    identities: tuple[Identity, ...]
    items: Mapping[str, int]
    card: Mapping[str, Any]
    findings: Mapping[str, tuple[Finding, ...]]
    failures: Mapping[str, str]
    estimates: Mapping[str, PBEstimate]
    game: Game | None
    credits: tuple[Credit, ...]
    offer: Mapping[str, Any]
    shorter: Candidate | None
    unpaid: Sequence[str]
    spent: str
    importance: Mapping[str, Any]
    spend: Mapping[str, int]
    free: int


class _Cells:
    """The graded cells of an ablation, prompt by prompt."""

    def __init__(self, store: Store) -> None:
        panel: Any = store.notes("panel")["ablation"]
        axes: dict[str, Any] = {name: value["axis"] for name, value in store.notes("benchmark").items()}
        self._store = store
        self.frames = [
            Frame(name, axes[name], tuple(panel["identities"]), tuple(items), int(panel["repeats"]))
            for name, items in panel["items"].items()
        ]

    def of(self, candidate: str) -> Matrices:
        """Return a prompt's matrices."""
        graded = self._store.grades(candidate)
        return tuple(collect(candidate, frame, graded) for frame in self.frames)


def read_ablation(folder: RunFolder) -> Ablated:
    """Read an ablation's store and derive everything again.

    Raises:
        ConfigError: nothing was measured yet. StoreError: it cannot be read. IncompleteMatrix: the prompt itself
            was not measured whole.
    """
    from defender.store import SqlStore

    store = SqlStore(folder.database, readonly=True)
    try:
        subject: Any = store.notes("subject").get("prompt")
        if subject is None:
            raise ConfigError(f"{folder.path} holds no ablation yet; run 'defender ablate {folder.path.parent}'")
        cells = _Cells(store)
        candidates = {key: read_candidate(value) for key, value in store.notes("candidate").items()}
        own = cells.of(subject["id"])
        measured = estimate(own)
        identities = tuple(read_identity(value) for value in store.notes("identity").values())
        judged, failures, estimates = _judged(store, cells, own, folder.config.ablate.margin)
        game, found, why = _credited(store, cells, identities)
        done: Any = store.notes("result").get("ablate", {})
        offer: Any = done.get("offer", {"found": "", "reason": "the ablation is not finished"})
        return Ablated(
            folder=folder,
            prompt=candidates[subject["id"]],
            measured=measured,
            identities=identities,
            items={frame.benchmark: len(frame.items) for frame in cells.frames},
            card=store.notes("card")["model"],
            findings=judged,
            failures=failures | ({"combinations of clauses": why} if why else {}),
            estimates=estimates,
            game=game,
            credits=found,
            offer=offer,
            shorter=candidates.get(offer["found"]),
            unpaid=tuple(done.get("unpaid", ())),
            spent=str(done.get("spent", "")),
            importance=subject["importance"],
            spend=dict(store.spend()),
            free=sum(int(np.isfinite(matrix.score_U_I).sum()) for matrix in own),
        )
    finally:
        store.close()


def _judged(
    store: Store, cells: _Cells, own: Matrices, margin: float
) -> tuple[dict[str, tuple[Finding, ...]], dict[str, str], dict[str, PBEstimate]]:
    """Judge every change that was measured whole, kind by kind; name the others."""
    told: dict[str, dict[str, Matrices]] = {}
    failures: dict[str, str] = {}
    estimates: dict[str, PBEstimate] = {}
    for value in store.notes("variant").values():
        variant: Any = value
        candidate, what = read_candidate(variant["candidate"]), variant["what"]
        matrices = cells.of(candidate.id)
        try:
            estimates[f"{variant['kind']}: {what}"] = estimate(matrices)
        except IncompleteMatrix as reason:
            failures[f"{variant['kind']}: {what}"] = str(reason)
            continue
        told.setdefault(variant["kind"], {})[what] = matrices
    ordered = {kind: told[kind] for kind in KINDS if kind in told}
    return {kind: findings(kind, some, own, margin=margin) for kind, some in ordered.items()}, failures, estimates


def _credited(
    store: Store, cells: _Cells, identities: Sequence[Identity]
) -> tuple[Game | None, tuple[Credit, ...], str]:
    """Return the game, the clauses' credits, and why there are none ("" where there are, or nothing was asked)."""
    noted: Any = store.notes("game").get("clauses", {"coalitions": ()})
    if not noted["coalitions"]:
        return None, (), ""
    players = noted["players"]
    game = exact_game(players) if noted["exact"] else sampled_game(players, int(noted["pairs"]), int(noted["seed"]))
    if game is None:
        return None, (), ""
    worth = {frozenset(some): cells.of(key) for some, key in noted["coalitions"]}
    try:
        for matrices in worth.values():
            estimate(matrices)
        return game, credits(game, worth, categories(identities)), ""
    except IncompleteMatrix as reason:
        return game, (), str(reason)

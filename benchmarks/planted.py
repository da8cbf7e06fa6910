"""Planted worlds: what every candidate does to every identity is known, and cells are coins.

One utility and one safety benchmark, 31 identities. A cell is a coin: the item's difficulty plus what the candidate
does to that identity on that axis, in points, so true PB is exact. Effects are heavy-tailed over identities; a
candidate scales them, axis by axis, and adds some of its own. PBs lie as those of random prompts on the embedded model
do (``LANDSCAPE``); a few candidates look fair because they refuse everyone. Worlds of another ``Pattern`` are what a
sceptic asks for: nothing there is as the race would like it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from defender.bias import pb_raw_of_means
from defender.identities import paper_identities
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Axis, Candidate, FloatArray, OutcomeMatrix
from defender.store import SqlStore

CANDIDATES = 48
TEMPTING = 4
"""Candidates that look fair because they refuse everyone: PB 0.5, but far below the floors."""
MOST = 1024
ALLOWED = 5.0
"""Points below Original that the floors allow on each axis."""
NEAR = 0.1
"""PB points within which a candidate counts as good as the best."""
AXES: tuple[tuple[str, Axis], ...] = (("questions", "utility"), ("requests", "safety"))
PAPER = ((285, 3), (939, 1))
"""Items and repeats of the paper, utility and safety."""
LANDSCAPE = ((0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0), (1.0, 1.7, 2.1, 2.8, 3.5, 4.5, 6.4))
ORIGINAL, PAPER_PROMPTS = 3.62, (2.68, 2.32, 2.08, 1.90)
"""Exact PB of Original and D1-D4 on the embedded model."""

PEOPLE = paper_identities()
NAMES = tuple(identity.key for identity in PEOPLE)
PROMPTS = tuple(
    Candidate(f"Prompt {number}.", label="Original" if number == 0 else f"D{number}" if number < 5 else "")
    for number in range(CANDIDATES)
)
PLACE = {prompt.id: number for number, prompt in enumerate(PROMPTS)}

Null = Literal["", "same effects", "other identities"]
Pattern = Literal["shared", "unrelated", "strangers", "one identity", "one each", "interaction", "floors"]
"""How candidates treat identities, beside one another.

shared: they scale one pattern. unrelated: everyone has a pattern of its own. strangers: every other one has, the rest
share. one identity: the same one takes all of it; one each: everyone hits one of its own. interaction: identities also
differ item by item, +-``ITEMWISE`` points for all candidates and as many again for each alone. floors: every honest one
costs utility, up to 0.5 points short of the floor, and a third of all are fairer only because they lie 1 to 4 beyond.
"""
ITEMWISE = 15.0
EASE = (25.0, 75.0)
"""Chances of success, percent, of items."""
BREAKERS = 16


@dataclass(frozen=True)
class Kind:
    """A family of worlds: the share of cells that draw alone, how candidates are equal, if they are, and how not."""

    name: str
    alone: float
    null: Null = ""
    pattern: Pattern = "shared"

    @property
    def itemwise(self) -> float:
        """Points by which identities differ from item to item."""
        return ITEMWISE if self.pattern == "interaction" else 0.0


PATTERNS: dict[str, Pattern] = {
    "unrelated patterns": "unrelated",
    "half are strangers": "strangers",
    "one identity alone": "one identity",
    "one identity each": "one each",
    "item x identity": "interaction",
    "costs near the floor": "floors",
}
KINDS = (Kind("one draw an item", 0.0), Kind("a tenth alone", 0.1), Kind("own draws", 1.0))
NULLS = (
    Kind("same effects, a tenth alone", 0.1, "same effects"),
    Kind("same effects, own draws", 1.0, "same effects"),
    Kind("other identities, one draw an item", 0.0, "other identities"),
)

ODD = tuple(
    Kind(f"{name}, {draws.name}", draws.alone, pattern=pattern) for name, pattern in PATTERNS.items() for draws in KINDS
)


@dataclass(frozen=True)
class Asked:
    """Which cells: the first so many items of a stage (0 search, 1 confirm, 2 the paper's), and on whose draws."""

    items: int
    stage: int
    repeat: int = 0
    alone: float | None = None


class World:
    """One planted world: effects in points, exact PB, and cells on request; the same cells whenever asked again."""

    def __init__(self, kind: Kind, seed: int) -> None:
        rng = np.random.default_rng([2406, seed])
        self.kind, self.seed = kind, seed
        pb_C = np.interp(rng.random(CANDIDATES), *LANDSCAPE)
        pb_C[:5] = (ORIGINAL, *PAPER_PROMPTS)
        hit_A_U = _heavy(rng)
        own_C_A_U = rng.normal(size=(CANDIDATES, 2, len(NAMES))) * 0.25 * hit_A_U.std()
        effect_C_A_U = np.exp(rng.normal(0.0, 0.3, (CANDIDATES, 2, 1))) * hit_A_U + own_C_A_U
        effect_C_A_U[0] = hit_A_U
        if kind.null:
            pb_C[:] = ORIGINAL
            others = [_heavy(rng) if kind.null == "other identities" else hit_A_U for _ in PROMPTS]
            effect_C_A_U = np.array([hit_A_U, *others[1:]])
        if not kind.null:
            pb_C[-TEMPTING:] = 0.5
        self.shift_C_A = rng.normal(size=(CANDIDATES, 2)) * (0.0 if kind.null else 1.0)
        self.shift_C_A[0] = 0.0
        if not kind.null:
            self.shift_C_A[-TEMPTING:, 0] = -15.0
        more = np.random.default_rng([2407, seed])
        effect_C_A_U = _odd(kind.pattern, effect_C_A_U, more)
        if kind.pattern == "floors":
            self.shift_C_A[1:-TEMPTING, 0] = more.uniform(0.5 - ALLOWED, 0.0, CANDIDATES - TEMPTING - 1)
            tempted = slice(-TEMPTING - BREAKERS, -TEMPTING)
            pb_C[tempted] = more.uniform(0.4, 1.4, BREAKERS)
            self.shift_C_A[tempted] = 0.0
            axis = more.integers(2, size=BREAKERS)
            self.shift_C_A[tempted][np.arange(BREAKERS), axis] = -ALLOWED - more.uniform(1.0, 4.0, BREAKERS)
        self.effect_C_A_U = effect_C_A_U * (pb_C / np.sqrt(effect_C_A_U.var(axis=2).sum(axis=1)))[:, None, None]
        mean_C_A_U = _mean(self.shift_C_A[:, :, None] + self.effect_C_A_U, kind.itemwise)
        self.pb_C = np.sqrt(mean_C_A_U.var(axis=2).sum(axis=1))
        costs_C_A = mean_C_A_U[0].mean(axis=1) - mean_C_A_U.mean(axis=2)
        self.keeps_C: NDArray[np.bool_] = np.array((costs_C_A <= ALLOWED + 1e-9).all(axis=1))
        self.best = float(self.pb_C[self.keeps_C].min())
        self.near_C: NDArray[np.bool_] = self.keeps_C & (self.pb_C <= self.best + NEAR)

    def cells(self, candidate: int, axis: int, asked: Asked) -> FloatArray:
        """Return scores (identities x items, 0 or 100) of the first items of a stage."""
        items, names = asked.items, [self.seed, axis, asked.stage]
        base_I = np.random.default_rng(names).uniform(*EASE, MOST)[:items]
        draw_I = 100.0 * np.random.default_rng([*names, asked.repeat]).random(MOST)[:items]
        draw_U_I = np.broadcast_to(draw_I, (len(NAMES), items))
        share = self.kind.alone if asked.alone is None else asked.alone
        if share:
            private = np.random.default_rng([*names, asked.repeat, candidate])
            both = private.random((MOST, 2, len(NAMES)))[:items]
            draw_U_I = np.where(share > both[:, 0].T, 100.0 * both[:, 1].T, draw_U_I)
        chance_U_I = base_I + self.shift_C_A[candidate, axis] + self.effect_C_A_U[candidate, axis][:, None]
        for whose in ([], [candidate]) if self.kind.itemwise else ():
            sign_I_U = np.random.default_rng([*names, 7, *whose]).choice((-1.0, 1.0), (MOST, len(NAMES)))
            chance_U_I = chance_U_I + self.kind.itemwise * sign_I_U[:items].T
        return np.where(draw_U_I < chance_U_I, 100.0, 0.0)

    def paper_pick(self, alone: float) -> int:
        """Return the lowest PB_raw among those truly above the floors, all measured at the paper's size."""
        raw_C = []
        for candidate in range(CANDIDATES):
            mean_A = {}
            for axis, (items, repeats) in enumerate(PAPER):
                runs = [self.cells(candidate, axis, Asked(items, 2, repeat, alone)) for repeat in range(repeats)]
                mean_A[AXES[axis][0]] = list(np.mean(runs, axis=(0, 2)))
            raw_C.append(pb_raw_of_means(mean_A))
        return int(np.argmin(np.where(self.keeps_C, raw_C, np.inf)))


def _heavy(rng: np.random.Generator) -> FloatArray:
    """Return effects (axes x identities): seven identities are hit hard on each axis, the others hardly."""
    hit_A_U = np.abs(rng.normal(size=(2, len(NAMES)))) * 0.1
    for row in hit_A_U:
        row[rng.permutation(len(NAMES))[:7]] += rng.uniform(1.0, 1.5, 7)
    return np.asarray(hit_A_U.mean(axis=1, keepdims=True) - hit_A_U)


def _odd(pattern: Pattern, effect_C_A_U: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return effects of a pattern, of any size; the undefended prompt comes first."""
    found = effect_C_A_U.copy()
    own = {"unrelated": CANDIDATES - 1, "strangers": CANDIDATES // 2}.get(pattern, 0)
    for place in 1 + rng.permutation(CANDIDATES - 1)[:own]:
        found[place] = np.exp(rng.normal(0.0, 0.3, (2, 1))) * _heavy(rng)
    if pattern in ("one identity", "one each"):
        victim_C = rng.integers(len(NAMES), size=CANDIDATES)
        alone_C_U = np.eye(len(NAMES))[victim_C if pattern == "one each" else victim_C[[0] * CANDIDATES]]
        found = -np.exp(rng.normal(0.0, 0.3, (CANDIDATES, 2, 1))) * (alone_C_U - 1.0 / len(NAMES))[:, None, :]
    return np.asarray(found)


def _mean(shift: FloatArray, itemwise: float) -> FloatArray:
    """Return the mean chance, percent, over items of every ease, where nobody's chance leaves 0 to 100."""
    steps = (-2.0 * itemwise, 0.0, 0.0, 2.0 * itemwise)
    mean = sum(_area(EASE[1] + shift + step) - _area(EASE[0] + shift + step) for step in steps)
    return np.asarray(mean / len(steps) / (EASE[1] - EASE[0]))


def _area(chance: FloatArray) -> FloatArray:
    """Return the integral of what a chance counts, from none up to ``chance``."""
    kept = np.clip(chance, 0.0, 100.0)
    return np.asarray(kept**2 / 2.0 + 100.0 * np.maximum(chance - 100.0, 0.0))


class Drawn(Measurer):
    """A Measurer whose cells are drawn instead of asked for, and counted the same way."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: dict[tuple[str, str], int] = {}

    async def fill(self, candidates: Sequence[Candidate], panel: Panel) -> None:
        """Count the cells that a real one would ask for."""
        for candidate in candidates:
            key = (candidate.id, panel.split)
            self.asked[key] = max(self.asked.get(key, 0), panel.cells_per_candidate)

    def owed(self, candidates: Sequence[Candidate], panel: Panel) -> int:
        """Return what all of it would cost: nothing was asked by an earlier sitting."""
        return len(candidates) * panel.cells_per_candidate

    def matrices(self, candidate: Candidate, panel: Panel) -> tuple[OutcomeMatrix, ...]:
        """Return the cells of a candidate on a panel."""
        stage = 0 if panel.split == "search" else 1
        found = []
        for axis, (name, kind) in enumerate(AXES):
            items = tuple(item.id for item in panel.items[name])
            score_U_I = self.world.cells(PLACE[candidate.id], axis, Asked(len(items), stage))
            once_U_I = np.ones(score_U_I.shape, dtype=np.int64)
            found.append(OutcomeMatrix(name, kind, NAMES, items, score_U_I, once_U_I))
        return tuple(found)

    def spent(self, split: str) -> int:
        """Return the requests of one stage."""
        return sum(count for (_, stage), count in self.asked.items() if stage == split)


class Kept(SqlStore):
    """A store whose notes stay in memory: a run's decision log is read and thrown away."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, dict[str, object]]] = {}

    def note(self, kind: str, key: str, value: Mapping[str, object]) -> None:
        """Keep one document."""
        self.kept.setdefault(kind, {})[key] = dict(value)

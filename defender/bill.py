"""What an ablation will measure, and what that costs: settled before anything is sent, by the list and the prices.

A run that was killed settles the same list again; one whose budget was raised goes on with a longer one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from defender.decide import Floor
from defender.errors import BudgetError
from defender.plan import Panel
from defender.records import Candidate
from defender.search import SLACK
from defender.shapley import Coalition, Game, exact_game, sampled_game
from defender.variants import Subject, Variant

ATTEMPTS = 2
"""Combinations of clauses that a budget keeps room for while a shorter prompt is looked for."""

MOST_EXACT = 10
"""Clauses up to which all combinations are measured."""


@dataclass(frozen=True)
class Terms:
    """What an ablation is to find out.

    Attributes:
        subject: the prompt.
        variants: its changes, dearest to know first.
        panel: where they are measured. ``proof``: untouched items, None where there are none.
        baseline: the undefended prompt that floors may refer to.
        free: candidate id -> requests of the panel that are answered already.
        margin: points of PB that count as no difference.
        combinations: whether combinations of clauses are measured; ``pairs``: of sampled orders, beyond ``MOST_EXACT``.
        seed: of the sampled orders.
    """

    subject: Subject
    variants: tuple[Variant, ...]
    panel: Panel
    proof: Panel | None
    baseline: Candidate
    floors: tuple[Floor, ...]
    free: Mapping[str, int] = field(default_factory=dict)
    margin: float = 0.15
    combinations: bool = True
    pairs: int = 12
    seed: int = 0
    level: float = 0.95
    max_requests: int | None = None


@dataclass(frozen=True)
class Bill:
    """What will be measured, and what that costs at most, retries aside.

    Attributes:
        variants: those the budget pays for. ``game``: over combinations of clauses, None where none are measured.
        cost: stage in words -> requests. ``proof``: requests kept for the shorter prompt.
        unpaid: what the budget does not pay for, in words.
    """

    variants: tuple[Variant, ...]
    game: Game | None
    cost: Mapping[str, int]
    proof: int
    unpaid: tuple[str, ...]

    @property
    def total(self) -> int:
        """Requests at most, retries aside."""
        return sum(self.cost.values()) + self.proof


def bill(terms: Terms) -> Bill:
    """Settle what is measured.

    Raises:
        BudgetError: the budget does not pay for leaving out each clause in turn and proving a shorter prompt.
    """
    account = _Account(terms)
    usable = float("inf") if terms.max_requests is None else terms.max_requests * (1 - SLACK)
    cost: dict[str, int] = {"the prompt itself": account.take(terms.subject.candidate)}
    first = [variant for variant in terms.variants if variant.kind == "left out"]
    paid, unpaid = list(first), []
    if first:
        cost["left out"] = sum(account.take(variant.candidate) for variant in first)
    proof = 3 * terms.proof.cells_per_candidate if terms.proof and first else 0
    if len(first) > 1:
        proof += ATTEMPTS * terms.panel.cells_per_candidate
    least = sum(cost.values()) + proof
    if least > usable:
        raise BudgetError(
            f"a budget of {terms.max_requests} requests cannot pay for leaving out each of {len(first)} clauses and "
            f"proving a shorter prompt: that takes {least}; give --max-requests {int(least / (1 - SLACK)) + 1} or "
            "more, or fewer --items"
        )
    left = usable - least
    for kind in dict.fromkeys(variant.kind for variant in terms.variants if variant.kind != "left out"):
        members = [variant for variant in terms.variants if variant.kind == kind]
        fitting = account.fitting(members, left)
        if fitting:
            cost[kind] = sum(account.take(variant.candidate) for variant in fitting)
            left -= cost[kind]
        paid += fitting
        if len(fitting) < len(members):
            unpaid.append(f"{kind}: {', '.join(v.what for v in members[len(fitting) :])}")
    game = _game(terms, account, left) if terms.combinations else None
    if game:
        named = "all combinations of clauses" if game.exact else "combinations of clauses in sampled orders"
        cost[named] = account.price(terms.subject.with_only(some) for some in game.coalitions)
    elif terms.combinations and terms.subject.clauses:
        unpaid.append("combinations of clauses")
    return Bill(tuple(paid), game, cost, proof, tuple(unpaid))


class _Account:
    """Prices of prompts on the panel; one that was taken is free."""

    def __init__(self, terms: Terms) -> None:
        self._free, self._whole = terms.free, terms.panel.cells_per_candidate
        self._taken: set[str] = set()

    def price(self, candidates: Iterable[Candidate]) -> int:
        """Return what the prompts cost together."""
        some = {c.id for c in candidates if c.id not in self._taken}
        return sum(self._whole - self._free.get(one, 0) for one in some)

    def take(self, candidate: Candidate) -> int:
        """Return what a prompt costs; it costs nothing from now on."""
        price = self.price([candidate])
        self._taken.add(candidate.id)
        return price

    def fitting(self, members: Sequence[Variant], left: float) -> list[Variant]:
        """Return the first so many that the rest of the budget pays for."""
        for count in range(len(members), 0, -1):
            if self.price([variant.candidate for variant in members[:count]]) <= left:
                return list(members[:count])
        return []


def _game(terms: Terms, account: _Account, left: float) -> Game | None:
    """Return the game the rest of the budget pays for: over all combinations, else over sampled orders, else none."""
    subject = terms.subject

    def price(coalitions: Iterable[Coalition]) -> int:
        return account.price(subject.with_only(some) for some in coalitions)

    if not subject.clauses:
        return None
    if len(subject.clauses) <= MOST_EXACT:
        whole = exact_game(subject.clauses)
        if price(whole.coalitions) <= left:
            return whole
    return sampled_game(subject.clauses, terms.pairs, terms.seed, lambda _, needed: price(needed) <= left)

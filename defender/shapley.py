"""Shapley values: what each clause adds, averaged over every order in which the clauses could have come in. Pure.

Shapley (1953); sampled orders in pairs, each with its reverse, as Castro, Gomez and Tejada (2009) and Mitchell et al.
(2022) do. Values are linear in what the coalitions are worth, so one matrix of weights serves every quantity, and
every item's influence on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

import numpy as np

from defender.records import FloatArray

Coalition = frozenset[str]


@dataclass(frozen=True, eq=False)
class Game:
    """Who plays, which coalitions must be valued, and how their values become the players'.

    Attributes:
        players: P names. ``coalitions``: S sets of them, the empty one and all of them included.
        weight_P_S: a player's value is its row times the coalitions' values; every row sums to 0.
        orders_K_P_S: the same for each pair of sampled orders; None where all orders count (exact).
    """

    players: tuple[str, ...]
    coalitions: tuple[Coalition, ...]
    weight_P_S: FloatArray
    orders_K_P_S: FloatArray | None = None

    @property
    def exact(self) -> bool:
        """Whether every order counts."""
        return self.orders_K_P_S is None

    def values(self, worth_S: FloatArray) -> FloatArray:
        """Return the players' values (P); they sum to the worth of all less the worth of none."""
        value_P: FloatArray = self.weight_P_S @ worth_S
        return value_P

    def sampling_error(self, worth_S: FloatArray) -> FloatArray:
        """Return the standard error that sampling orders adds to each value (P): 0 if exact, NaN of a single pair."""
        if self.orders_K_P_S is None:
            return np.zeros(len(self.players))
        pairs = len(self.orders_K_P_S)
        if pairs < 2:
            return np.full(len(self.players), np.nan)
        error_P: FloatArray = (self.orders_K_P_S @ worth_S).std(axis=0, ddof=1) / np.sqrt(pairs)
        return error_P


def exact_game(players: Sequence[str]) -> Game:
    """Return the game over all 2^P coalitions, smallest first."""
    count = len(players)
    coalitions = [frozenset(some) for size in range(count + 1) for some in combinations(players, size)]
    weight_P_S = np.zeros((count, len(coalitions)))
    for column, coalition in enumerate(coalitions):
        size = len(coalition)
        for row, player in enumerate(players):
            if player in coalition:
                weight_P_S[row, column] = factorial(size - 1) * factorial(count - size) / factorial(count)
            else:
                weight_P_S[row, column] = -factorial(size) * factorial(count - size - 1) / factorial(count)
    return Game(tuple(players), tuple(coalitions), weight_P_S)


def sampled_game(
    players: Sequence[str], pairs: int, seed: int, affordable: Callable[[int, set[Coalition]], bool] = lambda *_: True
) -> Game | None:
    """Return the game over sampled orders, each with its reverse.

    Args:
        players: at least one.
        pairs: how many pairs of orders to draw at most.
        seed: the same seed draws the same orders; more pairs begin with the same ones.
        affordable: told how many pairs there would be and all their coalitions; False ends the drawing before them.

    Returns:
        The game, or None where not even one pair is affordable.
    """
    rng = np.random.default_rng(seed)
    drawn: list[list[str]] = []
    needed: set[Coalition] = {frozenset(), frozenset(players)}
    while len(drawn) < pairs:
        order = [players[place] for place in rng.permutation(len(players))]
        more = needed | set(_prefixes(order)) | set(_prefixes(order[::-1]))
        if not affordable(len(drawn) + 1, more):
            break
        drawn.append(order)
        needed = more
    if not drawn:
        return None
    rank = {player: place for place, player in enumerate(players)}
    coalitions = tuple(sorted(needed, key=lambda some: (len(some), sorted(rank[player] for player in some))))
    column = {coalition: place for place, coalition in enumerate(coalitions)}
    orders_K_P_S = np.zeros((len(drawn), len(players), len(coalitions)))
    for pair, order in enumerate(drawn):
        for one in (order, order[::-1]):
            inside: Coalition = frozenset()
            for player in one:
                orders_K_P_S[pair, rank[player], column[inside]] -= 0.5
                inside |= {player}
                orders_K_P_S[pair, rank[player], column[inside]] += 0.5
    return Game(tuple(players), coalitions, orders_K_P_S.mean(axis=0), orders_K_P_S)


def _prefixes(order: Sequence[str]) -> Iterator[Coalition]:
    return (frozenset(order[:size]) for size in range(len(order) + 1))

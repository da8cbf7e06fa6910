from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.records import FloatArray
from defender.shapley import Coalition, Game, exact_game, sampled_game
from tests.worlds import QUICK

numbers = st.floats(-100, 100, allow_nan=False)


@st.composite
def games(draw: st.DrawFn, most: int = 5) -> tuple[Game, FloatArray]:
    """Return a game, exact or sampled, and a worth for each of its coalitions."""
    players = [f"clause {number}" for number in range(draw(st.integers(1, most)))]
    sampled = sampled_game(players, draw(st.integers(1, 4)), draw(st.integers(0, 9)))
    assert sampled is not None
    game = draw(st.sampled_from([exact_game(players), sampled]))
    worth = draw(st.lists(numbers, min_size=len(game.coalitions), max_size=len(game.coalitions)))
    return game, np.array(worth)


def by_definition(players: Sequence[str], worth: Mapping[Coalition, float]) -> dict[str, float]:
    """Average what a player adds when it comes in, over every order."""
    total = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        inside: Coalition = frozenset()
        for player in order:
            total[player] += worth[inside | {player}] - worth[inside]
            inside |= {player}
    return {player: value / len(orders) for player, value in total.items()}


@QUICK
@given(games())
def test_values_sum_to_what_all_add_to_none(told: tuple[Game, FloatArray]) -> None:
    game, worth_S = told
    place = {coalition: column for column, coalition in enumerate(game.coalitions)}
    gain = worth_S[place[frozenset(game.players)]] - worth_S[place[frozenset()]]
    assert game.values(worth_S).sum() == pytest.approx(gain, abs=1e-9)


@QUICK
@given(games(), st.data())
def test_a_sum_of_games_has_the_sum_of_the_values(told: tuple[Game, FloatArray], data: st.DataObject) -> None:
    game, worth_S = told
    other_S = np.array(data.draw(st.lists(numbers, min_size=len(worth_S), max_size=len(worth_S))))
    assert game.values(worth_S + other_S) == pytest.approx(game.values(worth_S) + game.values(other_S), abs=1e-9)


@QUICK
@given(st.integers(1, 5), st.data())
def test_a_player_that_adds_nothing_has_no_value_and_one_that_always_adds_the_same_has_that(
    count: int, data: st.DataObject
) -> None:
    players = [f"clause {number}" for number in range(count)]
    game = exact_game(players)
    rest = {c: data.draw(numbers) for c in game.coalitions if "clause 0" not in c}
    alone = data.draw(numbers)
    worth_S = np.array([rest[c - {"clause 0"}] + (alone if "clause 0" in c else 0.0) for c in game.coalitions])
    assert game.values(worth_S)[0] == pytest.approx(alone, abs=1e-9)


@QUICK
@given(st.data())
def test_two_players_that_can_stand_in_for_each_other_share_alike(data: st.DataObject) -> None:
    game = exact_game(["a", "b", "c", "d"])
    worth = {key: data.draw(numbers) for key in sorted({_swapped(c) for c in game.coalitions})}
    value_P = game.values(np.array([worth[_swapped(c)] for c in game.coalitions]))
    assert value_P[0] == pytest.approx(value_P[1], abs=1e-9)


def _swapped(coalition: Coalition) -> tuple[str, ...]:
    """Name a coalition without telling a from b."""
    return tuple(sorted("a or b" if player in "ab" else player for player in coalition))


@QUICK
@given(games(most=4))
def test_all_combinations_give_the_average_over_all_orders(told: tuple[Game, FloatArray]) -> None:
    players = told[0].players
    game = exact_game(players)
    worth_S = np.random.default_rng(len(players)).normal(size=len(game.coalitions))
    expected = by_definition(players, dict(zip(game.coalitions, worth_S.tolist(), strict=True)))
    assert dict(zip(players, game.values(worth_S), strict=True)) == pytest.approx(expected)
    assert not game.sampling_error(worth_S).any()


def test_sampled_orders_come_as_near_as_their_error_says() -> None:
    players = [f"clause {number}" for number in range(6)]
    whole, rng, inside = exact_game(players), np.random.default_rng(3), []
    for seed in range(60):
        worth = dict(zip(whole.coalitions, rng.normal(size=len(whole.coalitions)), strict=True))
        game = sampled_game(players, 16, seed)
        assert game is not None
        worth_S = np.array([worth[coalition] for coalition in game.coalitions])
        off_P = game.values(worth_S) - whole.values(np.array(list(worth.values())))
        inside += list(np.abs(off_P) <= 2.13 * game.sampling_error(worth_S))  # t with 15 degrees of freedom
    assert 0.9 < np.mean(inside) < 0.99


def test_an_additive_game_needs_one_pair_of_orders() -> None:
    game = sampled_game(["a", "b", "c"], 1, 0)
    assert game is not None
    worth_S = np.array([sum({"a": 1.0, "b": -2.0, "c": 5.0}[player] for player in c) for c in game.coalitions])
    assert game.values(worth_S) == pytest.approx([1.0, -2.0, 5.0])
    assert np.isnan(game.sampling_error(worth_S)).all(), "one pair cannot tell its own error"


def test_orders_are_drawn_until_they_cost_too_much_and_begin_alike() -> None:
    players = [f"clause {number}" for number in range(12)]
    short = sampled_game(players, 50, 1, lambda _, needed: len(needed) <= 60)
    longer = sampled_game(players, 50, 1, lambda _, needed: len(needed) <= 90)
    assert short is not None
    assert longer is not None
    assert len(short.coalitions) <= 60 < len(longer.coalitions) <= 90
    assert set(short.coalitions) < set(longer.coalitions)
    assert sampled_game(players, 50, 1, lambda *_: False) is None

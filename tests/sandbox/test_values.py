from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.sandbox.inside.channel import Malformed
from defender.sandbox.inside.values import Opaque, decode, encode

KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
PLAIN = st.recursive(
    KEYS | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.sets(KEYS)
        | st.frozensets(KEYS)
    ),
    max_leaves=20,
)


def no_apply(function: str, key: int) -> Any:
    raise AssertionError(f"{function} asked of {key}")


def crossed(value: Any, kept: list[object] | None = None) -> Any:
    kept = [] if kept is None else kept

    def keep(value: object) -> int:
        kept.append(value)
        return len(kept) - 1

    return decode(json.loads(json.dumps(encode(value, keep))), no_apply)


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down."""
    return repr(one) == repr(other) if not isinstance(one, set | frozenset) else one == other


@given(PLAIN)
def test_plain_data_arrives_as_it_left(value: Any) -> None:
    arrived = crossed(value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize("value", [0.1 + 0.2, -0.0, math.inf, -math.inf, -(1 << 63), "\ud800", len, int])
def test_awkward_values_arrive_as_they_left(value: Any) -> None:
    assert same(crossed(value), value)


def test_a_number_too_long_to_print_arrives_as_it_left() -> None:
    assert crossed(-(1 << 20000)) == -(1 << 20000)


def test_nan_arrives_as_nan() -> None:
    assert math.isnan(crossed(math.nan))


class Colour(IntEnum):
    RED = 1


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Colour.RED, 1),
        (Point(1, 2), (1, 2)),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        ({"a": 1}.keys(), {"a"}),
    ],
)
def test_a_subclass_arrives_as_its_builtin_base(value: Any, base: Any) -> None:
    arrived = crossed(value)
    assert type(arrived) is type(base)
    assert arrived == base == value


@pytest.mark.parametrize("value", [Decimal("3.50"), Fraction(-7, 3)])
def test_exact_numbers_stay_exact(value: Any) -> None:
    assert same(crossed(value), value)


class Liar:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 4


class LyingInt(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 4


def test_an_object_that_claims_to_equal_everything_equals_nothing_here() -> None:
    arrived = crossed([Liar(), LyingInt(5)])
    assert isinstance(arrived[0], Opaque)
    assert arrived[0] != 4
    assert arrived[1] != 4
    assert arrived != [4, 4]


@pytest.mark.parametrize("value", [iter([1]), deque([1]), Liar, deque([1]).append, range(3), object()])
def test_what_is_no_plain_data_stays_where_it_is(value: Any) -> None:
    kept: list[object] = []
    assert isinstance(crossed(value, kept), Opaque)
    assert kept[0] is value


def test_a_value_within_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        crossed(loop)


@pytest.mark.parametrize(
    "data",
    [[], {}, [1], ["?"], ["?", "x"], ["i"], ["i", "zz"], ["i", 1], ["c", "a", "b"], ["d", ["l"], 1], ["s", ["l", 1]],
     ["h", "x"], ["n", "nothing_of_that_name"], ["n", "__name__"], ["b", "€"], ["D", "x"], ["Q", "1", "0"],
     ["i", "1", "2"]],
)  # fmt: skip
def test_anything_else_is_refused(data: Any) -> None:
    with pytest.raises(Malformed):
        decode(data, no_apply)

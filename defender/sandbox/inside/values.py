"""Values that cross from the program to the tests, as plain data.

A value arrives as the builtin it is (an instance of a subclass as its builtin base), so what compares it with the
expected value is Python's own ``==`` on builtins and never a method the program wrote. What is no plain data (a
generator, a match object, an instance of the program's class) stays where it is and arrives as an `Opaque`.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from typing import Any

from defender.sandbox.inside.channel import Malformed

Keep = Callable[[object], int]
Apply = Callable[[str, int], Any]

_SMALL = 1 << 63
"""Larger integers travel as hex: Python refuses to print or read very long ones in decimal."""
_KEYS: Any = type({}.keys())
_BUILTIN = (type, type(len))


class ProgramRaised(Exception):
    """The program raised; the message is the exception's class name as the program's process gave it."""


def encode(value: Any, keep: Keep) -> Any:
    """Return a JSON-able form of a value; ``keep`` takes what is no plain data and returns its number.

    Raises:
        RecursionError: nested too deep, or within itself.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int.__pos__(value) if -_SMALL < value < _SMALL else ["i", hex(value)]
    if isinstance(value, float):
        return float.__pos__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, complex):
        return ["c", value.real, value.imag]
    if isinstance(value, (bytes, bytearray)):
        return ["b" if isinstance(value, bytes) else "B", bytes(value).decode("latin-1")]
    for tag, kinds in (("l", list), ("t", tuple), ("s", (set, _KEYS)), ("f", frozenset)):
        if isinstance(value, kinds):
            return [tag, *(encode(member, keep) for member in value)]
    if isinstance(value, dict):
        return ["d", *(encode(part, keep) for pair in dict.items(value) for part in pair)]
    if isinstance(value, _BUILTIN) and getattr(builtins, name := str(value.__name__), None) is value:
        return ["n", name]
    return _number(value) or ["h", keep(value)]


def _number(value: Any) -> list[str] | None:
    """Return the two number types of the standard library that compare equal to builtin numbers."""
    for tag, module, name in (("D", "decimal", "Decimal"), ("Q", "fractions", "Fraction")):
        if type(value) is getattr(sys.modules.get(module), name, object()):
            # In hex: a fraction's text may hold exponents that take forever to multiply out.
            return [tag, str(value)] if tag == "D" else [tag, hex(value.numerator), hex(value.denominator)]
    return None


def decode(data: Any, apply: Apply) -> Any:
    """Return the value of its JSON-able form; ``apply`` reaches back to a kept one.

    Raises:
        Malformed: no form that ``encode`` makes.
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        raise Malformed("a value without a tag")
    try:
        return _decoded(data[0], data[1:], apply)
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        raise Malformed(f"a value with tag {data[0][:1]!r} and the wrong content") from None


def _decoded(tag: str, rest: list[Any], apply: Apply) -> Any:
    if tag in _GROUPS:
        return _GROUPS[tag](decode(member, apply) for member in rest)
    if tag == "d":
        parts = [decode(part, apply) for part in rest]
        # Not dict(zip(...)): keys made to collide must leave the time limit a chance between two of them.
        return {parts[at]: parts[at + 1] for at in range(0, len(parts) - 1, 2)}
    if tag == "c":
        return complex(*rest)
    if tag == "Q":
        from fractions import Fraction

        return Fraction(*(int(part, 16) for part in rest))
    (only,) = rest
    if tag == "h":
        return Opaque(int(only), apply)
    if not isinstance(only, str):
        raise Malformed("text expected")
    if tag == "i":
        return int(only, 16)
    if tag in "bB":
        return bytes(only, "latin-1") if tag == "b" else bytearray(only, "latin-1")
    if tag == "n" and isinstance(found := getattr(builtins, only, None), _BUILTIN):
        return found
    if tag == "D":
        from decimal import Decimal

        return Decimal(only)
    raise Malformed("an unknown tag")


class Opaque:
    """A value that stayed in the program's process. It equals only itself, whatever its own ``__eq__`` would say."""

    def __init__(self, key: int, apply: Apply) -> None:
        self._key = key
        self._apply = apply

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __bool__(self) -> bool:
        return self._apply("bool", self._key) is True

    def __len__(self) -> int:
        return int(self._apply("len", self._key))

    def __str__(self) -> str:
        return str(self._apply("str", self._key))

    def __iter__(self) -> Iterator[Any]:
        iterator = self._apply("iter", self._key)
        if not isinstance(iterator, Opaque):
            raise Malformed("an iterator expected")
        while True:
            try:
                member = self._apply("next", iterator._key)
            except ProgramRaised as raised:
                if str(raised) == "StopIteration":
                    return
                raise
            yield member


_GROUPS: dict[str, Callable[[Iterator[Any]], Any]] = {"l": list, "t": tuple, "s": set, "f": frozenset}

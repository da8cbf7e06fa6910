"""A test in two parts: the calls the program's process makes, and the check the tests' process makes of their values.

``assert set(f(2)) == {1, 2}`` becomes the call ``f(2)`` and the check ``set(_values[0]) == {1, 2}``: what the program
should return is never sent to where the program runs.
"""

from __future__ import annotations

import ast
import builtins
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

_NESTED = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.NamedExpr, ast.Await)


@dataclass(frozen=True, slots=True)
class Division:
    """One test.

    Attributes:
        calls: expressions in the program's names, in order of evaluation.
        check: an expression over ``_values``, the calls' values; the test holds when it is true.
        modules: standard modules the check names without importing them.
    """

    calls: tuple[str, ...]
    check: str
    modules: tuple[str, ...]

    @classmethod
    def of(cls, test: str, imports: str = "", name: str = "") -> Division:
        """Divide one ``assert``.

        Args:
            test: source of exactly one assert statement.
            imports: import statements that come before the tests.
            name: what the program is asked to define; needed where it is also a builtin's name ("sum").

        Raises:
            ValueError: it is no single assert, calls nothing of the program, or calls it from within a loop of its own.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                body = ast.parse(test.strip()).body
            known = {name for node in ast.walk(ast.parse(imports)) for name in _imported(node)}
        except SyntaxError as problem:
            raise ValueError(f"expected one assert statement, got {test!r}: {problem.msg}") from None
        if len(body) != 1 or not isinstance(body[0], ast.Assert):
            raise ValueError(f"expected one assert statement, got {test!r}")
        divider = _Divider(known, name)
        check = divider.visit(body[0].test)
        if not divider.calls:
            raise ValueError(f"expected a test that calls the program, got {test!r}")
        return cls(tuple(divider.calls), ast.unparse(check), tuple(sorted(divider.modules)))


class _Divider(ast.NodeTransformer):
    """Takes out every outermost expression that starts with one of the program's names."""

    def __init__(self, known: set[str], name: str) -> None:
        self.calls: list[str] = []
        self.modules: set[str] = set()
        self._known = known
        self._name = name

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr) and (name := _root(node)) is not None:
            if name == self._name:
                return self._taken(node)
            if name in sys.stdlib_module_names and name not in self._known and isinstance(_stem(node), ast.Attribute):
                self.modules.add(name)
                self._known.add(name)
            elif name not in self._known and not hasattr(builtins, name):
                return self._taken(node)
        elif isinstance(node, _NESTED):
            raise ValueError(f"cannot divide a test that repeats or names things itself: {ast.unparse(node)!r}")
        return self.generic_visit(node)

    def _taken(self, node: ast.expr) -> ast.expr:
        self.calls.append(ast.unparse(node))
        return ast.Subscript(ast.Name("_values", ast.Load()), ast.Constant(len(self.calls) - 1), ast.Load())


def _root(node: ast.expr) -> str | None:
    """Return the name at the start of a chain of calls, attributes and subscripts."""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _stem(node: ast.expr) -> ast.expr:
    """Return the shortest link of such a chain that is more than its name, or the name."""
    inner = node.func if isinstance(node, ast.Call) else node.value if hasattr(node, "value") else None
    if inner is None or isinstance(inner, ast.Name):
        return node
    return _stem(inner)


def _imported(node: ast.AST) -> Sequence[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return ()

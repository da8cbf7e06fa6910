"""What a piece of Python source binds, and what it lacks."""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Iterator, Sequence
from typing import TypeGuard

MAX_PARSES = 40
"""How often the end of a run of lines is moved before it is given up."""
_NESTING = (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.TryStar)


def parsed(source: str) -> ast.Module | None:
    """Return the syntax tree, or None when it does not parse. Warnings about the source are its author's business."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def longest(lines: Sequence[str]) -> str:
    """Return the longest run of leading lines that parses; a syntax error at line k rules out every run through k."""
    end = len(lines)
    for _ in range(MAX_PARSES):
        if end <= 0:
            break
        span = "\n".join(lines[:end])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(span)
        except SyntaxError as problem:
            end = min(end, problem.lineno or 1) - 1
        except (ValueError, RecursionError, MemoryError):
            return ""
        else:
            return span.rstrip()
    return ""


def bound(source: str) -> frozenset[str]:
    """Return the names that ``source`` binds at module level, under conditions too; none when it does not parse."""
    tree = parsed(source)
    return frozenset(_bound(tree.body)) if tree is not None else frozenset()


def _bound(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if node.value is not None:
                yield from (inner.id for target in targets for inner in ast.walk(target) if _stored(inner))
        elif isinstance(node, _NESTING):
            opened = [node.target] if isinstance(node, ast.For) else getattr(node, "items", [])
            yield from (inner.id for part in opened for inner in ast.walk(part) if _stored(inner))
            for field in ("body", "orelse", "finalbody"):
                yield from _bound(getattr(node, field, ()))
            for handler in getattr(node, "handlers", ()):
                yield from _bound(handler.body)


def _stored(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def needed(source: str) -> frozenset[str]:
    """Return the names that ``source`` uses, binds nowhere and that are no builtins."""
    tree = parsed(source)
    if tree is None:
        return frozenset()
    used: set[str] = set()
    made = {*dir(builtins), "__name__", "__file__"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            made.add(node.name)
    made |= {name for node in ast.walk(tree) if isinstance(node, ast.stmt) for name in _bound([node])}
    return frozenset(used - made)


def without_main(source: str) -> str:
    """Return ``source`` without the ``if __name__ == "__main__":`` part, which an imported module skips."""
    if "__main__" not in source or (tree := parsed(source)) is None:
        return source
    lines = source.splitlines()
    for node in reversed(tree.body):
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Compare)) or node.orelse:
            continue
        if {"__name__", "__main__"} <= {_named(part) for part in (node.test.left, *node.test.comparators)}:
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).rstrip()


def _named(node: ast.expr) -> object:
    return node.id if isinstance(node, ast.Name) else node.value if isinstance(node, ast.Constant) else None

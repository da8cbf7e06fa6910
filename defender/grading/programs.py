"""Finding the program in an answer: fenced blocks first, else the longest stretch of lines that parses."""

from __future__ import annotations

import ast
import re

from defender.grading.reading import Reading

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*[\w+.-]*[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.S | re.M)
_BEGINS = re.compile(r"(?:def|class|async def|import|from|@)\b|@|[A-Za-z_]\w*\s*=")
MAX_STARTS, MAX_PARSES = 20, 40
"""Where the search for bare code gives up: lines tried as its first, and parses tried from each."""


def read_program(text: str, name: str) -> Reading[str]:
    """Find the source that defines ``name`` (a function or class the tests call).

    Tiers: the last fenced block that defines it; all fenced blocks that parse, joined, when only together they
    do; the longest run of unfenced lines that parses and defines it.
    """
    blocks = [_dedented(found.group(2)) for found in _FENCE.finditer(text)]
    for block in reversed(blocks):
        if defines(block, name):
            return Reading(block, "fenced block")
    joined = "\n".join(block for block in blocks if _parsed(block) is not None)
    if defines(joined, name):
        return Reading(joined, "joined blocks")
    lines = text.splitlines()
    starts = [index for index, line in enumerate(lines) if _BEGINS.match(line)]
    for start in starts[:MAX_STARTS]:
        span = _parseable(lines[start:])
        if defines(span, name):
            return Reading(span, "bare lines")
    return Reading(None, "no program")


def _parseable(lines: list[str]) -> str:
    """Return the longest run of leading lines that parses; a syntax error at line k rules out every run through k."""
    end = len(lines)
    for _ in range(MAX_PARSES):
        if end <= 0:
            break
        span = "\n".join(lines[:end])
        try:
            ast.parse(span)
        except SyntaxError as problem:
            end = min(end, problem.lineno or 1) - 1
        except (ValueError, RecursionError, MemoryError):
            return ""
        else:
            return span.rstrip()
    return ""


def defines(source: str, name: str) -> bool:
    """Say whether ``source`` parses and binds ``name`` at module level."""
    tree = _parsed(source)
    if tree is None:
        return False
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return True
    return False


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _dedented(block: str) -> str:
    lines = block.splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines)

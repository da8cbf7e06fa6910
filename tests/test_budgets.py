"""Files, functions and parameter lists stay small enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("defender", "tests", "benchmarks")

FILE_LINES = 300
FUNCTION_LINES = 60
PARAMETERS = 7

LONGER = {"defender/records.py": 400, "defender/contracts.py": 330}
"""Files that are worth more lines, and how many: every noun of the house is in one place, and every protocol."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_command(file: str, function: Function) -> bool:
    """Tell whether a function is a CLI command: its parameters are the flags a user sees, not a call to read."""
    path = Path(file)
    return path.parent.name == "cli" and path.stem == function.name


def parameters(function: Function) -> list[str]:
    """Return a function's parameter names without self and cls."""
    a = function.args
    names = [arg.arg for arg in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def overruns(name: str, source: str) -> Iterator[str]:
    """Yield what is over its budget in one file, as readable lines."""
    lines, most = source.count("\n"), LONGER.get(name, FILE_LINES)
    if lines > most:
        yield f"{name}: {lines} lines, at most {most}"
    for node in ast.walk(ast.parse(source, filename=name)):
        if not isinstance(node, Function):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        count = len(parameters(node))
        if length > FUNCTION_LINES:
            yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"
        if count > PARAMETERS and not is_command(name, node):
            yield f"{name}:{node.lineno}: {node.name} has {count} parameters, at most {PARAMETERS}"


def test_every_file_keeps_its_budgets() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files, f"no Python files under {ROOT}"
    over = [line for path in files for line in overruns(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))]
    assert not over, "\n".join(over)


@pytest.mark.parametrize("name", sorted(LONGER))
def test_an_exception_is_still_needed(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").count("\n")
    assert lines > FILE_LINES, f"{name} has {lines} lines now: take it out of LONGER"


MANY = ", ".join(f"p{i}" for i in range(PARAMETERS + 1))


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("x = 1\n" * (FILE_LINES + 1), "301 lines"),
        ("def long():\n" + "    x = 1\n" * FUNCTION_LINES, "long has 61 lines"),
        ("async def long():\n" + "    x = 1\n" * FUNCTION_LINES, "long has 61 lines"),
        (f"def wide({MANY}): ...\n", "wide has 8 parameters"),
        (f"def wide(*, {MANY}): ...\n", "wide has 8 parameters"),
        (f"class C:\n    def wide(self, {MANY}): ...\n", "wide has 8 parameters"),
    ],
)
def test_an_overrun_is_found(source: str, what: str) -> None:
    found = list(overruns("planted.py", source))
    assert len(found) == 1
    assert what in found[0]


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n" * FILE_LINES,
        "def full():\n" + "    x = 1\n" * (FUNCTION_LINES - 1),
        f"class C:\n    def full(self, {MANY.removesuffix(', p7')}): ...\n",
        "@dataclass(kw_only=True)\nclass Settings:\n" + "".join(f"    p{i}: int = 0\n" for i in range(20)),
    ],
)
def test_what_is_just_within_its_budget_passes(source: str) -> None:
    assert list(overruns("planted.py", source)) == []


def test_a_command_has_as_many_parameters_as_it_has_flags() -> None:
    assert list(overruns("defender/cli/search.py", f"def search({MANY}): ...\n")) == []
    assert len(list(overruns("defender/cli/search.py", f"def other({MANY}): ...\n"))) == 1

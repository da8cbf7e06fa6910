"""The house stands: imports run downward only, rooms never import each other, guests stay in their rooms.

Every import counts: at the top, inside a function, under TYPE_CHECKING, relative, or by ``import_module("...")``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import defender

HOUSE = Path(defender.__file__).parent

FLOORS: dict[str, tuple[str, ...]] = {
    "ground": ("__init__", "errors", "records"),
    "reason": (
        "errands",
        *("marks", "evidence", "effects", "admission"),
        *("contracts", "address", "costs", "documents", "kinds", "identities", "prompts", "space", "grading"),
        *("miniature", "variants"),
        *("samples", "bounds", "spread", "bias", "deviations", "excess", "kinship"),
        *("odds", "decide", "gates", "parts"),
        "components",
        *("ablation", "shapley", "credit"),
        *("plan", "forecast", "labelled", "calibration"),
    ),
    "rooms": ("engines", "benchmarks", "sandbox", "judges", "proposers", "exporters", "report", "store"),
    "loops": (
        *("journal", "ledger", "working", "sharing", "seeding", "acceptance", "measure", "decisions", "kept", "growth"),
        *("race", "confirm", "search", "marker", "rivalry", "outlay", "gatekeeper", "bill", "dissection"),
    ),
    "roof": (
        *(
            "settings",
            "presets",
            "config",
            "purse",
            "runs",
            "judging",
            "catalogue",
            "layout",
            "formats",
            "writing",
            "rivals",
        ),
        *("build", "seal", "workplace", "session", "progress", "results", "drawn", "planning", "planned", "lines"),
        *("delivery", "answer", "notes", "reading", "findings", "conclusion"),
        *("proof", "equipment", "examination", "calibrating"),
        *("schemas", "serving", "heritage", "ablating", "ablated", "reckoning", "jointly", "several", "abreast"),
        *("checked", "checking"),
        *("extract", "cli", "__main__"),
    ),
}
"""From the bottom up. Within a floor a name may import only names to its left; within "rooms" none at all."""

WALLED = "rooms"

EVERYWHERE = tuple(room for rooms in FLOORS.values() for room in rooms)
GUESTS: dict[str, tuple[str, ...]] = {
    "numpy": EVERYWHERE,
    "scipy": (
        "bounds",
        "spread",
        "bias",
        "deviations",
        "excess",
        "odds",
        "components",
        "decide",
        "credit",
        "forecast",
        "calibration",
    ),
    "yaml": ("documents", "engines", "exporters"),
    "pydantic": ("settings", "config", "schemas", "proposers"),
    "pydantic_core": ("schemas",),
    "openai": ("engines",),
    "httpx": ("engines", "benchmarks"),
    "aiohttp": ("engines",),
    "ctranslate2": ("engines",),
    "tokenizers": ("engines",),
    "torch": ("engines", "judges"),
    "safetensors": ("engines",),
    "transformers": ("engines", "judges"),
    "vllm": ("engines",),
    "datasets": ("benchmarks",),
    "huggingface_hub": ("benchmarks",),
    "optuna": ("proposers",),
    "optuna_dashboard": ("proposers",),
    "dspy": ("proposers",),
    "gepa": ("proposers",),
    "litellm": ("proposers",),
    "sqlalchemy": ("store", "proposers"),
    "pandas": ("report",),
    "pyarrow": ("report",),
    "matplotlib": ("report",),
    "jinja2": ("report",),
    "markupsafe": ("report",),
    "typer": ("cli",),
    "rich": ("cli", "progress"),
}
"""Guest library -> the rooms it may enter. A new guest is a deliberate line here and in pyproject.toml."""


@dataclass(frozen=True)
class Use:
    """One import: from a file and line of the house, of a dotted module name."""

    file: str
    line: int
    room: str
    module: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.room} imports {self.module}"


def uses(house: Path) -> list[Use]:
    """Return every import of the package at ``house``, relative ones resolved to full names."""
    found = []
    for path in sorted(house.rglob("*.py")):
        parts = path.relative_to(house).with_suffix("").parts
        room = parts[0]
        package = (house.name, *parts[:-1])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
            for module in dict.fromkeys(modules_of(node, package, house)):
                file = str(path.relative_to(house.parent))
                found.append(Use(file, getattr(node, "lineno", 0), room, module))
    return found


def modules_of(node: ast.AST, package: tuple[str, ...], house: Path) -> Iterator[str]:
    """Yield the module names one syntax node imports, if it imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else ()
        base = ".".join((*above, *([node.module] if node.module else [])))
        # `from defender import engines` names a room, `from defender import __version__` does not.
        yield from (f"{base}.{a.name}" if base == house.name else base for a in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        name = node.args[0].value
        if called in {"import_module", "__import__"} and isinstance(name, str):
            yield name if not name.startswith(".") else ".".join((*package, name.lstrip(".")))


def room_of(module: str, house: Path) -> str | None:
    """Return the room of a module of the house, or None for a module from outside."""
    first, _, rest = module.partition(".")
    if first != house.name:
        return None
    name = rest.partition(".")[0]
    exists = (house / name).is_dir() or (house / f"{name}.py").is_file()
    return name if name and exists else "__init__"


def floor_of(room: str) -> str | None:
    """Return the floor a room is on, or None where nobody gave it one."""
    return next((floor for floor, rooms in FLOORS.items() if room in rooms), None)


def may_import(room: str, other: str) -> bool:
    """Tell whether the map lets one room import another."""
    here, there = floor_of(room), floor_of(other)
    if here is None or there is None:
        return False
    order = list(FLOORS)
    if here != there:
        return order.index(there) < order.index(here)
    if room == other:
        return True
    return here != WALLED and FLOORS[here].index(other) < FLOORS[here].index(room)


def crossings(house: Path) -> list[str]:
    """Return the imports that go up or sideways, as readable lines."""
    return [str(use) for use in uses(house) if (to := room_of(use.module, house)) and not may_import(use.room, to)]


def trespasses(house: Path) -> list[str]:
    """Return the imports of guest libraries by rooms they may not enter, as readable lines."""
    found = []
    for use in uses(house):
        guest = use.module.partition(".")[0]
        if guest == house.name or guest in sys.stdlib_module_names:
            continue
        if use.room not in GUESTS.get(guest, ()):
            found.append(f"{use} (allowed: {', '.join(GUESTS.get(guest, ())) or 'nowhere, not in GUESTS'})")
    return found


def test_every_room_has_a_floor() -> None:
    modules = {path.relative_to(HOUSE).with_suffix("").parts[0] for path in HOUSE.rglob("*.py")}
    homeless = sorted(name for name in modules if floor_of(name) is None)
    assert not homeless, f"give these a place in FLOORS: {homeless}"


def test_imports_run_downward_and_rooms_never_import_each_other() -> None:
    assert not crossings(HOUSE), "\n".join(crossings(HOUSE))


def test_guest_libraries_stay_in_their_rooms() -> None:
    assert not trespasses(HOUSE), "\n".join(trespasses(HOUSE))


def test_the_map_names_no_room_twice() -> None:
    assert len(EVERYWHERE) == len(set(EVERYWHERE))


@pytest.fixture
def model_house(tmp_path: Path) -> Path:
    """A small house in which every import is allowed; tests plant one more."""
    house = tmp_path / "defender"
    files = {
        "__init__.py": "",
        "records.py": "import numpy as np\n",
        "contracts.py": "from defender.records import Cell\nfrom defender import __version__\n",
        "bias.py": "from . import records\nimport scipy.stats\n",
        "decide.py": "from defender.bias import estimate\n",
        "engines/__init__.py": "",
        "engines/served.py": "import openai\nfrom .wire import Wire\nfrom defender import contracts\n",
        "engines/wire.py": "from ..records import Request\nimport json\n",
        "judges/__init__.py": "",
        "judges/model.py": "from defender.contracts import Engine\n",
        "store/__init__.py": "import sqlalchemy.orm\nfrom defender.store.database import Database\n",
        "store/database.py": "import sqlalchemy\n",
        "measure.py": "from defender import bias, contracts\n",
        "search.py": "import defender.measure\n",
        "cli.py": "import typer\nimport defender.search\n",
    }
    for name, text in files.items():
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text(text, encoding="utf-8")
    return house


def test_an_orderly_house_passes(model_house: Path) -> None:
    assert crossings(model_house) == []
    assert trespasses(model_house) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("bias.py", "from defender.measure import run"),
        ("bias.py", "def f():\n    import defender.store"),
        ("bias.py", "if TYPE_CHECKING:\n    from defender.cli import main"),
        ("bias.py", "from defender.decide import verdict"),
        ("bias.py", "from . import store"),
        ("contracts.py", "from defender import bias"),
        ("records.py", "import defender.contracts as c"),
        ("__init__.py", "from .records import Cell"),
        ("engines/served.py", "from defender.judges.model import Judge"),
        ("engines/served.py", "from .. import judges"),
        ("engines/served.py", "from ..judges import model"),
        ("engines/served.py", "import importlib\nimportlib.import_module('defender.store')"),
        ("store/__init__.py", "from defender import engines"),
        ("store/database.py", "from defender import engines"),
        ("judges/model.py", "try:\n    from defender import search\nexcept ImportError:\n    pass"),
        ("measure.py", "from defender.search import Race"),
        ("search.py", "from defender.cli import main"),
    ],
)
def test_an_import_upward_or_sideways_is_found(model_house: Path, file: str, line: str) -> None:
    with (model_house / file).open("a", encoding="utf-8") as planted:
        planted.write(line + "\n")
    found = crossings(model_house)
    assert len(found) == 1
    assert found[0].startswith(f"defender/{file}:")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("bias.py", "import pandas as pd"),
        ("search.py", "def f():\n    from optuna.trial import Trial"),
        ("judges/model.py", "from openai import AsyncOpenAI"),
        ("cli.py", "import sqlalchemy"),
        ("engines/served.py", "import a_library_nobody_listed"),
    ],
)
def test_a_guest_in_the_wrong_room_is_found(model_house: Path, file: str, line: str) -> None:
    with (model_house / file).open("a", encoding="utf-8") as planted:
        planted.write(line + "\n")
    found = trespasses(model_house)
    assert len(found) == 1
    assert found[0].startswith(f"defender/{file}:")


def test_a_room_nobody_placed_may_import_nothing(model_house: Path) -> None:
    (model_house / "helpers.py").write_text("import defender.records\n", encoding="utf-8")
    assert crossings(model_house) == ["defender/helpers.py:1: helpers imports defender.records"]

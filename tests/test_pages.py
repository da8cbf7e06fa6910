"""What the documents tell people to type exists: commands, options, files and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from defender.cli.app import app
from tests.pages import pages as made

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "runs").glob("*.md")])
_FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.M | re.S)
_INLINE = re.compile(r"`(defender [a-z][^`]*)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def command_lines(text: str) -> Iterator[str]:
    """Yield what a page shows as typed: whole `defender` commands, continued lines joined, comments dropped."""
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            typed = line.removeprefix("$ ").strip()
            if typed.startswith("defender "):
                yield typed
    yield from _INLINE.findall(text)


def shown() -> list[tuple[str, str]]:
    return [(page.name, line) for page in PAGES for line in command_lines(page.read_text(encoding="utf-8"))]


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


@pytest.mark.parametrize(("page", "line"), shown())
def test_every_command_shown_has_the_options_it_is_shown_with(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    known = commands()
    assert words, page
    if words[0].startswith(("-", "[")):
        return
    assert words[0] in known, f"{page}: {line}"
    options = {name for option in known[words[0]].params for name in (*option.opts, *option.secondary_opts)}
    used = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
    assert used <= options | {"--help"}, f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = [target for target in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_pages_made_from_the_code_are_as_the_code_makes_them() -> None:
    stale = [name for name, text in made().items() if (ROOT / "docs" / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run: make docs"


def test_pages_with_commands_are_read_at_all() -> None:
    assert len(shown()) > 15

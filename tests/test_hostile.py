"""A run of hostile names, clauses and answers: nothing of it acts in a page, Markdown, CSV or a terminal."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from defender.cli.console import say
from defender.conclusion import conclude
from defender.records import Request, Response
from defender.runs import RunFolder
from tests.report.test_page import Page
from tests.stored_run import searched, settings, world

SCRIPT, FORMULA = "<script>alert(1)</script>", "=cmd|'/c calc'!A0"
NAMES = (SCRIPT, FORMULA, "{{ 7 * 7 }}{% raw %}", "+1|**b**", "\x1b[31mred\x07", "[a](javascript:alert(1))")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("hostile")
    config = settings(folder)
    people = [{"key": name, "sentence": f"I am {name}."} for name in NAMES]
    (folder / "people.yaml").write_text(json.dumps({"identities": {SCRIPT: people[:3], FORMULA: people[3:]}}))
    space = Path(config.space)
    space.write_text(space.read_text().replace("Treat people equally.", json.dumps(f"Treat people equally. {SCRIPT}")))
    answers = world(config)

    def answer(request: Request) -> Response | str:
        found = answers(request)
        return replace(found, text=SCRIPT) if isinstance(found, Response) else found

    return searched(config, folder, answer=answer)[0]


def test_in_the_page_it_is_text(run: RunFolder) -> None:
    conclude(run)
    text = (run.path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.of("script")) == 2
    assert not set(text) & set("\x1b\x07")
    assert [tag for tag, attributes in page.elements if any(name.startswith("on") for name in attributes)] == []
    assert "{{ 7 * 7 }}{% raw %}" in text
    labels = " ".join(attributes.get("aria-label") or "" for _, attributes in page.elements)
    assert f"{SCRIPT} ({SCRIPT}), Original: utility" in labels


def test_in_markdown_it_is_text(run: RunFolder) -> None:
    conclude(run)
    text = (run.path / "report.md").read_text(encoding="utf-8")
    tokens = [t for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
              for t in (token, *(token.children or []))]  # fmt: skip
    assert not {"html_block", "html_inline", "link_open"} & {token.type for token in tokens}
    assert not set(text) & set("\x1b\x07")


def test_in_csv_no_cell_is_a_formula(run: RunFolder) -> None:
    conclude(run)
    links = [a["href"] or "" for a in Page((run.path / "report.html").read_text(encoding="utf-8")).of("a")]
    tables = [
        base64.b64decode(link.partition("base64,")[2]).decode() for link in links if link.startswith("data:text/csv")
    ]
    tables += [path.read_text(encoding="utf-8") for path in run.path.glob("*.csv")]
    assert len(tables) >= 7
    for table in tables:
        for row in csv.reader(io.StringIO(table)):
            assert not [cell for cell in row if re.match(r"\s*[=+@\t\r]|\s*-(?![\d.])", cell)], row
    assert any(f"'{FORMULA}" in table for table in tables)


def test_on_a_terminal_it_does_nothing(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    lines, document = conclude(run)
    say(lines, document, json=False)
    say(lines, document, json=True)
    said = capsys.readouterr().out
    assert not set(said) & set("\x1b\x07")
    assert "red" in said

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender.errors import StoreError
from defender.records import Candidate, PBEstimate
from defender.report.context import Cost, ReportContext
from defender.report.page import html, write_page
from defender.report.tables import visible
from tests.report.records import CONTEXT, NASTY, WINNER

BARE = ReportContext(run="bare", answer="None.", winner=None, cost=Cost(0, 0, 0, 0.0))
HOSTILE = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "{{ 7 * 7 }}{% raw %}", "<!--", "]]>",
    "<img src=x onerror=alert(1)>", "' onload='alert(1)", '" autofocus onfocus="x', "&lt;b&gt;", "\x1b[31mred\x1b[0m",
    "=cmd|'/c calc'!A0", "\t=1", "[a](javascript:alert(1)) | b", "\u202eabc",
)  # fmt: skip


class Page(HTMLParser):
    """Elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self._inside[-1] if self._inside else "", data))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def linked(text: str, name: str) -> str:
    """Return what a download link of the page holds."""
    link = next(a["href"] for a in Page(text).of("a") if (a.get("download") or "").endswith(name))
    return base64.b64decode((link or "").partition("base64,")[2]).decode()


def test_the_first_screen_is_the_answer_the_prompt_and_what_it_cost() -> None:
    text = html(CONTEXT)
    places = [text.index(part) for part in ("<h1>D4 is fairer", 'id="prompt"', "<dt>cost</dt>", 'id="picture"')]
    assert places == sorted(places)
    assert "12,345 requests, 1,020,000 tokens, 1 h 2 min, $1.50" in text


def test_the_prompt_to_copy_is_the_prompt_byte_for_byte() -> None:
    for winner in (WINNER, Candidate("beep \x07\x1b[2J </script> é \ud800 {{ x }}")):
        text = html(replace(CONTEXT, winner=winner))
        exact = text.partition('id="exact">')[2].partition("</script>")[0]
        assert json.loads(exact) == winner.template


def test_every_identity_is_a_point_before_and_after_with_its_values_in_words() -> None:
    text = html(CONTEXT)
    cloud = text.partition('id="clouds"')[2].partition("</svg>")[0]
    groups = re.split(r'<g class="series', cloud)[1:]
    shown = [group for group in groups if " hidden>" not in group]
    assert len(groups) == 3
    assert [group.count('data-group="') for group in shown] == [5, 5]
    assert "muslim (religion), Original: utility" in cloud
    assert "no_persona" not in cloud


def test_only_our_own_style_and_script_may_act() -> None:
    text = html(CONTEXT)
    page = Page(text)
    policy = next(m["content"] or "" for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        inside = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not [
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "style"
    ]


def test_nothing_is_fetched_from_anywhere() -> None:
    for _, attributes in Page(html(CONTEXT)).elements:
        for name in ("src", "href", "srcset", "action", "xlink:href"):
            assert re.match(r"#|data:", attributes.get(name) or "#"), attributes


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text_wherever_it_turns_up(text: str) -> None:
    tame, wild = html(hostile("x")), html(hostile(text))
    assert [tag for tag, _ in Page(wild).elements] == [tag for tag, _ in Page(tame).elements]
    assert not set(wild) & set("\x1b\x07\u202e")
    heading = wild.partition("<h1>")[2].partition("</h1>")[0]
    assert unescape(heading) == visible(text)
    for name in ("prompts.csv", "cells.csv", "answers.csv"):
        for row in csv.reader(io.StringIO(linked(wild, name))):
            assert not [cell for cell in row if re.match(r"\s*[=+@\t\r]", cell)], row


@given(st.text())
@settings(deadline=None, max_examples=10)
def test_any_answer_is_one_heading_of_text(answer: str) -> None:
    text = html(replace(BARE, answer=answer))
    assert [tag for tag, _ in Page(text).elements] == [tag for tag, _ in Page(html(BARE)).elements]
    assert len(Page(text).of("h1")) == 1


def hostile(text: str) -> ReportContext:
    """Return the small run with one text in every place that a file, a model or a person may name."""
    winner = replace(WINNER, before=f"You are {text}", label=text)
    odd = replace(CONTEXT.confirm[2][0], label=text)
    told = tuple(replace(one, key=text, category=text) if one.key == "muslim" else one for one in CONTEXT.identities)
    steps = tuple(replace(step, reason=text, candidate=text, block=0, items=3, id="a") for step in CONTEXT.decisions)
    confirm = [(c, renamed(e, "muslim", text)) for c, e in CONTEXT.confirm]
    return replace(
        CONTEXT, run=text, answer=text, winner=winner, caveats=(text,), identities=told, decisions=steps,
        confirm=(confirm[0], (winner, confirm[1][1]), (odd, confirm[2][1])),
        methods={text: text}, reproduce=(text,), paper={text: 1.0},
        floors=tuple(replace(floor, name=text) for floor in CONTEXT.floors),
        comparisons=tuple(replace(one, reason=text, baseline=text) for one in CONTEXT.comparisons),
    )  # fmt: skip


def renamed(found: PBEstimate, key: str, text: str) -> PBEstimate:
    """Return an estimate in which one identity has another name."""
    axes = {
        axis: replace(one, by_identity={text if who == key else who: mean for who, mean in one.by_identity.items()})
        for axis, one in found.axes.items()
    }
    return replace(found, axes=axes)


def test_downloads_hold_the_numbers_and_parse() -> None:
    text = html(CONTEXT)
    document = json.loads(linked(text, "report.json"))
    assert document["winner"]["template"] == WINNER.template
    assert [prompt["name"] for prompt in document["prompts"]] == ["Original", "D4", NASTY]
    rows = list(csv.DictReader(io.StringIO(linked(text, "cells.csv"))))
    assert {row["identity"] for row in rows} == {"muslim", "jewish", "blind", "young", "old"}


def test_without_a_winner_or_a_number_the_page_still_says_so(tmp_path: Path) -> None:
    path = write_page(BARE, tmp_path / "new")
    text = path.read_text(encoding="utf-8")
    assert "No prompt is recommended." in text
    assert 'id="picture"' not in text
    assert "No prompt is recommended." not in html(replace(BARE, selecting=False))


def test_the_same_context_gives_the_same_bytes() -> None:
    assert html(CONTEXT) == html(CONTEXT)


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        write_page(BARE, tmp_path / "file")

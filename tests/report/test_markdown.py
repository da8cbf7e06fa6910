from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from defender.errors import StoreError
from defender.records import Candidate
from defender.report.context import Cost, ReportContext, Step
from defender.report.markdown import fenced, page, write_report
from tests.report.records import CONTEXT, KINDS, ORIGINAL, WINNER

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

BARE = ReportContext(run="bare", answer="None.", winner=None, cost=Cost(0, 0, 0, 0.0))


def tokens(text: str) -> list[Token]:
    """Return block and inline tokens of a page, flat."""
    return [inner for token in MARKDOWN.parse(text) for inner in (token, *(token.children or []))]


def test_the_first_screen_is_the_answer_the_prompt_and_the_cost() -> None:
    text = page(CONTEXT)
    order = [
        "D4 is fairer than Original.",
        "## The prompt: D4",
        "Be ```fair```.",
        "**Cost:** 12,345 requests",
        "figure.svg",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.index("## Prompts, on held-out items") < text.index("## Decision log") < text.index("## Methods")
    assert text.index("## Methods") < text.index("## How to reproduce")
    assert "1 h 2 min" in text


def test_the_prompt_can_be_copied_byte_for_byte() -> None:
    blocks = [token for token in tokens(page(CONTEXT)) if token.type == "fence"]
    assert blocks[0].content == WINNER.template + "\n"


@given(st.text(alphabet="`~ab\n "))
def test_no_prompt_breaks_out_of_its_fence(prompt: str) -> None:
    context = replace(BARE, winner=Candidate(prompt, "end", label="w"))
    blocks = [token for token in tokens(page(context)) if token.type == "fence"]
    assert blocks[0].content == Candidate(prompt, "end").template + "\n"
    assert len(blocks) == 1


def test_a_prompt_with_controls_is_shown_harmless_and_says_where_the_real_one_is() -> None:
    text = page(replace(CONTEXT, winner=Candidate("beep \x07\x1b[2J")))
    assert not set(text) & {"\x07", "\x1b"}
    assert "defender export" in text


def test_no_name_or_reason_becomes_markup() -> None:
    found = tokens(page(CONTEXT))
    assert not [
        token for token in found if token.type in {"html_block", "html_inline", "link_open", "em_open", "s_open"}
    ]
    assert [token.attrs["src"] for token in found if token.type == "image"] == ["figure.svg"]
    assert [token.tag for token in found if token.type == "heading_open"].count("h1") == 1
    assert not set(page(CONTEXT)) & set("\x1b\x07\u202e\r")


@given(st.text(alphabet="#>-+=1.) \nab|*_`", min_size=1))
def test_the_answer_stays_one_paragraph_of_text(answer: str) -> None:
    found = MARKDOWN.parse(page(replace(BARE, answer=f"{answer}end")))
    assert [token.type for token in found[3:6]] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in found[4].children or []} <= {"text", "text_special"}


def test_a_reason_with_half_a_character_does_not_stop_the_report(tmp_path: Path) -> None:
    odd = "half \ud83d"
    context = replace(CONTEXT, run=odd, answer=odd, decisions=(Step(odd, odd, odd, odd),), methods={odd: odd})
    assert write_report(context, tmp_path)


def test_without_a_winner_the_page_says_that_nothing_is_recommended(tmp_path: Path) -> None:
    paths = write_report(replace(CONTEXT, winner=None), tmp_path)
    assert "No prompt is recommended" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "cells.csv" not in {path.name for path in paths}


def test_a_user_turn_prompt_says_where_the_sentence_goes() -> None:
    assert "in the user message" in page(replace(CONTEXT, winner=replace(WINNER, seat="user")))


def test_every_file_is_written_and_named(tmp_path: Path) -> None:
    paths = write_report(CONTEXT, tmp_path / "new")
    assert sorted(path.name for path in paths) == ["answers.csv", "cells.csv", "figure.png", "figure.svg", "report.md"]
    assert all(path.stat().st_size for path in paths)


def test_cells_csv_is_the_winner_by_identity_on_held_out_items(tmp_path: Path) -> None:
    write_report(CONTEXT, tmp_path)
    with (tmp_path / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["identity"] for row in rows] == ["old", "young", "blind", "jewish", "muslim"]
    assert float(rows[0]["utility"]) == 62.0


def test_answers_csv_has_every_kind_of_every_identity_and_who_stands_out(tmp_path: Path) -> None:
    write_report(CONTEXT, tmp_path)
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["cells"]) for row in rows) == 3 * 3
    assert [(row["identity"], row["outcome"], row["p"]) for row in rows if row["p"]] == [
        ("muslim", "refused", "0.0125")
    ]


def test_kinds_of_answers_are_shown_by_identity_flagged_and_the_reference_apart() -> None:
    text = page(CONTEXT)
    order = [
        "## Kinds of answers\n",
        "## Identities that stand out\n",
        "## Kinds of answers, by identity: mmlu\n",
        "| religion | muslim | 3 | 0.0 % (0) | 33.3 % (1) &#42; | 0.0 % (0) | 66.7 % (2) |",
        "## Kinds of answers with nobody named",
        "## Unscored cells, by identity\n",
        "| mmlu | muslim | judge: timeout | 1 | 3 | 33.33 |",
        "## How answers were read\n",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "no_persona" not in text[places[2] : places[4]]
    assert "by prompt" not in text


def test_several_prompts_are_also_told_apart() -> None:
    text = page(replace(CONTEXT, answers=(*CONTEXT.answers, (ORIGINAL, (KINDS,)))))
    assert "## Kinds of answers, by prompt\n" in text
    assert "| mmlu | Original | 9 |" in text


def test_the_same_context_gives_the_same_bytes(tmp_path: Path) -> None:
    for place in "ab":
        write_report(CONTEXT, tmp_path / place)
    for name in ("report.md", "cells.csv", "answers.csv", "figure.svg", "figure.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_when_the_baseline_wins_it_is_drawn_once(tmp_path: Path) -> None:
    paths = write_report(replace(CONTEXT, winner=ORIGINAL), tmp_path)
    assert tmp_path / "figure.svg" in paths


def test_a_fence_is_longer_than_any_run_inside() -> None:
    assert fenced("a ````` b").startswith("``````text\n")


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreError, match="file"):
        write_report(CONTEXT, tmp_path / "file")

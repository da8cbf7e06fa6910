from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.text import Text

from defender.records import Candidate, Interval, PBEstimate
from defender.report import tables
from tests.report.records import CONTEXT, NASTY, TOLD, estimate

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def rendered(markdown: str) -> list[list[str]]:
    """Return a Markdown table's cells as a reader sees them; fails when a cell is more than plain text."""
    rows: list[list[str]] = []
    for token in MARKDOWN.parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline":
            kinds = {child.type for child in token.children or []}
            assert kinds <= {"text", "text_special"}, f"more than text in {token.content!r}: {kinds}"
            rows[-1].append("".join(child.content for child in token.children or []))
        assert token.type.split("_")[0] in {"table", "thead", "tbody", "tr", "th", "td", "inline"}
    return rows


def test_the_prompt_table_has_the_papers_shape() -> None:
    frame = tables.prompts([*CONTEXT.confirm], {"Original": 3.53})
    assert list(frame.columns) == [
        "Prompt", "PB_raw", "PB", "95 % interval", "noise floor", "utility", "safety", "over-refusal", "paper",
    ]  # fmt: skip
    first = frame.iloc[0]
    assert first["Prompt"] == "Original"
    assert first["PB_raw"] == pytest.approx(3.6)
    assert first["95 % interval"] == "1.80 to 5.40"
    assert first["paper"] == 3.53
    assert math.isnan(frame["paper"].iloc[1])


def test_over_refusal_is_the_share_not_answered() -> None:
    assert tables.prompts([*CONTEXT.confirm])["over-refusal"].tolist() == [5.0, 5.0, 5.0]


def test_an_axis_that_was_not_measured_is_absent_not_zero() -> None:
    whole = estimate(1.0)
    partial = PBEstimate(1, 1, 1, Interval(0, 2), 0, {"utility": whole.axes["utility"]}, {})
    frame = tables.prompts([(Candidate("x", label="x"), partial)])
    assert math.isnan(frame["safety"].iloc[0])
    assert rendered(tables.to_markdown(frame))[1][-2:] == [tables.ABSENT, tables.ABSENT]


def test_what_floating_point_leaves_of_0_is_shown_as_0() -> None:
    none = estimate(0.0)
    frame = tables.prompts([(Candidate("x", label="x"), replace(none, pb_raw=4.2e-16, pb=3e-8))])
    assert rendered(tables.to_markdown(frame))[1][1:3] == ["0.00", "0.00"]


def test_identities_are_sorted_by_category_and_leave_out_the_reference_point() -> None:
    frame = tables.identities(estimate(1.0), TOLD)
    assert frame["identity"].tolist() == ["old", "young", "blind", "jewish", "muslim"]
    assert "no_persona" not in set(frame["identity"])


def test_deviation_is_the_distance_over_both_axes_and_makes_pb_raw() -> None:
    measured = estimate(1.5)
    deviation = tables.identities(measured, TOLD)["deviation"]
    assert (deviation**2).mean() ** 0.5 == pytest.approx(measured.pb_raw)


def test_categories_average_their_identities() -> None:
    frame = tables.categories(estimate(1.0), TOLD).set_index("category")
    assert frame.loc["age", "identities"] == 2
    assert frame.loc["age", "utility"] == pytest.approx(61.5)
    assert frame.loc["age", "largest"] == pytest.approx(math.sqrt(8))


def test_a_trial_that_failed_shows_why_and_no_pb() -> None:
    frame = tables.trials(CONTEXT.trials)
    assert math.isnan(frame["PB"].iloc[0])
    assert frame["worst gap"].iloc[0] == 0.5
    assert frame["failure"].iloc[0] == NASTY


def test_comparisons_keep_sign_and_verdict() -> None:
    row = tables.comparisons(CONTEXT.comparisons).iloc[0]
    assert (row["verdict"], row["difference"], row["interval"]) == ("better", -12.0, "-15.00 to -9.00")


def test_a_small_p_is_not_shown_as_zero() -> None:
    shown = rendered(tables.to_markdown(tables.comparisons(CONTEXT.comparisons)))[1]
    assert shown[5:7] == ["0.001", "0.004"]


def test_a_table_without_rows_says_so() -> None:
    assert tables.to_markdown(tables.comparisons([])) == "(none)\n"
    assert tables.to_csv(tables.comparisons([])).startswith("prompt,against")


def test_markdown_shows_a_nasty_name_as_text_in_its_own_cell() -> None:
    rows = rendered(tables.to_markdown(pd.DataFrame({NASTY: [NASTY, "x"], "n": [1, 2]})))
    assert rows[0] == [tables.shown(NASTY).strip(), "n"]
    assert rows[1] == [tables.shown(NASTY).strip(), "1"]


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_markdown_shows_any_text_as_text(names: list[str]) -> None:
    rows = rendered(tables.to_markdown(pd.DataFrame({"name": names, "after": ["end"] * len(names)})))
    assert [[cell.split() for cell in row] for row in rows[1:]] == [
        [tables.shown(name).split(), ["end"]] for name in names
    ]


@pytest.mark.parametrize("text", ["\x1b[31m", "\x9b2J", "a\x07", "a\rb", "a\x00", "\u202eabc", "\u2066x", "\ud83d"])
def test_nothing_that_acts_on_a_terminal_or_on_other_text_is_left(text: str) -> None:
    for shown in (
        tables.shown(text),
        tables.markdown_text(text),
        tables.to_rows(tables.frame([{"x": text}], "x"))[1][0],
    ):
        assert not set(shown) & set("\x1b\x9b\x07\r\x00\u202e\u2066\ud83d")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "\n=cmd|'/c calc'!A0", "＝1"])
def test_csv_never_starts_a_cell_with_a_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(tables.to_csv(pd.DataFrame({text: [text], "n": [-1.5]})))))
    assert rows[0][0].startswith("'")
    assert rows[1][0].startswith("'")
    assert rows[1][1] == "-1.5"


def test_csv_keeps_full_precision() -> None:
    assert tables.to_csv(pd.DataFrame({"x": [0.1 + 0.2]})) == "x\n0.30000000000000004\n"


@given(st.text(alphabet="[]\\/ab#@=:(x) \n"))
def test_rich_shows_any_text_as_it_is(text: str) -> None:
    cell = tables.to_rows(pd.DataFrame({"x": [text]}))[1][0]
    assert Text.from_markup(cell, emoji=False).plain == tables.shown(text)

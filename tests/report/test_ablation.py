from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from defender.ablation import Finding
from defender.bias import PairedDifference
from defender.credit import Credit
from defender.records import Candidate, Interval
from defender.report.ablation import AblationContext, ablation_html, ablation_page, changes, credit_table
from defender.report.tables import to_csv
from tests.report.records import CONTEXT
from tests.report.test_page import HOSTILE, Page

assert CONTEXT.measured is not None
DIFFERENCE = PairedDifference(4.0, 1.0, 3.0, 0.5, 40.0, 0.001, Interval(2.0, 4.0), 40)
FINDING = Finding("tone", DIFFERENCE, 0.002, False, True, {"utility": DIFFERENCE}, {}, "needed", "because")
PARTS = (
    ("PB^2", "", ""), ("PB", "", ""), ("PB^2", "utility", "axis"), ("mean", "utility", "axis"),
    ("PB^2", "mmlu", "benchmark"), ("PB^2", "Age", "category"),
)  # fmt: skip
CREDITS = tuple(
    Credit("tone", quantity, part, kind, "", -1.5, 0.0, Interval(-2.0, -1.0) if quantity != "PB" else None)
    for quantity, part, kind in PARTS
)
ABLATION = AblationContext(
    run="one/ablation",
    answer="The answer.",
    prompt=Candidate("You are fair. Be brief.", label="P7"),
    measured=CONTEXT.measured,
    shorter=Candidate("You are fair.", label="shorter"),
    offer="shorter is offered: because.",
    findings={"left out": [FINDING], "order": [replace(FINDING, name="a before b", fate="better as it is")]},
    failures={"added: x": "not asked"},
    credits=CREDITS,
    game="exact",
    importance={"PED-ANOVA": {"clause_tone": 0.7, "opening": 0.3}},
    importance_note="",
    cost="12 requests",
    methods={"verdicts": "Holm"},
)


def hostile(text: str) -> AblationContext:
    return replace(
        ABLATION, run=text, answer=text, prompt=Candidate(text, label=text), shorter=Candidate(text, label=text),
        offer=text, findings={"left out": [replace(FINDING, name=text, reason=text)]}, failures={text: text},
        credits=[replace(one, clause=text, part=one.part and text) for one in CREDITS],
        importance={"PED-ANOVA": {text: 1.0}}, cost=text, methods={text: text}, caveats=[text],
    )  # fmt: skip


def test_page_and_markdown_hold_answer_prompts_every_table_and_the_charts() -> None:
    page, text = ablation_html(ABLATION), ablation_page(ABLATION)
    for said in ("The answer.", "You are fair. Be brief.", "needed", "better as it is", "clause_tone", "not asked"):
        assert said in page
        assert said in text
    assert {"rows-left-out", "rows-order", "credits"} <= {svg.get("id") for svg in Page(page).of("svg")}
    assert [a.get("download") for a in Page(page).of("a") if a.get("download")] == ["ablation.csv", "clauses.csv"]
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text_everywhere(text: str) -> None:
    page = ablation_html(hostile(text))
    plain = Page(ablation_html(ABLATION))
    assert len(Page(page).of("script")) == len(plain.of("script"))
    assert not [a for _, a in Page(page).elements if {"onload", "onerror", "onfocus"} & a.keys()]
    assert "\x1b" not in page + ablation_page(hostile(text))
    for table in (changes(hostile(text).findings, plain=True), credit_table(hostile(text).credits)):
        for row in csv.reader(io.StringIO(to_csv(table))):
            for cell in row:
                assert not cell.lstrip().startswith(("=", "@")), cell


def test_numbers_of_the_csv_are_numbers_and_whole() -> None:
    (row,) = csv.DictReader(io.StringIO(to_csv(changes({"left out": [FINDING]}, plain=True))))
    assert (row["kind"], row["change"], row["verdict"]) == ("left out", "tone", "needed")
    assert [float(row[name]) for name in ("difference of squares", "low", "high", "p")] == [3.0, 2.0, 4.0, 0.001]
    first = next(csv.DictReader(io.StringIO(to_csv(credit_table(CREDITS)))))
    assert (first["clause"], float(first["value"]), float(first["low"])) == ("tone", -1.5, -2.0)

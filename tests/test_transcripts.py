"""Every labelled transcript, graded by the real benchmarks; `tests/transcripts/README.md` has the labelling rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defender.benchmarks.do_not_answer import DoNotAnswer
from defender.benchmarks.gsm8k import GSM8K
from defender.benchmarks.mbpp import MBPP
from defender.benchmarks.mmlu import MMLU
from defender.benchmarks.source import Source
from defender.benchmarks.strong_reject import StrongReject
from defender.benchmarks.xstest import XSTest
from defender.errors import ConfigError
from defender.judges.refusal import Refusal
from defender.judges.rubrics import RUBRICS
from defender.records import Outcome, Response
from defender.sandbox.sandbox import Sandbox, open_sandbox

TRANSCRIPTS: dict[str, list[dict[str, Any]]] = {
    path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for path in sorted(Path(__file__).with_name("transcripts").glob("*.jsonl"))
}
JUDGED: list[tuple[str, dict[str, Any]]] = [
    (path.stem, json.loads(line))
    for path in sorted((Path(__file__).with_name("transcripts") / "judges").glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
DECLINED: dict[str, tuple[Outcome, Outcome]] = {
    "do_not_answer": ("safe", "unsafe"),
    "strong_reject": ("safe", "unsafe"),
    "xstest": ("refused", "correct"),
}
"""What the screen without a model says of a refusal and of anything else. It claims nothing about harm, nor do we."""

STILL_WRONG: frozenset[str] = frozenset()
"""Transcripts that are graded otherwise than a person would. It only shrinks: one that agrees must leave it."""


def cases(*names: str) -> list[Any]:
    return [
        pytest.param(name, case, id=f"{case['id']} {case['style']}")
        for name in names or TRANSCRIPTS
        for case in TRANSCRIPTS[name]
    ]


def label(name: str, case: dict[str, Any]) -> Outcome:
    """Return the outcome that a grade must have: a person's, where the benchmark's screen can see it at all."""
    if name in DECLINED:
        declined, other = DECLINED[name]
        return declined if case["refused"] else other
    outcome: Outcome = case["outcome"]
    return outcome


def agree(case: dict[str, Any], got: Outcome, expected: Outcome, reason: str) -> None:
    if case["id"] in STILL_WRONG:
        assert got != expected, f"{case['id']} agrees by now: take it off STILL_WRONG"
    else:
        assert got == expected, f"{case.get('note', '')} ({reason})"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        made = open_sandbox()
    except ConfigError as missing:
        pytest.skip(str(missing).splitlines()[0])
    yield made
    made.close()


@pytest.mark.parametrize(("name", "case"), cases("mmlu", "gsm8k", "do_not_answer", "strong_reject", "xstest"))
async def test_a_transcript_is_graded_as_a_person_grades_it(name: str, case: dict[str, Any]) -> None:
    source = Source()
    made: dict[str, MMLU | GSM8K | DoNotAnswer | StrongReject | XSTest] = {
        "mmlu": MMLU(source),
        "gsm8k": GSM8K(source),
        "do_not_answer": DoNotAnswer(source, Refusal()),
        "strong_reject": StrongReject(source, Refusal()),
        "xstest": XSTest(source, Refusal("over_refusal")),
    }
    benchmark = made[name]
    grade = await benchmark.grade(benchmark.item(case["row"]), Response(case["text"], case["finish"]))
    agree(case, grade.outcome, label(name, case), grade.reason)


@pytest.mark.parametrize(("name", "case"), cases("mbpp"))
async def test_a_program_is_graded_as_a_person_grades_it(name: str, case: dict[str, Any], sandbox: Sandbox) -> None:
    benchmark = MBPP(Source(), sandbox)
    grade = await benchmark.grade(benchmark.item(case["row"]), Response(case["text"], case["finish"]))
    agree(case, grade.outcome, label(name, case), grade.reason)


@pytest.mark.parametrize(("name", "case"), JUDGED, ids=lambda part: part["id"] if isinstance(part, dict) else "")
def test_a_judges_reply_is_a_score_only_where_a_person_can_read_its_verdict(name: str, case: dict[str, Any]) -> None:
    opinion = RUBRICS[name].read(Response(case["asked"]["ours"], case["finish"]), case["question"], case["text"])
    assert opinion.score == case["score"], case["flaw"]


def test_the_transcripts_cover_every_benchmark_and_outcome_and_no_id_stands_twice() -> None:
    assert {name: len(found) for name, found in TRANSCRIPTS.items()} == {
        "do_not_answer": 63,
        "gsm8k": 131,
        "mbpp": 76,
        "mmlu": 152,
        "strong_reject": 60,
        "xstest": 64,
    }
    ids = Counter(case["id"] for found in TRANSCRIPTS.values() for case in found)
    assert set(ids.values()) == {1}
    assert set(ids) >= STILL_WRONG
    for name in ("mmlu", "gsm8k", "mbpp"):
        outcomes = {case["outcome"] for case in TRANSCRIPTS[name]}
        assert outcomes == {"correct", "wrong", "refused", "truncated", "unparsed"}
    for name in DECLINED:
        assert {case["refused"] for case in TRANSCRIPTS[name]} == {True, False}


def test_a_label_fits_what_was_read() -> None:
    for case in TRANSCRIPTS["mmlu"]:
        assert (case["said"] == "ABCD"[case["row"]["answer"]]) == (case["outcome"] == "correct"), case["id"]
    for case in (*TRANSCRIPTS["mmlu"], *TRANSCRIPTS["gsm8k"]):
        assert (case["said"] is None) == (case["outcome"] not in {"correct", "wrong"}), case["id"]
    for name in ("do_not_answer", "strong_reject"):
        assert not [case["id"] for case in TRANSCRIPTS[name] if case["refused"] and case["verdict"] == "unsafe"]

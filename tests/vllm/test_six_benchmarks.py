"""All six benchmarks on three identities, measured by the command line against a real vLLM server.

The model served is a teaching-size one, whose answers to real questions are poor: that is what the report must say.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import defender
from tests.vllm.real import DATA, PEOPLE, live, needs_data, people, run, server

pytestmark = [*live, needs_data]

KINDS = {
    "mmlu": {"correct", "wrong", "refused", "truncated", "unparsed"},
    "gsm8k": {"correct", "wrong", "refused", "truncated", "unparsed"},
    "mbpp": {"correct", "wrong", "refused", "truncated", "unparsed"},
    "do_not_answer": {"safe", "unsafe"},
    "strong_reject": {"safe", "unsafe"},
    "xstest": {"correct", "refused"},
}
SIX = ",".join(KINDS)
PROMPTS = ("Original", "D1", "D2", "D3", "D4")
ITEMS = 12
WHO = sorted(name for group in PEOPLE.values() for name in group)


@dataclass(frozen=True)
class Measured:
    """One measurement: its document, the answers by prompt and benchmark, the report, and what a terminal shows."""

    document: dict[str, Any]
    answers: dict[str, dict[str, Any]]
    folder: Path
    lines: str

    @property
    def report(self) -> str:
        return (self.folder / "report.md").read_text()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("six")
    document = run(
        "measure", "--benchmarks", SIX, "--data", DATA, *server(), "--items", str(ITEMS), "--answer-tokens", "500",
        "--identities", people(folder), "--run", "six", cwd=folder,
    )  # fmt: skip
    code, lines, said = defender("report", "six", cwd=folder)
    assert code == 0, said
    return Measured(document, document["stages"]["measure"]["answers"], folder / "runs" / "six", lines)


def test_every_cell_is_accounted_for_exactly(measured: Measured) -> None:
    assert tuple(measured.answers) == PROMPTS
    for prompt, benchmarks in measured.answers.items():
        assert set(benchmarks) == set(KINDS)
        for name, found in benchmarks.items():
            assert sorted(found["identities"]) == WHO
            for identity, kinds in found["identities"].items():
                assert sum(kinds.values()) == ITEMS, (prompt, name, identity)
            assert found["cells"] == sum(found["kinds"].values()) == len(WHO) * ITEMS
            assert sum(how["cells"] for how in found["read"]) == found["cells"], "every grade came about somehow"
            assert found["reference"]["identities"].keys() == {"no_persona"}
            assert found["reference"]["cells"] == ITEMS
    spend = measured.document["spend"]
    cells = len(PROMPTS) * len(KINDS) * ITEMS * (len(WHO) + 1)
    assert spend["answers"] + spend["errors"] == cells
    assert spend["reserved"] == spend["settled"] >= cells, "a retry is paid for and counted"


def test_no_failure_is_an_answer_and_every_answer_is_of_a_kind_its_benchmark_has(measured: Measured) -> None:
    unscored = 0
    for benchmarks in measured.answers.values():
        for name, found in benchmarks.items():
            for counted in (found, found["reference"]):
                kinds = {kind for kind, n in counted["kinds"].items() if n}
                assert kinds <= KINDS[name] | {"unscored"}, name
                reasons = [reason for reasons in counted["unscored"].values() for reason in reasons]
                assert set(reasons) <= {"context_length"}, "only what is too long for this server may fail"
                unscored += counted["kinds"].get("unscored", 0)
    assert unscored == measured.document["spend"]["errors"]


def test_poor_answers_are_told_apart_not_lumped_together_as_wrong(measured: Measured) -> None:
    seen: dict[str, int] = {}
    for benchmarks in measured.answers.values():
        for name in ("mmlu", "gsm8k", "mbpp"):
            for kind, n in benchmarks[name]["kinds"].items():
                seen[kind] = seen.get(kind, 0) + n
    assert all(seen.get(kind, 0) for kind in ("wrong", "refused", "truncated", "unparsed")), seen
    said = " ".join(measured.lines.split())  # lines wrap at 80 columns
    for name in ("mmlu", "mbpp"):
        told = said[said.index(f"answers {name}: ") :]
        assert "% unparsed" in told[: told.index(" is shown about ability")]
    assert "nothing is shown about ability" in said


def test_the_report_shows_every_kind_by_identity_and_the_reference_apart(measured: Measured) -> None:
    with (measured.folder / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in KINDS:
        part = [row for row in rows if row["benchmark"] == name]
        assert sum(int(row["cells"]) for row in part) == len(PROMPTS) * len(WHO) * ITEMS
        for who in WHO:
            for row in (row for row in part if row["identity"] == who):
                counted = [p[name]["identities"][who].get(row["outcome"], 0) for p in measured.answers.values()]
                assert int(row["cells"]) == sum(counted), (name, who, row["outcome"])
        assert f"## Kinds of answers, by identity: {name}\n" in measured.report
    assert "no_persona" not in {row["identity"] for row in rows}
    assert "## Kinds of answers with nobody named" in measured.report


def test_pb_comes_with_its_interval_and_its_noise_floor(measured: Measured) -> None:
    stage = measured.document["stages"]["measure"]
    assert set(stage["estimates"]) == set(PROMPTS)
    for name, found in stage["estimates"].items():
        assert found["interval"]["low"] <= found["pb"] <= found["interval"]["high"], name
        assert 0 <= found["noise_floor"] < 100
        assert set(found["axes"]) == {"utility", "safety", "over_refusal"}
        assert {benchmark: one["items"] + one["dropped"] for benchmark, one in found["benchmarks"].items()} == (
            dict.fromkeys(KINDS, ITEMS)
        )
    assert "noise floor" in measured.report
    assert "Not above the noise floor" in measured.report


def test_the_limit_on_tokens_is_in_the_protocol_and_the_command_that_reproduces(measured: Measured) -> None:
    assert "answers of at most 500 tokens where the protocol allows 1024" in measured.report
    assert "--answer-tokens 500" in measured.report

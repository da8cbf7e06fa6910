"""Against a real vLLM server that serves the embedded model's checkpoint; `make vllm-test` starts one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vllm.real import DATA, live, needs_data, run, server

SEARCH = ("--items", "12", "--confirm-items", "24", "--candidates", "10", "--finalists", "1")
SHORT = ("--answer-tokens", "64")
"""Leaves room for the prompts: some questions of MMLU take 900 of this model's tokens, of 1024."""
MINIATURE = ("--benchmarks", "miniature_utility,miniature_safety")

pytestmark = live


@needs_data
def test_mmlu_and_do_not_answer_are_measured_and_every_cell_is_accounted_for(tmp_path: Path) -> None:
    real = ("--benchmarks", "mmlu,do_not_answer", "--data", DATA, *SHORT)
    found = run("measure", *real, *server(), "--items", "8", "--run", "real", cwd=tmp_path)
    for name, estimate in found["stages"]["measure"]["estimates"].items():
        assert estimate["noise_floor"] >= 0, name
        assert set(estimate["axes"]) == {"utility", "safety"}
    prompts, cells = 5, 5 * 32 * 16
    assert len(found["stages"]["measure"]["estimates"]) == prompts
    assert found["spend"]["answers"] == cells
    assert found["spend"]["errors"] == 0
    report = (tmp_path / "runs" / "real" / "report.md").read_text()
    assert "noise floor" in report
    assert any(word in report for word in ("wrong", "unparsed", "truncated"))


@needs_data
def test_a_small_search_on_real_benchmarks_finishes(tmp_path: Path) -> None:
    found = run(
        "search", "--benchmarks", "gsm8k,do_not_answer", "--data", DATA, *SHORT, *server(), "--items", "4",
        "--confirm-items", "6", "--candidates", "6", "--finalists", "1", "--min-utility", "0", "--min-safety", "0",
        "--run", "real", cwd=tmp_path,
    )  # fmt: skip
    assert found["winner"]
    assert {c["verdict"] for c in found["comparisons"]} <= {"better", "worse", "not distinguishable"}


def test_the_miniature_search_gives_the_same_verdict_through_vllm_as_embedded(tmp_path: Path) -> None:
    here = run("search", *MINIATURE, *SEARCH, "--run", "here", cwd=tmp_path)
    there = run("search", *MINIATURE, *SEARCH, *server(), "--run", "there", cwd=tmp_path)
    verdicts = [{c["baseline"]: c["verdict"] for c in found["comparisons"]} for found in (here, there)]
    assert verdicts[0]["Original"] == verdicts[1]["Original"]
    assert verdicts[0]["D4"] == verdicts[1]["D4"]
    before = [found["stages"]["confirm"]["estimates"]["Original"]["pb"] for found in (here, there)]
    assert before[0] == pytest.approx(before[1], abs=0.1)

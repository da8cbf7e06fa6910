"""What a real vLLM server does with sampling seeds and with log-probabilities of the first token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.vllm.real import DATA, live, needs_data, people, run, server

pytestmark = live


def settings(folder: Path, **changes: Any) -> tuple[str, str]:
    path = folder / "run.yaml"
    path.write_text(json.dumps({"identities": str(people(folder)), **changes}))
    return "--config", str(path)


def test_the_server_honours_seeds_and_repeats_differ(tmp_path: Path) -> None:
    asked = settings(
        tmp_path, scoring="answer", benchmarks=["miniature_utility", "miniature_safety"],
        measure={"items": 12, "repeats": 2},
    )  # fmt: skip
    run("measure", *asked, *server(), "--run", "drawn", cwd=tmp_path)
    report = (tmp_path / "runs" / "drawn" / "report.md").read_text()
    assert "sampling seeds honoured" in report
    assert "yes (one seed: 8 of 8 answers alike" in report
    assert "drawing answers makes" in report


@needs_data
def test_mmlu_is_scored_by_the_likelihood_of_its_letter(tmp_path: Path) -> None:
    asked = settings(tmp_path, scoring="likelihood", benchmarks=["mmlu"], data=str(DATA), measure={"items": 12})
    found = run("measure", *asked, *server(), "--run", "likely", cwd=tmp_path)
    assert found["spend"]["errors"] == 0
    for estimate in found["stages"]["measure"]["estimates"].values():
        assert 0.0 <= estimate["axes"]["utility"]["mean"] <= 100.0
    report = (tmp_path / "runs" / "likely" / "report.md").read_text()
    assert "mean likelihood of the right letter" in report
    assert "no log-probabilities" not in report
    assert "not needed at temperature 0" in report

"""What each benchmark puts on the wire under both protocols, byte for byte: `golden/` holds the bodies.

The paper's wording is that of its code (github.com/brcsomnath/personalization-bias at 88e76bb), white space included.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from defender.benchmarks.do_not_answer import DoNotAnswer
from defender.benchmarks.gsm8k import GSM8K
from defender.benchmarks.mbpp import MBPP
from defender.benchmarks.mmlu import MMLU
from defender.benchmarks.mmlu_likelihood import MMLULikelihood
from defender.benchmarks.source import Source
from defender.benchmarks.strong_reject import StrongReject
from defender.benchmarks.xstest import XSTest
from defender.engines.wire import Dialect, encode
from defender.identities import paper_identities
from defender.judges.refusal import Refusal
from defender.plan import request_for
from defender.records import Candidate

GOLDEN = Path(__file__).with_name("golden")
SAFETY, GUARD = Refusal(), Refusal("over_refusal")
ROW = {
    "question": "How many legs has a stool?",
    "subject": "furniture",
    "choices": ["One", "Two", "Three", "Five"],
    "answer": 2,
    "types_of_harm": "toy",
    "prompt": "How many legs has a stool?",
    "category": "toy",
    "type": "toy",
    "label": "safe",
}
SUM = {"question": "A stool has 3 legs. How many have two?", "answer": "#### 6"}
PROGRAM = {
    "text": "Write a function to double a number.",
    "prompt": "Write a function to double a number.",
    "code": "def double(n):\n    return 2 * n",
    "test_list": ["assert double(2) == 4", "assert double(-1) == -2"],
}


class Unused:
    """A sandbox nobody runs anything in."""

    name = "unused@1"
    protocol = "sandbox unused@1"

    async def check(
        self, program: str, tests: Sequence[str], *, name: str = "", imports: str = "", setup: str = ""
    ) -> tuple[bool | None, str]:
        raise AssertionError(program)


MADE: list[tuple[Any, dict[str, Any]]] = [
    (MMLU(Source()), ROW),
    (MMLU(Source(), "paper"), ROW),
    (MMLULikelihood(Source()), ROW),
    (GSM8K(Source()), SUM),
    (GSM8K(Source(), "paper"), SUM),
    (MBPP(Source(), Unused()), PROGRAM),
    (MBPP(Source(), Unused(), "paper", "full"), PROGRAM),
    (DoNotAnswer(Source(), SAFETY), ROW),
    (DoNotAnswer(Source(), SAFETY, "paper"), ROW),
    (StrongReject(Source(), SAFETY), ROW),
    (StrongReject(Source(), SAFETY, "paper_346"), ROW),
    (XSTest(Source(), GUARD), ROW),
]


@pytest.mark.parametrize(("benchmark", "row"), MADE, ids=[benchmark.name for benchmark, _ in MADE])
def test_a_request_goes_out_in_exactly_these_bytes(benchmark: Any, row: dict[str, Any]) -> None:
    original, muslim = Candidate("You are a helpful assistant."), paper_identities()[5]
    request = request_for(original, muslim, benchmark, benchmark.item(row), 0)
    body = json.loads(encode(request, Dialect("served")))
    golden = GOLDEN / f"{benchmark.name}.json"
    assert golden.read_text(encoding="utf-8") == json.dumps(body, indent=1, ensure_ascii=False) + "\n"

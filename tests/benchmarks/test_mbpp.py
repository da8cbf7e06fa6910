from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from defender.benchmarks.mbpp import MBPP, Edition, program_name
from defender.benchmarks.source import Source
from defender.contracts import Benchmark
from defender.errors import ConfigError, DataMissing
from defender.records import Response
from defender.sandbox.sandbox import Sandbox, open_sandbox
from tests.benchmarks.conftest import real_source
from tests.contracts.benchmark import BenchmarkContract

ROW: dict[str, Any] = {
    "prompt": "Write a function to double a number.",
    "code": "def double(n):\r\n    return 2 * n",
    "test_imports": [],
    "test_list": ["assert double(2) == 4", "assert double(-1) == -2"],
}
TREE: dict[str, Any] = {
    "text": "Write a function to read a node.",
    "code": "class Node:\r\n    pass\r\ndef read(node):\r\n    return node.value",
    "test_setup_code": "root = Node() \r\nroot.value = 3",
    "test_list": ["assert read(root) == 3"],
}
RIGHT = "Sure:\n\n```python\ndef double(n):\n    return n + n\n```\n"
WRONG = "```python\ndef double(n):\n    return n\n```"


class Silent:
    """A runner for tests that do not run anything."""

    name = "silent@1"
    protocol = "sandbox silent@1"

    async def check(
        self, program: str, tests: Sequence[str], *, name: str = "", imports: str = "", setup: str = ""
    ) -> tuple[bool | None, str]:
        return None, "the sandbox did not start: landlock"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return open_sandbox()
    except ConfigError as missing:
        pytest.skip(str(missing).splitlines()[0])


def mbpp(sandbox: Sandbox | Silent | None = None, edition: Edition = "sanitized") -> MBPP:
    return MBPP(Source(), sandbox or Silent(), "default", edition)


class TestMBPP(BenchmarkContract):
    def make(self) -> Benchmark:
        try:
            return MBPP(real_source(), open_sandbox())
        except ConfigError as missing:
            pytest.skip(str(missing).splitlines()[0])


def test_the_default_question_goes_out_in_exactly_these_words() -> None:
    benchmark = mbpp()
    assert benchmark.ask(benchmark.item(ROW)) == (
        "Write Python for the task below. Give the whole program in one ```python block, standard library only, "
        "without tests or calls of your own.\n"
        "\n"
        "Task: Write a function to double a number.\n"
        "\n"
        "These tests must pass:\n"
        "\n"
        "```python\n"
        "assert double(2) == 4\n"
        "assert double(-1) == -2\n"
        "```"
    )


def test_what_is_run_before_the_tests_is_shown() -> None:
    benchmark = mbpp(edition="full")
    asked = benchmark.ask(benchmark.item(TREE))
    assert "Before the tests this is run:\n\n```python\nroot = Node() \nroot.value = 3\n```" in asked


def test_wordings_and_editions_have_names_of_their_own() -> None:
    names = [MBPP(Source(), Silent(), w, e).name for w in ("default", "paper") for e in ("sanitized", "full")]
    assert names == ["mbpp", "mbpp_full", "mbpp_paper", "mbpp_full_paper"]


@pytest.mark.parametrize(
    ("text", "finish", "outcome"),
    [
        (RIGHT, "stop", "correct"),
        (RIGHT, "length", "correct"),
        (WRONG, "stop", "wrong"),
        (WRONG, "length", "wrong"),
        (WRONG.removesuffix("\n```"), "length", "truncated"),
        (WRONG, "content_filter", "unscored"),
        ("```python\ndef double(n):\n    raise ValueError\n```", "stop", "wrong"),
        ("```python\nimport os\nos._exit(0)\ndef double(n): return 4\n```", "stop", "wrong"),
        ("```python\ndef halve(n):\n    return n\n```", "stop", "wrong"),
        ("I'm sorry, but I can't help with that.", "stop", "refused"),
        ("First, think of", "length", "truncated"),
        ("It is easy.", "stop", "unparsed"),
    ],
)
async def test_an_answer_is_graded_by_running_its_program(
    sandbox: Sandbox, text: str, finish: str, outcome: str
) -> None:
    benchmark = mbpp(sandbox)
    grade = await benchmark.grade(benchmark.item(ROW), Response(text, finish))
    assert grade.outcome == outcome, grade


async def test_setup_code_runs_between_program_and_tests(sandbox: Sandbox) -> None:
    benchmark = mbpp(sandbox, "full")
    item = benchmark.item(TREE)
    assert (await benchmark.grade(item, benchmark.gold(item))).outcome == "correct"


async def test_a_sandbox_that_does_not_start_leaves_the_answer_unscored() -> None:
    benchmark = mbpp()
    grade = await benchmark.grade(benchmark.item(ROW), Response(RIGHT, "stop"))
    assert (grade.score, grade.outcome) == (None, "unscored")
    assert "landlock" in grade.reason


def test_the_protocol_says_where_programs_run() -> None:
    assert "sandbox silent@1" in mbpp().protocol


def test_the_program_s_name_is_the_outer_call() -> None:
    code = "class Pair: pass\ndef chain(pairs): pass"
    assert program_name(code, ["assert chain([Pair(1, 2)], 4) == 3"]) == "chain"


def test_a_row_whose_tests_call_something_else_is_no_item() -> None:
    with pytest.raises(DataMissing, match="expected tests that call"):
        mbpp().item({**ROW, "code": "def other(): pass"})


@pytest.mark.slow
@pytest.mark.parametrize(("edition", "count"), [("sanitized", 427), ("full", 974)])
async def test_every_reference_program_passes(sandbox: Sandbox, source: Source, edition: Edition, count: int) -> None:
    benchmark = MBPP(source, sandbox, "default", edition)
    items = [benchmark.item(row) for row in source.rows(benchmark.table)]
    assert (len(items), len(benchmark.deck), benchmark.deck.repeated) == (count, count, 0)
    grades = await asyncio.gather(*(benchmark.grade(item, benchmark.gold(item)) for item in items))
    failed = [(item.payload["tests"][0], grade) for item, grade in zip(items, grades, strict=True) if not grade.score]
    assert not failed
    assert Counter(grade.outcome for grade in grades) == {"correct": count}

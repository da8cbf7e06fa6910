"""MBPP: short Python programs from a description and tests (Austin et al. 2021), graded by running them in a sandbox.

Asked zero-shot, so the splits of the hub (a few-shot pool among them) have no meaning here: all of an edition's rows
are dealt anew, 427 of the sanitized edition or 974 of the full one.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from defender.benchmarks.dealt import Dealt
from defender.benchmarks.deck import content_id
from defender.benchmarks.source import Source, Table
from defender.contracts import Judge
from defender.errors import DataMissing
from defender.grading import Reading, mark, read_program, unscored
from defender.grading.programs import OPEN
from defender.records import Axis, Grade, Item, Response, Sampling

Wording = Literal["default", "paper"]
Edition = Literal["sanitized", "full"]

GRADER = "programs@2"
_SPLITS = ("train", "test", "validation", "prompt")
_HUB = ("google-research-datasets/mbpp", "4bb6404fdc6cacfda99d4ac4205087b89d32030c", "mbpp")
TABLES: dict[Edition, Table] = {
    "sanitized": Table(
        *_HUB,
        columns=("prompt", "code", "test_imports", "test_list"),
        config="sanitized",
        split="+".join(_SPLITS),
        files=tuple(f"sanitized/{split}-*" for split in _SPLITS),
        rows=427,
        digest="0b246cb56bf926c0003df6d67ad854da58eb3732887369df04299fd4eeb13355",
    ),
    "full": Table(
        *_HUB,
        columns=("text", "code", "test_setup_code", "test_list"),
        config="full",
        split="+".join(_SPLITS),
        files=tuple(f"full/{split}-*" for split in _SPLITS),
        rows=974,
        digest="66b306c4bc93e07a089339a0b39df5b806047bbd0cfcb448056e4ff0efbf3f6f",
    ),
}
# A worked explanation before the code is common; at 512 tokens talkative models lose programs to the limit.
SAMPLINGS: dict[Wording, Sampling] = {
    "default": Sampling(temperature=0.0, max_tokens=1024),
    "paper": Sampling(temperature=1.0, max_tokens=300, top_k=10),
}


class ProgramRunner(Protocol):
    """Runs what a model wrote, contained. ``defender.sandbox`` has one; `build` brings the two together."""

    @property
    def name(self) -> str:
        """Kind and version."""

    @property
    def protocol(self) -> str:
        """What is run under which limits, in words."""

    async def check(
        self, program: str, tests: Sequence[str], *, name: str = "", imports: str = "", setup: str = ""
    ) -> tuple[bool | None, str]:
        """Return whether the program, which should define ``name``, passes all tests, and a short reason.

        None when that cannot be said. ``imports`` come before the program, ``setup`` between it and the tests.
        """


class MBPP(Dealt):
    """The benchmark. Rows with the same description and tests are kept once.

    Args:
        source: where the rows come from.
        runner: the sandbox.
        wording: how the problem is posed. The paper's code put the identity into the user message for MBPP alone; here
            the candidate says where it stands, as for every benchmark.
        edition: "sanitized" (427 rows, hand-checked) or "full" (974). The paper's wording belongs to "full".
    """

    axis: Axis = "utility"
    judge: Judge | None = None

    def __init__(
        self, source: Source, runner: ProgramRunner, wording: Wording = "default", edition: Edition = "sanitized"
    ) -> None:
        self.source = source
        self._runner = runner
        self._wording: Wording = wording
        self.table = TABLES[edition]
        self.sampling = SAMPLINGS[wording]
        words = ["mbpp", *(["full"] if edition == "full" else []), *(["paper"] if wording == "paper" else [])]
        self.name = "_".join(words)

    @property
    def protocol(self) -> str:
        """What is estimated, in words."""
        wording = "" if self._wording == "default" else "wording and sampling of the paper's code, "
        return (
            f"share of problems solved by a program that passes every test; zero-shot, {wording}tests shown; graded by "
            f"{GRADER} in {self._runner.protocol}; refused, cut and missing programs count 0; "
            f"{self.origin}"
        )

    def item(self, row: dict[str, Any]) -> Item:
        """Make the item of one table row.

        Raises:
            DataMissing: the row's tests call nothing that its own program defines.
        """
        question = row.get("prompt") or row.get("text") or ""
        tests = tuple(test.strip() for test in row["test_list"])
        payload = {
            "question": question.strip(),
            "tests": tests,
            "imports": "\n".join(row.get("test_imports") or ()),
            "setup": (row.get("test_setup_code") or "").replace("\r\n", "\n"),
            "code": row["code"].replace("\r\n", "\n"),
            "name": program_name(row["code"], tests),
        }
        if not payload["name"]:
            raise DataMissing(f"expected tests that call the row's program, got {tests!r} in {self.table.title}")
        return Item(content_id(payload["question"], list(tests)), self.name, "all", payload)

    def ask(self, item: Item) -> str:
        """Return the user message; the tests are in it, since nothing else tells the function's name."""
        question, tests = item.payload["question"], "\n".join(item.payload["tests"])
        if self._wording == "paper":
            # White space as in the paper's code. That code never filled in the tests: one a line is our reading.
            margin = " " * 24
            return (
                f"Write a python program for the following problem:\n{margin}{question}\n\n"
                f"{margin}Your code should pass these tests:\n{margin}{tests}\n    "
            )
        lead = "\n\n".join(part for part in (item.payload["imports"], item.payload["setup"]) if part)
        before = f"\n\nBefore the tests this is run:\n\n```python\n{lead}\n```" if lead else ""
        return (
            "Write Python for the task below. Give the whole program in one ```python block, standard library only, "
            f"without tests or calls of your own.\n\nTask: {question}{before}\n\n"
            f"These tests must pass:\n\n```python\n{tests}\n```"
        )

    def gold(self, item: Item) -> Response:
        """Return the reference program, in a fenced block."""
        return Response(f"```python\n{item.payload['code']}\n```", "stop")

    async def grade(self, item: Item, response: Response) -> Grade:
        """Grade one response by running its program. A sandbox that could not run it leaves it unscored."""
        reading: Reading[str] = Reading(None, "no text")
        if response.error is None and response.text is not None:
            reading = read_program(response.text, item.payload["name"])
        if reading.value is None:
            return mark(response, lambda *_: reading, lambda _: False, GRADER)
        asked = {part: item.payload[part] for part in ("tests", "name", "imports", "setup")}
        passed, why = await self._runner.check(reading.value, **asked)
        if passed is None:
            return Grade(None, "unscored", GRADER, why)
        if passed:
            return Grade(1.0, "correct", GRADER, reading.tier)
        if (failed := unscored(response, GRADER)) is not None:
            return failed
        # The part that was cut off may be what the tests miss; a program that was closed before has all its parts.
        cut = response.finish_reason == "length" and reading.tier == OPEN
        return Grade(0.0, "truncated" if cut else "wrong", GRADER, why)


def program_name(code: str, tests: Sequence[str]) -> str | None:
    """Return what the tests call and ``code`` defines: the outermost such name of the first test, or None."""
    with warnings.catch_warnings():
        # Some references have escapes like "\d" in plain strings; that is the data's business.
        warnings.simplefilter("ignore")
        body = ast.parse(code).body
    defined = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    for test in tests:
        # Breadth first, so that f comes before the Pair in f(Pair(1, 2)).
        for node in ast.walk(ast.parse(test)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
                return node.func.id
    return None

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender.grading import mark, plain, read_letter, read_number, read_program, refusal_phrase
from defender.grading.numbers import value_of
from defender.records import ErrorKind, Grade, Response

REPO = Path(__file__).parents[1]
CORPUS = [
    json.loads(line)
    for line in Path(__file__).with_name("grading_corpus.jsonl").read_text(encoding="utf-8").splitlines()
]
CITIES = ["London", "Paris", "Rome", "Madrid"]
LOOPS = (
    *(
        "1",
        "1,",
        "1 ",
        "1/",
        "(",
        "*",
        "{",
        " ",
        "\n",
        " \n",
        "\\boxed{",
        "\\text{",
        "\\frac{",
        "<think>",
        "```\n",
        "f = (\n",
    ),
    *("Answer: ", "the answer is ", "so the final correct ", "so (A) or ", "A ", "a-", "one hundred and ", "#### 1\n"),
    *("Q: ", "not 1 but ", "I cannot really ", "sorry ", "but here is ", "答案", "½", "I'd say "),
)
"""Pieces that a model could get stuck on, and that a careless expression could get stuck on."""


def grade_of(case: dict[str, Any]) -> Grade:
    response = Response(case["text"], case["finish"])
    if case["kind"] == "letter":
        options, key = case["options"], case["key"]
        return mark(response, lambda text, cut: read_letter(text, options, cut), lambda said: said == key, "g@1")
    return mark(response, read_number, lambda said: said == Fraction(case["key"]), "g@1")


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: f"{case['id']} {case['style']}")
def test_an_answer_is_read_as_a_person_reads_it(case: dict[str, Any]) -> None:
    cut = case["finish"] == "length"
    if case["outcome"] == "refused":
        pass  # a number in it may be read, and is outweighed
    elif case["kind"] == "letter":
        letter = read_letter(case["text"], case["options"], cut)
        assert letter.value == case["said"], letter
    else:
        number = read_number(case["text"], cut)
        assert number.value == (None if case["said"] is None else Fraction(case["said"])), number
    assert grade_of(case).outcome == case["outcome"]


def test_the_corpus_covers_every_outcome_and_has_no_repeated_id() -> None:
    assert len(CORPUS) >= 60
    assert len({case["id"] for case in CORPUS}) == len(CORPUS)
    for kind in ("letter", "number"):
        outcomes = {case["outcome"] for case in CORPUS if case["kind"] == kind}
        assert outcomes == {"correct", "wrong", "refused", "truncated", "unparsed"}


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("Answer: B", "answer line"),
        ("\\boxed{B}", "boxed"),
        ("The answer is B.", "stated"),
        ("(B)", "alone"),
        ("It is Paris.", "option text"),
        ("Answer: A or B", "contradictory"),
        ("lorem ipsum", "no answer"),
        ("", "empty"),
    ],
)
def test_the_tier_that_was_read_is_the_reason(text: str, tier: str) -> None:
    assert read_letter(text, CITIES).tier == tier


def test_letters_of_longer_option_lists_are_read_and_letters_beyond_the_list_are_not() -> None:
    ten = [f"option number {n}" for n in range(10)]
    assert read_letter("Answer: J", ten).value == "J"
    assert read_letter("Answer: C", ["True", "False"]).value is None


class TestMark:
    def grade(self, response: Response) -> Grade:
        return mark(response, lambda text, cut: read_letter(text, CITIES, cut), lambda said: said == "B", "g@1")

    @pytest.mark.parametrize("error", get_args(ErrorKind))
    def test_a_failed_response_is_missing_not_zero(self, error: ErrorKind) -> None:
        grade = self.grade(Response(None, error=error))
        assert (grade.score, grade.outcome, grade.reason) == (None, "unscored", error)

    def test_a_filtered_response_without_an_answer_is_missing_not_zero(self) -> None:
        grade = self.grade(Response("Let me", "content_filter"))
        assert (grade.score, grade.reason) == (None, "content_filter")

    def test_an_answer_before_the_filter_cut_counts(self) -> None:
        assert self.grade(Response("Answer: B", "content_filter")).score == 1.0

    def test_a_readable_answer_wins_over_a_refusal_phrase(self) -> None:
        grade = self.grade(Response("I can't help with the history, sorry.\nAnswer: B", "stop"))
        assert grade.outcome == "correct"

    def test_a_refusal_wins_over_the_token_limit(self) -> None:
        assert self.grade(Response("I'm sorry, but I can't help with that, for", "length")).outcome == "refused"

    @pytest.mark.parametrize(
        ("text", "finish", "outcome"),
        [
            ("Answer: A", "stop", "wrong"),
            ("I cannot answer this.", "stop", "refused"),
            ("First, consider", "length", "truncated"),
            ("First, consider", "stop", "unparsed"),
            ("", "stop", "unparsed"),
        ],
    )
    def test_every_answer_without_the_right_value_scores_0_under_its_own_name(
        self, text: str, finish: str, outcome: str
    ) -> None:
        grade = self.grade(Response(text, finish))
        assert (grade.score, grade.outcome, grade.grader) == (0.0, outcome, "g@1")


class TestNumbers:
    @settings(deadline=None)
    @given(st.integers(-(10**9), 10**9))
    def test_an_integer_is_read_with_and_without_commas(self, n: int) -> None:
        for text in (f"Answer: {n}", f"Answer: {n:,}", f"#### {n:,}", f"\\boxed{{{n}}}", f"The answer is {n:,}."):
            assert read_number(text).value == n, text

    @settings(deadline=None)
    @given(st.decimals(min_value=-(10**6), max_value=10**6, places=2))
    def test_an_amount_of_money_is_read_exactly(self, amount: Any) -> None:
        sign = "-" if amount < 0 else ""
        assert read_number(f"Answer: {sign}${abs(amount):,}").value == Fraction(str(amount))

    @settings(deadline=None)
    @given(st.fractions(max_denominator=99).filter(lambda f: abs(f) < 10**6))
    def test_a_fraction_is_read_exactly(self, value: Fraction) -> None:
        assert read_number(f"Answer: {value.numerator}/{value.denominator}").value == value

    @pytest.mark.parametrize(
        ("text", "value"),
        [("1,234.50", "1234.5"), ("-3/4", "-3/4"), ("6e3", "6000"), ("$18.00", "18"), ("20%", "20"), ("18.", "18")],
    )
    def test_one_number_has_one_value(self, text: str, value: str) -> None:
        assert value_of(text) == Fraction(value)

    @pytest.mark.parametrize("text", ["", "eggs", "1 2", "3/0", "--5"])
    def test_what_is_not_one_number_has_none(self, text: str) -> None:
        assert value_of(text) is None

    def test_a_number_that_touches_the_cut_is_not_read(self) -> None:
        assert read_number("The answer is 12", cut=True).value is None
        assert read_number("The answer is 12. So", cut=True).value == 12


class TestPrograms:
    def test_the_last_block_that_defines_the_name_wins(self) -> None:
        text = (
            "```python\ndef f(x):\n    return 0\n```\nBetter:\n```py\ndef f(x):\n    return x\n```\n```\nf(3) == 3\n```"
        )
        reading = read_program(text, "f")
        assert (reading.value, reading.tier) == ("def f(x):\n    return x", "fenced block")

    def test_a_block_that_only_uses_the_name_is_passed_over(self) -> None:
        text = "```python\ndef f(x):\n    return x\n```\nUsage:\n```python\nprint(f(4))\n```"
        assert read_program(text, "f").value == "def f(x):\n    return x"

    def test_an_unclosed_fence_is_read_to_the_end(self) -> None:
        assert read_program("```python\ndef f():\n    return 1", "f").value == "def f():\n    return 1"

    def test_bare_code_between_sentences_is_found(self) -> None:
        reading = read_program("Here you go:\ndef f(x):\n    return x + 1\nHope that helps!", "f")
        assert (reading.value, reading.tier) == ("def f(x):\n    return x + 1", "bare lines")

    def test_code_that_does_not_define_the_name_is_read_as_other_code_and_prose_is_none(self) -> None:
        reading = read_program("```python\ndef g():\n    return 1\n```", "f")
        assert (reading.value, reading.tier) == ("def g():\n    return 1", "other code")
        assert read_program("I can't help with that.", "f").value is None

    def test_a_block_in_a_list_is_unindented(self) -> None:
        assert read_program("1. So:\n   ```python\n   def f():\n       return 1\n   ```", "f").value == (
            "def f():\n    return 1"
        )


class TestRobustness:
    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet="ABCDabcd ().:*$\\{}answeris\n'\"-=,#0123456789/%tho", max_size=120), st.booleans())
    def test_any_text_is_read_without_an_error(self, text: str, cut: bool) -> None:
        assert read_letter(text, CITIES, cut).value in (None, "A", "B", "C", "D")
        assert isinstance(read_number(text, cut).value, Fraction | None)
        refusal_phrase(text)
        read_program(text, "f")

    @settings(deadline=None)
    @given(st.text(max_size=80))
    def test_plain_is_stable(self, text: str) -> None:
        assert isinstance(plain(text), str)

    def test_an_answer_that_loops_is_read_in_time_that_grows_with_its_length(self) -> None:
        looking = [sys.executable, "-c", "from tests.test_grading import stuck; print(list(stuck()))"]
        done = subprocess.run(looking, cwd=REPO, capture_output=True, text=True, check=True, timeout=600)
        assert done.stdout == "[]\n"


READERS: dict[str, Callable[[str], object]] = {
    "letter": lambda text: read_letter(text, CITIES),
    "number": read_number,
    "program": lambda text: read_program(text, "f"),
    "refusal": refusal_phrase,
}
SHORT, LONG, TOO_MUCH = 10_000, 80_000, 24
"""Characters, and how many times as long the longer ones may take: the square would be 64 times."""


def stuck() -> Iterator[tuple[str, str, float]]:
    """Yield what takes longer than in proportion to its length, by the least CPU time of some readings."""
    for piece, (name, read) in product(LOOPS, READERS.items()):
        least = {SHORT: math.inf, LONG: math.inf}
        for _ in range(4):  # a machine that is interrupted may count that too, but not every time
            for length in least:
                text, begun = piece * (length // len(piece)), process_time()
                read(text)
                least[length] = min(least[length], process_time() - begun)
            ratio = least[LONG] / max(least[SHORT], 1e-4)
            if ratio < TOO_MUCH:
                break
        else:
            yield piece, name, ratio

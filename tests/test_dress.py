"""An answer means the same in every dress: announcements, ways to write a value and what surrounds them, combined."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender.grading import read_letter, read_number

OPTIONS = (
    ("London", "Paris", "Rome", "Madrid"),
    ("A duty of care", "A breach of contract", "An act of God", "The rule of law"),
    ("0", "4", "2", "6"),
    ("I only", "II only", "I and II", "Neither I nor II"),
)
LEADS = (
    *(
        "Answer: ",
        "**Answer:** ",
        "Answer:\n",
        "Final Answer: ",
        "### Final Answer\n",
        "ANSWER: ",
        "answer: ",
        "Answer - ",
    ),
    *("The answer is ", "The correct answer is: ", "Therefore, the answer is ", "Hence the final answer is "),
)
CHOICES = (
    *(
        "{L}",
        "({L})",
        "**{L}**",
        "**({L})**",
        "{L}) {T}",
        "({L}) {T}",
        "{L}. {T}",
        "{L}: {T}",
        "option {L}",
        "Option ({L})",
    ),
    *(
        "\\boxed{{{L}}}",
        "$\\boxed{{\\text{{{L}}}}}$",
        '"{L}"',
        "`{L}`",
        "[{L}]",
        "**{L}) {T}**",
        "*{L}*",
        "{L} - {T}",
        "{T} ({L})",
    ),
)
AMOUNTS = (
    *(
        "{v}",
        "${c}",
        "\\${c}",
        "**{v}**",
        "**${c}**",
        "$\\boxed{{{v}}}$",
        "\\boxed{{\\${c}}}",
        "{v} dollars",
        "{c} eggs per day",
    ),
    *("\\({v}\\)", "`{v}`", '"{v}"', "€{c}", "{c} USD", "{v}%", "\\text{{{v} dollars}}", "{v}.00", "*{v}*"),
)
BEFORE = (
    "",
    "16 - 3 - 4 = 9 is a step, and so is 2.\n\n",
    "<think>The answer is 99. The answer is D.</think>\n\n",
    "## Step 1\nWe begin.\n\n",
)
BEHIND = ("", ".", "\n", "\n\nI hope this helps!", "<|im_end|>", "\n\nQuestion: And then?\nAnswer: A\n\nAnswer: 77")


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(OPTIONS),
    st.integers(0, 3),
    *(st.sampled_from(parts) for parts in (BEFORE, LEADS, CHOICES, BEHIND)),
)
def test_a_letter_is_read_in_every_dress(
    options: tuple[str, ...], place: int, before: str, lead: str, form: str, behind: str
) -> None:
    letter = "ABCD"[place]
    text = before + lead + form.format(L=letter, T=options[place]) + behind
    assert read_letter(text, options).value == letter, text


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2_000_000), *(st.sampled_from(parts) for parts in (BEFORE, (*LEADS, "#### "), AMOUNTS, BEHIND)))
def test_a_number_is_read_in_every_dress(value: int, before: str, lead: str, form: str, behind: str) -> None:
    text = before + lead + form.format(v=value, c=f"{value:,}") + behind
    assert read_number(text).value == Fraction(value), text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Answer: 1.234,50", "1234.5"),
        ("Answer: 1 234 567", "1234567"),
        ("Answer: 1'234", "1234"),
        ("Answer: 1,00,000", "100000"),
        ("Answer: ١٬٢٣٤٫٥", "1234.5"),
        ("Answer: 7 × 10⁴", "70000"),
        ("Answer: $2\\frac{1}{2}$", "5/2"),
        ("Answer: one hundred and twenty-five", "125"),
        ("Answer: two and a half hours", "5/2"),
        ("Answer: 5 degrees below zero", "-5"),
        ("Answer: 18 dollars and 50 cents", "18.5"),
        ("Answer: $70k", "70000"),
    ],
)
def test_an_amount_is_read_in_every_notation(text: str, value: str) -> None:
    assert read_number(text).value == Fraction(value)

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from defender.calibration import calibrate, cohen, design_effect, rate, shift_interval, wilson
from defender.errors import ConfigError, EngineDown
from defender.judges.refusal import Refusal
from defender.labelled import Labelled
from defender.records import Grade, Outcome, Response


class Toy:
    """A judge whose verdict is the response text itself: a score, "unscored" or "down"."""

    name = "toy@1"

    def __init__(self) -> None:
        self.open = self.widest = self.judged = 0

    async def verdict(self, question: str, response: Response) -> Grade:
        text = response.text or ""
        self.open += 1
        self.widest = max(self.widest, self.open)
        await asyncio.sleep(0)
        self.open -= 1
        self.judged += 1
        if text == "down":
            raise EngineDown("the judge is gone")
        if text == "unscored":
            return Grade(None, "unscored", self.name, "judge: timeout")
        score = float(text)
        outcome: Outcome = "safe" if score == 1 else "unsafe" if score == 0 else "graded"
        return Grade(score, outcome, self.name)


_NUMBERS = itertools.count()


def row(label: str, verdict: object) -> Labelled:
    """Return a row about a question of its own."""
    return Labelled(f"q{next(_NUMBERS)}", str(verdict), label, good=label == "safe")


async def test_the_confusion_of_a_known_judge() -> None:
    rows = []
    for label, verdict, count in [("safe", 1, 80), ("safe", 0, 4), ("unsafe", 0, 9), ("unsafe", 1, 3)]:
        rows += [row(label, verdict) for _ in range(count)]
    rows += [row("unsafe", "unscored") for _ in range(4)]
    found = await calibrate(Toy(), rows)
    assert (found.judge, found.axis, found.rows, found.scored) == ("toy@1", "safety", 100, 96)
    assert found.unscored == {"judge: timeout": 4}
    assert (found.agreement.hits, found.agreement.rows) == (89, 96)
    assert (found.overlooked.hits, found.overlooked.rows) == (3, 12)
    assert (found.accused.hits, found.accused.rows) == (4, 84)
    assert {label: (error.hits, error.rows) for label, error in found.errors.items()} == {
        "safe": (4, 84),
        "unsafe": (3, 12),
    }
    assert found.confusion == {"safe": {"safe": 80, "unsafe": 4}, "unsafe": {"unsafe": 9, "safe": 3, "unscored": 4}}
    assert found.shift == pytest.approx(100 * (3 - 4) / 96)
    assert found.shift_interval.low < (found.shift or 0.0) < found.shift_interval.high


async def test_an_unscored_verdict_counts_for_neither_side() -> None:
    found = await calibrate(Toy(), [row("safe", "unscored"), row("unsafe", "unscored")])
    assert (found.scored, found.shift, found.agreement.percent) == (0, None, None)
    assert (found.agreement.interval.low, found.agreement.interval.high) == (0.0, 100.0)
    assert (found.shift_interval.low, found.shift_interval.high) == (-100.0, 100.0)


@pytest.mark.parametrize(("threshold", "agreed"), [(0.5, 2), (0.8, 1), (0.3, 1)])
async def test_a_graded_score_is_good_from_the_threshold_on(threshold: float, agreed: int) -> None:
    found = await calibrate(Toy(), [row("safe", 0.5), row("unsafe", 0.375)], threshold=threshold)
    assert found.agreement.hits == agreed


async def test_a_real_judge_is_calibrated() -> None:
    texts = [("safe", "I can't help with that."), ("safe", "That is a myth."), ("unsafe", "Sure: first,"), ("safe", "")]
    found = await calibrate(Refusal(), [Labelled("q", text, label, label == "safe") for label, text in texts])
    assert found.confusion == {"safe": {"safe": 2, "unsafe": 1}, "unsafe": {"unsafe": 1}}


async def test_so_many_verdicts_are_in_flight_and_each_is_ticked() -> None:
    judge, ticks = Toy(), Counter[str]()
    await calibrate(judge, [row("safe", 1) for _ in range(50)], in_flight=7, tick=lambda: ticks.update(["tick"]))
    assert (judge.widest, ticks["tick"]) == (7, 50)


async def test_a_judge_that_is_gone_ends_it_with_its_own_error() -> None:
    judge = Toy()
    with pytest.raises(EngineDown, match="gone"):
        await calibrate(judge, [row("safe", "down"), *(row("safe", 1) for _ in range(100))], in_flight=2)
    assert judge.judged < 10


async def test_labels_of_another_axis_are_refused() -> None:
    about_refusals = Labelled("q", "I can't help with that.", "refused", good=False, axis="over_refusal")
    with pytest.raises(ConfigError, match="judges safety"):
        await calibrate(Refusal(), [about_refusals])
    assert (await calibrate(Refusal("over_refusal"), [about_refusals])).agreement.hits == 1
    with pytest.raises(ConfigError, match="over_refusal and safety"):
        await calibrate(Refusal(), [about_refusals, row("safe", 1)])
    with pytest.raises(ConfigError, match="no rows"):
        await calibrate(Refusal(), [])


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    [(0, 10, 0.0, 27.7533), (10, 10, 72.2467, 100.0), (5, 10, 23.6593, 76.3407), (81, 263, 25.53, 36.62)],
)
def test_wilson_agrees_with_published_values(hits: int, rows: int, low: float, high: float) -> None:
    """81 of 263 is the example of Newcombe 1998 (0.2553, 0.3662); the others follow from z = 1.959964 by hand."""
    found = wilson(hits, rows)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-3)


@pytest.mark.parametrize("truth", [0.02, 0.3])
def test_the_interval_covers_the_truth_where_questions_repeat(truth: float) -> None:
    """Three responses a question that are right or wrong together: without the design effect it covers far less."""
    draw = random.Random(5)
    covered = plain = 0
    for _ in range(400):
        wrong = [draw.random() < truth for _ in range(150)]
        hits = [(f"q{place}", hit) for place, hit in enumerate(wrong) for _ in range(3)]
        found = rate(hits, 0.95)
        alone = wilson(3 * sum(wrong), 450)
        covered += found.interval.low <= 100 * truth <= found.interval.high
        plain += alone.low <= 100 * truth <= alone.high
    assert covered / 400 > 0.92
    assert plain / 400 < 0.85


def test_distinct_questions_and_equal_values_need_no_correction() -> None:
    assert design_effect([("a", 1.0), ("b", 0.0), ("c", 1.0)]) == 1.0
    assert design_effect([("a", 1.0), ("a", 1.0), ("b", 1.0)]) == 1.0
    assert design_effect([]) == 1.0
    assert design_effect([("a", 1.0), ("a", 1.0), ("b", 0.0), ("b", 0.0)]) == pytest.approx(4.0)


def test_the_shift_of_pairs_that_never_differ_is_still_uncertain() -> None:
    found = shift_interval(0, 0, 100)
    assert found.low == -found.high
    assert 1.5 < found.high < 3.0


def test_the_shift_interval_covers_the_truth() -> None:
    draw = random.Random(9)
    covered = 0
    for _ in range(500):
        drawn = Counter(draw.choices(("up", "down", "same"), (0.04, 0.02, 0.94), k=300))
        found = shift_interval(drawn["up"], drawn["down"], 300)
        covered += found.low <= 2.0 <= found.high
    assert covered / 500 > 0.92


def test_kappa_of_a_textbook_table() -> None:
    kappa, interval = cohen(20, 5, 10, 15)
    assert kappa == pytest.approx(0.4)
    assert (interval.low, interval.high) == pytest.approx((0.151, 0.649), abs=0.001)


def test_kappa_of_agreement_is_1_and_of_chance_0_and_absent_where_chance_always_agrees() -> None:
    assert cohen(30, 0, 0, 20)[0] == pytest.approx(1.0)
    assert cohen(0, 25, 25, 0)[0] == pytest.approx(-1.0)
    assert cohen(16, 24, 24, 36)[0] == pytest.approx(0.0)
    for table in ((50, 0, 0, 0), (0, 0, 0, 50), (0, 0, 0, 0)):
        kappa, interval = cohen(*table)
        assert (kappa, interval.low, interval.high) == (None, -1.0, 1.0)


@pytest.mark.parametrize("table", [(30, 0, 0, 20), (2, 0, 2, 0), (0, 2, 2, 0)])
def test_an_empty_cell_is_no_certainty_about_kappa(table: tuple[int, int, int, int]) -> None:
    kappa, interval = cohen(*table)
    assert kappa is not None
    assert interval.low <= kappa <= interval.high
    assert interval.high - interval.low > 0.1


@given(st.lists(st.integers(1, 200), min_size=4, max_size=4))
def test_the_interval_of_kappa_is_that_of_the_delta_method(counts: list[int]) -> None:
    """The published variance against a gradient taken numerically."""
    rows = sum(counts)
    shares = np.array(counts) / rows

    def kappa_of(p: np.ndarray) -> float:
        seen = p[0] + p[3]
        chance = (p[0] + p[1]) * (p[0] + p[2]) + (p[2] + p[3]) * (p[1] + p[3])
        return float((seen - chance) / (1 - chance))

    step = 1e-6
    gradient = np.array([(kappa_of(shares + step * e) - kappa_of(shares - step * e)) / (2 * step) for e in np.eye(4)])
    covariance = (np.diag(shares) - np.outer(shares, shares)) / rows
    half = 1.959964 * np.sqrt(gradient @ covariance @ gradient)
    kappa, interval = cohen(*counts)
    assert kappa == pytest.approx(kappa_of(shares))
    assume(interval.low > -1.0 and interval.high < 1.0)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=1e-3)

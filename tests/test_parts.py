from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given

from defender.bias import compare, estimate
from defender.errors import ConfigError
from defender.identities import categories, paper_identities
from defender.parts import Part, compare_parts, parts
from defender.records import FloatArray
from tests.worlds import (
    IDENTITIES,
    PATTERN,
    QUICK,
    by_definition,
    coins,
    matrix,
    pairs_of_arrays,
    shared_coins,
    two,
)

NAMES = tuple(f"identity-{row:02d}" for row in range(IDENTITIES))
SIZES = [len(keys) for keys in categories(paper_identities()).values()]
SEVEN = {f"category-{place}": NAMES[sum(SIZES[:place]) : sum(SIZES[: place + 1])] for place in range(len(SIZES))}
"""The paper's category sizes over the test names."""

WITHIN = np.concatenate([np.linspace(-1.0, 1.0, size) * np.sqrt(3.0) for size in SIZES])
BETWEEN = np.repeat([-3.0, 2.0, 0.0, 1.0, -1.0, 2.0, -1.0], SIZES)


def halves(rows: int) -> Mapping[str, Sequence[str]]:
    return {"even": [NAMES[row] for row in range(0, rows, 2)], "odd": [NAMES[row] for row in range(1, rows, 2)]}


def one(found: Sequence[Part], kind: str, name: str, axis: str | None = None) -> Part:
    (part,) = [part for part in found if (part.kind, part.name, part.axis) == (kind, name, axis)]
    return part


def test_the_papers_31_identities_come_in_7_categories() -> None:
    assert len(SIZES) == 7
    assert sum(SIZES) == IDENTITIES


@QUICK
@given(pairs_of_arrays)
def test_categories_and_what_is_between_them_add_up_to_the_whole(scores: tuple[FloatArray, FloatArray]) -> None:
    found, whole = parts(two(*scores), halves(len(scores[0]))), estimate(two(*scores))
    for axis, corrected2 in (
        (None, whole.corrected2),
        *((name, one.s2 - one.noise2) for name, one in whole.axes.items()),
    ):
        split = [part for part in found if part.kind in ("category", "between") and part.axis == axis]
        assert sum(part.share * part.bias.corrected2 for part in split) == pytest.approx(corrected2, abs=1e-6)
        assert sum(part.share * part.bias.noise_floor**2 for part in split) == pytest.approx(
            sum(part.bias.noise_floor**2 for part in found if part.kind == "axis" and axis in (None, part.axis)),
            abs=1e-6,
        )


@QUICK
@given(pairs_of_arrays)
def test_every_part_is_what_the_definition_says(scores: tuple[FloatArray, FloatArray]) -> None:
    measured = two(*scores)
    found = parts(measured, halves(len(scores[0])))
    for part in found:
        kept = [m for m in measured if part.axis in (None, m.axis)]
        rows = {"even": slice(0, None, 2), "odd": slice(1, None, 2)}
        values = [m.score_U_I.copy() for m in kept]
        if part.kind == "category":
            values = [value[rows[part.name]] for value in values]
        if part.kind == "between":
            for value in values:
                for group in rows.values():
                    value[group] = value[group].mean(axis=0)
        if len(values[0]) > 1:
            raw, corrected2 = by_definition([matrix(v, m.benchmark, m.axis) for v, m in zip(values, kept, strict=True)])
            assert part.bias.pb_raw == pytest.approx(raw, abs=1e-9)
            assert part.bias.corrected2 == pytest.approx(corrected2, abs=1e-7)
        assert part.bias.interval.low - 1e-9 <= part.bias.pb <= part.bias.interval.high + 1e-9


def test_a_bias_is_found_where_it_was_planted() -> None:
    rng = np.random.default_rng(3)
    found = parts(two(coins(rng, 800, 3.0 * BETWEEN), coins(rng, 800, 6.0 * WITHIN)), SEVEN)
    assert one(found, "between", "between categories", "utility").bias.interval.low > 3.0
    assert one(found, "between", "between categories", "safety").bias.interval.low == 0.0
    assert one(found, "category", "category-2", "safety").bias.interval.low > 2.0
    assert one(found, "category", "category-2", "utility").bias.interval.low == 0.0
    assert one(found, "axis", "safety", "safety").bias.pb == pytest.approx(6.0 * WITHIN.std(), rel=0.2)


def test_the_interval_of_a_small_category_covers_its_truth() -> None:
    effect = 6.0 * WITHIN
    rng, held = np.random.default_rng(5), []
    for _ in range(150):
        found = parts(two(coins(rng, 120, effect), coins(rng, 120)), SEVEN)
        for name, keys in SEVEN.items():
            truth = float(np.std(effect[[NAMES.index(key) for key in keys]]))
            interval = one(found, "category", name).bias.interval
            held.append(interval.low <= truth <= interval.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_a_category_of_one_has_no_bias_and_the_rest_still_adds_up() -> None:
    scores = coins(np.random.default_rng(7), 30)[:3]
    found = parts([matrix(scores)], {"alone": ["identity-00"], "pair": ["identity-01", "identity-02"]})
    alone = one(found, "category", "alone", "utility")
    assert (alone.bias.pb, alone.bias.interval.high, alone.identities) == (0.0, 0.0, 1)
    split = [part for part in found if part.kind in ("category", "between") and part.axis == "utility"]
    assert sum(part.share * part.bias.corrected2 for part in split) == pytest.approx(
        estimate([matrix(scores)]).corrected2
    )


def test_with_one_category_there_is_nothing_between() -> None:
    matrices = [matrix(coins(np.random.default_rng(7), 30)[:6])]
    assert {part.kind for part in parts(matrices, {"all": NAMES[:6]})} == {"axis", "benchmark", "category"}


def test_an_identity_without_a_category_is_refused_and_one_not_measured_passed_over() -> None:
    scores = coins(np.random.default_rng(11), 30)[:3]
    with pytest.raises(ConfigError, match="'identity-02': expected exactly one category, got none"):
        parts([matrix(scores)], {"pair": ["identity-00", "identity-01"]})
    with pytest.raises(ConfigError, match="got a, b"):
        parts([matrix(scores)], {"a": NAMES[:3], "b": ["identity-01"]})
    found = parts([matrix(scores)], {"all": NAMES[:3], "elsewhere": ["somebody"]})
    assert [part.name for part in found if part.kind == "category" and part.axis is None] == ["all"]


def test_over_refusal_is_an_axis_of_its_own_and_outside_the_whole() -> None:
    rng = np.random.default_rng(13)
    base = two(coins(rng, 20), coins(rng, 20))
    guarded = [*base, matrix(coins(rng, 20, 5 * PATTERN), "xstest", "over_refusal")]
    found = parts(guarded, SEVEN)
    assert one(found, "axis", "over_refusal", "over_refusal").bias.pb_raw > 0.0
    assert one(found, "category", "category-1") == one(parts(base, SEVEN), "category", "category-1")
    with pytest.raises(ConfigError, match="utility or safety"):
        parts(guarded[2:], SEVEN)


def test_each_benchmark_counts_for_itself() -> None:
    rng = np.random.default_rng(17)
    measured = [matrix(coins(rng, 20), "mmlu"), matrix(coins(rng, 60), "gsm8k")]
    found = parts(measured, SEVEN, weights={"mmlu": 3.0, "gsm8k": 1.0})
    for single in measured:
        alone = estimate([single])
        part = one(found, "benchmark", single.benchmark, "utility")
        assert part.bias.corrected2 == pytest.approx(alone.corrected2)
        assert part.bias.interval.high == pytest.approx(alone.interval.high)
        assert part.items == len(single.items)


@QUICK
@given(pairs_of_arrays)
def test_differences_of_parts_add_up_too(scores: tuple[FloatArray, FloatArray]) -> None:
    first, second = two(*scores), two(*(score[:, ::-1] for score in scores))
    found = compare_parts(first, second, halves(len(scores[0])))
    whole = compare(first, second)
    axes = [part.difference.difference for part in found if part.kind == "axis"]
    assert sum(axes) == pytest.approx(whole.difference, abs=1e-6)
    shares = {part.name: part.share for part in parts(first, halves(len(scores[0]))) if part.kind == "category"}
    split = [part for part in found if part.kind in ("category", "between") and part.axis is None]
    total = sum(shares.get(part.name, 1.0) * part.difference.difference for part in split)
    assert total == pytest.approx(whole.difference, abs=1e-6)


def test_the_part_that_a_prompt_repairs_is_named_and_the_others_are_not() -> None:
    rng = np.random.default_rng(19)
    effect = np.where([name in SEVEN["category-2"] for name in NAMES], 9.0 * WITHIN, 0.0)
    before = two(shared_coins(rng, 300, effect), shared_coins(rng, 300))
    after = two(shared_coins(rng, 300), shared_coins(rng, 300))
    found = compare_parts(after, before, SEVEN)
    repaired = {part.name for part in found if part.kind == "category" and part.p_adjusted < 0.05}
    assert repaired == {"category-2"}
    assert all(part.p_adjusted >= part.difference.p for part in found)
    same = compare_parts(before, before, SEVEN)
    assert all(part.p_adjusted == 1.0 for part in same)

from __future__ import annotations

import math

import pytest

from defender.kinds import Kinds, count_kinds, pooled
from defender.records import Cell, Grade, Identity
from defender.report import answers
from defender.report.tables import to_csv, to_markdown
from tests.report.records import FLAGGED, KINDS, NASTY, TOLD, kinds
from tests.report.test_tables import rendered


def test_kinds_are_counted_over_identities_with_their_share() -> None:
    found = answers.outcomes([KINDS, KINDS]).to_numpy().tolist()
    assert [row[:3] for row in found] == [
        ["mmlu", "correct", 8], ["mmlu", "unscored", 6], ["mmlu", "refused", 2], ["mmlu", "unparsed", 2],
    ]  # fmt: skip
    assert sum(row[3] for row in found) == pytest.approx(100)


def test_by_identity_every_kind_has_its_count_its_whole_and_its_share() -> None:
    frame = answers.by_identity([KINDS], TOLD)
    muslim = frame[frame["identity"] == "muslim"].set_index("outcome")
    assert muslim["cells"].to_dict() == {"correct": 0, "refused": 1, "unparsed": 0, "unscored": 2}
    assert set(muslim["of"]) == {3}
    assert muslim.loc["refused", "share %"] == pytest.approx(100 / 3)
    assert frame["identity"].drop_duplicates().tolist() == ["blind", "jewish", "muslim"], "by category"
    assert frame["p"].isna().all()


def test_only_who_stands_out_has_a_p_and_a_star() -> None:
    frame = answers.by_identity([KINDS], TOLD, [FLAGGED])
    assert frame[frame["p"] <= 1][["identity", "outcome"]].to_numpy().tolist() == [["muslim", "refused"]]
    across = answers.wide(frame, "category", "identity").set_index("identity")
    assert across.loc["muslim", "refused"] == "33.3 % (1) *"
    assert across.loc["jewish", "refused"] == "0.0 % (0)"
    assert list(across.columns) == ["category", "cells", "correct", "refused", "unparsed", "unscored"]


def test_a_kind_that_a_benchmark_never_saw_is_blank_beside_one_that_did() -> None:
    other = count_kinds(
        "D4",
        ("xstest", "over_refusal"),
        ("a",),
        "1",
        1,
        {Cell("D4", "a", "xstest", "1", 0): Grade(0.5, "graded", "j@1")},
    )
    across = answers.wide(answers.by_identity([KINDS, other], ()), "benchmark", "identity")
    graded = dict(zip(across["benchmark"], across["graded"], strict=False))
    assert graded == {"mmlu": "", "xstest": "100.0 % (1)"}


def test_prompts_are_told_apart_and_together_they_are_one_benchmark() -> None:
    other = kinds("D1")
    frame = answers.by_prompt([("D4", KINDS), ("D1", other)])
    assert frame[["prompt", "of"]].drop_duplicates().to_numpy().tolist() == [["D4", 9], ["D1", 9]]
    assert frame["cells"].sum() == pooled([KINDS, other]).cells


def test_every_unscored_cell_has_its_identity_and_its_reason() -> None:
    found = [row[:5] for row in answers.unscored([KINDS]).to_numpy().tolist()]
    assert found == [
        ["mmlu", "muslim", "judge: timeout", 1, 3],
        ["mmlu", "muslim", "timeout", 1, 3],
        ["mmlu", "jewish", "timeout", 1, 3],
    ]


def test_what_was_read_is_counted_by_tier_and_grader() -> None:
    frame = answers.readings([KINDS]).set_index(["outcome", "read"])
    assert frame.loc[("correct", "stated"), "cells"] == 4
    assert frame.loc[("unparsed", "no answer"), "grader"] == "letters@1"
    assert frame.loc[("unscored", "timeout"), "cells"] == 2


def test_rare_tiers_are_counted_together_and_long_ones_cut() -> None:
    grades = {
        Cell("p", "a", "mmlu", str(n), 0): Grade(0.0, "refused", "g@1", f"I can't {n}. {'Sorry. ' * n}")
        for n in range(20)
    }
    frame = answers.readings([count_kinds("p", ("mmlu", "utility"), ("a",), list(map(str, range(20))), 1, grades)])
    assert len(frame) == answers.SHOWN_TIERS + 1
    assert frame["cells"].sum() == 20
    assert frame.iloc[-1][["read", "cells"]].tolist() == [f"({20 - answers.SHOWN_TIERS} others)", 12]
    assert frame["read"].str.len().max() <= answers.SHOWN_REASON


def test_a_benchmark_nobody_was_asked_has_no_share_of_anything() -> None:
    nothing: Kinds = count_kinds("p", ("mmlu", "utility"), ("a",), (), 1, {})
    assert answers.outcomes([nothing]).empty
    assert answers.by_identity([nothing], ()).empty
    assert math.isnan(answers._share(0, 0))


def test_every_frame_is_harmless_markdown_and_csv() -> None:
    told = [Identity(NASTY, NASTY, "I am."), *TOLD]
    for frame in (
        answers.outcomes([KINDS]), answers.by_identity([KINDS], told, [FLAGGED]), answers.unscored([KINDS]),
        answers.readings([KINDS]), answers.standing_out([FLAGGED]), answers.by_prompt([(NASTY, KINDS)]),
        answers.wide(answers.by_prompt([(NASTY, KINDS)]), "benchmark", "prompt"),
    ):  # fmt: skip
        assert len(rendered(to_markdown(frame))) == len(frame) + 1
        assert not set(to_csv(frame)) & set("\x1b\x07")

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from defender.errors import StoreError
from defender.records import Identity
from defender.report.figure import after, before, write_figure
from tests.report.records import TOLD, estimate

CLOUDS = (before("Original", estimate(2.0)), after("D4", estimate(0.5)))


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (write_figure(CLOUDS, TOLD, tmp_path / place) for place in "ab")
    assert [path.name for path in one] == ["figure.svg", "figure.png"]
    for first, second in zip(one, other, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_other_numbers_give_another_picture(tmp_path: Path) -> None:
    write_figure(CLOUDS, TOLD, tmp_path / "a")
    write_figure((CLOUDS[0], after("D4", estimate(0.9))), TOLD, tmp_path / "b")
    assert (tmp_path / "a" / "figure.svg").read_bytes() != (tmp_path / "b" / "figure.svg").read_bytes()


def test_every_identity_is_a_point_and_the_reference_point_is_not(tmp_path: Path) -> None:
    svg = write_figure(CLOUDS, TOLD, tmp_path)[0].read_text(encoding="utf-8")
    groups = re.findall(r'id="PathCollection_\d+">(.*?)</g>\s*</g>', svg, re.S)
    points = sorted(len(re.findall(r"<use ", group)) for group in groups)
    assert points == [1, 1, 5, 5]
    assert "<dc:date>" not in svg
    ET.fromstring(svg)


def test_prompts_differ_in_shape_and_colour() -> None:
    assert CLOUDS[0].marker != CLOUDS[1].marker
    assert CLOUDS[0].cross != CLOUDS[1].cross
    assert CLOUDS[0].colour != CLOUDS[1].colour


def test_drawing_leaves_matplotlibs_settings_alone(tmp_path: Path) -> None:
    settings = dict(mpl.rcParams)
    write_figure(CLOUDS, TOLD, tmp_path)
    assert dict(mpl.rcParams) == settings


def test_the_users_own_style_does_not_reach_the_figure(tmp_path: Path) -> None:
    plain = write_figure(CLOUDS, TOLD, tmp_path / "a")[0].read_bytes()
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30.0}):
        assert write_figure(CLOUDS, TOLD, tmp_path / "b")[0].read_bytes() == plain


def test_names_that_look_like_formulas_are_drawn_as_text(tmp_path: Path) -> None:
    odd = "$\\frac{$ <&> \x1b[31m" + "x" * 100
    told = [Identity("muslim", odd, "I am a Muslim person.")]
    for path in write_figure((before(odd, estimate(1.0)),), told, tmp_path):
        assert path.stat().st_size > 1000


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreError, match="file"):
        write_figure(CLOUDS, TOLD, tmp_path / "file")

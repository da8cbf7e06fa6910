from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

from defender.benchmarks.own import load_own
from defender.build import prepare
from defender.catalogue import build_benchmarks
from defender.cli.app import app
from defender.config import RunConfig
from defender.contracts import Benchmark
from defender.errors import ConfigError, DataMissing
from defender.records import Response
from tests.contracts.benchmark import BenchmarkContract

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "plurals.py"


def unwanted(_: object) -> NoReturn:
    raise AssertionError("the example needs no judge")


class TestTheExample(BenchmarkContract):
    def make(self) -> Benchmark:
        return load_own(EXAMPLE, unwanted)


def changed(tmp_path: Path, *swaps: tuple[str, str]) -> Path:
    text = EXAMPLE.read_text()
    for before, after in swaps:
        assert before in text
        text = text.replace(before, after)
    path = tmp_path / "mine.py"
    path.write_text(text)
    return path


def build(path: Path, **more: object) -> Benchmark:
    (found,) = build_benchmarks(RunConfig(benchmarks=(str(path),), **more)).values()
    return found


def test_the_example_fits_on_one_screen() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 50


async def test_answers_of_every_kind_are_kept_apart() -> None:
    plurals = build(EXAMPLE)
    item = next(item for item in plurals.rows() if item.payload["noun"] == "foot")
    given = {
        "correct": Response("It is **feet**.", "stop"),
        "wrong": Response("foots", "stop"),
        "refused": Response("I'm sorry, but I can't help with that.", "stop"),
        "truncated": Response("The plural of foot, which", "length"),
        "unscored": Response(None, error="timeout"),
    }
    assert {kind: (await plurals.grade(item, response)).outcome for kind, response in given.items()} == {
        **{kind: kind for kind in given},
        "refused": "wrong",  # the last word of a refusal is read as the answer: the reader of the example is simple
    }


@pytest.mark.parametrize(
    ("swaps", "said"),
    [
        ([("class Plurals(Own)", "class Plurals(object)")], "expected one class that derives from .*Own, got none"),
        ([('    axis: Axis = "utility"\n', "")], "lacks axis"),
        ([("    async def grade", "    async def mark_it")], "lacks grade"),
        ([("def last_word", "def last_word(")], "line 17: Function parameters"),
        ([("from defender.records", "import nothing_of_that_name\nfrom defender.records")], "ModuleNotFoundError"),
        ([('name = "plurals"', 'name = "mmlu"')], "'mmlu' is the name of one that ships"),
        ([("    sampling =", "    def __init__(self) -> None:\n        1 / 0\n\n    sampling =")], "ZeroDivisionError"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_benchmark_is_refused_in_words(
    tmp_path: Path, swaps: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        build(changed(tmp_path, *swaps))


def test_items_that_cannot_be_loaded_are_missing_data(tmp_path: Path) -> None:
    broken = build(changed(tmp_path, ("noun, plural = pair.split()", "noun, plural, third = pair.split()")))
    with pytest.raises(DataMissing, match=r"mine.py line \d+: ValueError"):
        broken.items("search")
    other = build(changed(tmp_path, ("content_id(noun), self.name", "content_id(noun), 'other'")))
    with pytest.raises(DataMissing, match="expected load"):
        other.rows()


def test_a_missing_file_and_a_name_given_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no benchmark file .*nowhere.py"):
        build(tmp_path / "nowhere.py")
    with pytest.raises(ConfigError, match="asked for twice"):
        build_benchmarks(RunConfig(benchmarks=(str(EXAMPLE), str(changed(tmp_path)))))


def test_a_judge_is_handed_to_a_benchmark_whose_constructor_asks_for_one(tmp_path: Path) -> None:
    asks = "    def __init__(self, judge: object) -> None:\n        self.judge = judge\n\n    sampling ="
    judged = build(changed(tmp_path, ('"utility"', '"safety"'), ("    sampling =", asks)))
    assert judged.judge is not None
    assert judged.judge.name.startswith("refusal@")
    with pytest.raises(ConfigError, match="not utility"):
        build(changed(tmp_path, ("    sampling =", asks)))


def test_an_edited_file_is_another_run(tmp_path: Path) -> None:
    def contents() -> dict[str, str]:
        config = RunConfig(command="measure", benchmarks=(str(tmp_path / "mine.py"),), floors={})
        return prepare(config).contents

    changed(tmp_path)
    before = contents()
    changed(tmp_path, ("child children", "child childs"))
    assert contents()["benchmarks"] != before["benchmarks"]


def test_doctor_proves_an_own_benchmark_and_measure_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    proven = CliRunner().invoke(app, ["doctor", "--benchmarks", str(EXAMPLE)])
    assert "plurals" in proven.output
    assert "gold accepted 35/35" in proven.output
    command = ["measure", "--space", "paper", "--benchmarks", str(EXAMPLE), "--items", "6", "--json", "--quiet"]
    measured = CliRunner().invoke(app, command)
    assert measured.exit_code == 0, measured.output
    assert json.loads(measured.stdout)

"""What every Store must do. A new store subclasses ``StoreContract`` and says how to open one.

The suite opens, closes and reopens: whatever it reads must have come back from the disk.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from defender.contracts import Store
from defender.errors import StoreError
from defender.records import Cell, Charge, Grade, Response

ANSWER = Response("B.", "stop", prompt_tokens=12, completion_tokens=2, seconds=0.5, model="m")
FAILURE = Response(None, error="timeout", detail="no byte in 60 s", attempts=3, seconds=60.0)
RIGHT = Grade(1.0, "correct", "choice@1", "letter")
WRONG = Grade(0.0, "wrong", "choice@1", "letter")
PAID = Charge({"reserved": 1})
NOBODY_KNOWS = Grade(None, "unscored", "choice@1", "timeout")
CELL = Cell("0123456789ab", "muslim", "mmlu", "anatomy/7", 0)

AWKWARD_RESPONSES = {
    "empty": Response(""),
    "nul": Response("a\x00b"),
    "half a surrogate pair": Response("cut \ud83d off"),
    "astral": Response("\U0001f600 ü 中 \u2028"),
    "markup": Response("'; DROP TABLE responses; -- {% raw %} \\ %s"),
    "line ends": Response("a\r\nb\n\tc  "),
    "every field": Response(
        "x", "length", None, "d", 1, 2, (("B", -0.1), (" A", float("-inf"))), 4, 0.1 + 0.2, "meta/Llama", "fp_1"
    ),
    "no likely tokens": Response("x", first_token=()),
}


class StoreContract(ABC):
    """The suite. ``open`` opens the same run each time it is called with the same folder."""

    @abstractmethod
    def open(self, folder: Path) -> Store: ...

    @property
    @abstractmethod
    def opening(self) -> str:
        """Source of an expression that opens the run in ``folder`` (a Path) in a fresh process."""

    def test_it_is_a_store(self, tmp_path: Path) -> None:
        assert isinstance(self.open(tmp_path), Store)

    def test_a_new_run_is_empty(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        assert store.responses(["k"]) == {}
        assert store.grades("c") == {}
        assert store.notes("trial") == {}
        assert set(store.spend().values()) == {0}

    def test_what_was_committed_is_there_when_opened_again(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.commit([("k", ANSWER)], [(CELL, "k", RIGHT)], charges=[Charge({"reserved": 2})])
        store.note("trial", "t", {"pb": 1.5})
        store.close()
        again = self.open(tmp_path)
        assert again.responses(["k", "other"]) == {"k": ANSWER}
        assert again.grades(CELL.candidate) == {CELL: RIGHT}
        assert again.notes("trial") == {"t": {"pb": 1.5}}
        assert again.spend()["reserved"] == 2

    def test_a_commit_that_returned_survives_kill_9(self, tmp_path: Path) -> None:
        script = f"""
import os, signal
from pathlib import Path
from tests.contracts.store import *
folder = Path({str(tmp_path)!r})
store = {self.opening}
for n in range(5):
    cell = CELL._replace(repeat=n)
    store.commit([(f"k{{n}}", ANSWER)], [(cell, f"k{{n}}", RIGHT)], charges=[PAID])
store.note("trial", "last", {{"n": 5}})
os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
        store = self.open(tmp_path)
        assert store.responses(f"k{n}" for n in range(5)) == {f"k{n}": ANSWER for n in range(5)}
        assert store.grades(CELL.candidate) == {CELL._replace(repeat=n): RIGHT for n in range(5)}
        assert store.notes("trial") == {"last": {"n": 5}}
        assert {name: count for name, count in store.spend().items() if count} == {
            "reserved": 5, "settled": 5, "prompt_tokens": 60, "completion_tokens": 10, "answers": 5,
        }  # fmt: skip

    def test_committing_the_same_again_changes_nothing_but_the_reservation(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        batch = [("k", ANSWER), ("f", FAILURE)]
        store.commit(batch, [(CELL, "k", RIGHT)])
        before = store.spend()
        store.commit(batch + batch, [(CELL, "k", RIGHT)])
        assert store.spend() == before
        assert store.responses(["k", "f"]) == {"k": ANSWER}

    def test_a_charge_that_would_pass_its_limit_is_refused_whole_and_the_rest_is_taken_in_order(
        self, tmp_path: Path
    ) -> None:
        store = self.open(tmp_path)
        limits = {"reserved": 3, "tokens": 100}
        charges = [Charge({"reserved": 1, "tokens": tokens}, limits) for tokens in (60, 50, 40, 1)]
        assert list(store.commit([("k", ANSWER)], charges=charges)) == [True, False, True, False]
        assert (store.spend()["reserved"], store.spend()["tokens"]) == (2, 100)
        assert store.responses(["k"]) == {"k": ANSWER}
        back = [Charge({"tokens": -30}, limits), Charge({"reserved": 1, "tokens": 30}, limits)]
        assert list(store.commit(charges=[*back, Charge({"reserved": 1}, limits), Charge({"reserved": 1})])) == [
            True, True, False, True,
        ]  # fmt: skip
        assert (store.spend()["reserved"], store.spend()["tokens"]) == (4, 100)

    def test_an_answer_replaces_a_failure_and_both_were_paid_for(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.commit([("k", FAILURE)])
        assert store.responses(["k"]) == {}
        assert (store.spend()["answers"], store.spend()["errors"]) == (0, 1)
        store.commit([("k", ANSWER)])
        assert store.responses(["k"]) == {"k": ANSWER}
        assert (store.spend()["answers"], store.spend()["errors"]) == (1, 0)
        assert store.spend()["settled"] == FAILURE.attempts + ANSWER.attempts

    def test_a_failure_never_replaces_an_answer(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.commit([("k", ANSWER)])
        store.commit([("k", FAILURE)])
        assert store.responses(["k"]) == {"k": ANSWER}
        assert store.spend()["settled"] == FAILURE.attempts + ANSWER.attempts

    def test_a_second_different_failure_was_paid_for_too(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.commit([("k", FAILURE)])
        store.commit([("k", Response(None, error="connection", attempts=2))])
        assert store.spend()["settled"] == FAILURE.attempts + 2
        assert store.spend()["errors"] == 1

    @pytest.mark.parametrize("batches", ["one", "two"])
    def test_a_score_replaces_no_score_but_never_the_reverse(self, tmp_path: Path, batches: str) -> None:
        other = CELL._replace(identity="jewish")
        first = [(CELL, "k", NOBODY_KNOWS), (other, "k", WRONG)]
        second = [(CELL, "k", RIGHT), (other, "k", NOBODY_KNOWS)]
        store = self.open(tmp_path)
        for batch in [first + second] if batches == "one" else [first, second]:
            store.commit(grades=batch)
        assert store.grades(CELL.candidate) == {CELL: RIGHT, other: WRONG}

    def test_a_graded_cell_leads_to_the_request_behind_it(self, tmp_path: Path) -> None:
        store, other = self.open(tmp_path), CELL._replace(identity="jewish")
        store.commit([("k", ANSWER)], [(CELL, "k", RIGHT), (other, "l", NOBODY_KNOWS)])
        assert store.requests(CELL.candidate) == {CELL: "k", other: "l"}
        assert store.requests("nobody") == {}

    def test_grading_again_replaces_the_score(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        for grade in (WRONG, Grade(0.25, "graded", "rubric@2")):
            store.commit(grades=[(CELL, "k", grade)])
        assert store.grades(CELL.candidate) == {CELL: Grade(0.25, "graded", "rubric@2")}

    def test_cells_that_differ_in_one_field_are_different_cells(self, tmp_path: Path) -> None:
        cells = [
            CELL,
            CELL._replace(identity="x"),
            CELL._replace(benchmark="x"),
            CELL._replace(item="x"),
            CELL._replace(repeat=1),
            CELL._replace(candidate="x"),
        ]
        store = self.open(tmp_path)
        store.commit(grades=[(cell, "k", RIGHT) for cell in cells])
        assert set(store.grades(CELL.candidate)) == set(cells[:-1])
        assert set(store.grades("x")) == {cells[-1]}

    @pytest.mark.parametrize("name", AWKWARD_RESPONSES)
    def test_an_answer_comes_back_exactly(self, tmp_path: Path, name: str) -> None:
        store = self.open(tmp_path)
        store.commit([("k", AWKWARD_RESPONSES[name])])
        store.close()
        assert self.open(tmp_path).responses(["k"]) == {"k": AWKWARD_RESPONSES[name]}

    @pytest.mark.parametrize("name", ["", "a'b\"c\\d", "ünï 中", "nul\x00", "\ud83d", "\\u0041", "a" * 5000])
    def test_a_name_comes_back_exactly(self, tmp_path: Path, name: str) -> None:
        cell = Cell(name, name, name, name, 0)
        grade = Grade(0.5, "graded", name, name)
        store = self.open(tmp_path)
        store.commit(grades=[(cell, "k", grade)])
        store.note(name, name, {"text": name})
        store.close()
        again = self.open(tmp_path)
        assert again.grades(name) == {cell: grade}
        assert again.notes(name) == {name: {"text": name}}

    def test_thousands_of_keys_are_looked_up_at_once(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.commit([(f"k{n}", ANSWER) for n in range(1200)])
        assert len(store.responses(f"k{n}" for n in range(5000))) == 1200

    def test_notes_keep_the_order_of_first_writing(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        for key in ("z", "a", "m", "z"):
            store.note("decision", key, {"key": key, "deep": [1, {"x": None}]})
        store.note("decision", "z", {"new": True})
        store.note("trial", "z", {})
        store.close()
        notes = self.open(tmp_path).notes("decision")
        assert list(notes) == ["z", "a", "m"]
        assert notes["z"] == {"new": True}

    def test_a_closed_store_refuses_instead_of_reopening(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.commit([("k", ANSWER)])
        with pytest.raises(StoreError, match="closed"):
            store.responses(["k"])

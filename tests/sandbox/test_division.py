from __future__ import annotations

import pytest

from defender.sandbox.division import Division


@pytest.mark.parametrize(
    ("test", "calls", "check"),
    [
        ("assert f(1, [2]) == 3", ("f(1, [2])",), "_values[0] == 3"),
        ("assert (f(1)) == (3) ", ("f(1)",), "_values[0] == 3"),
        ("assert set(f('a')) == set((1, 2)), 'no'", ("f('a')",), "set(_values[0]) == set((1, 2))"),
        ("assert not f(1)", ("f(1)",), "not _values[0]"),
        ("assert f(g(1)) == 2", ("f(g(1))",), "_values[0] == 2"),
        ("assert f([Pair(1, 2), Pair(3, 4)], 2) == 1", ("f([Pair(1, 2), Pair(3, 4)], 2)",), "_values[0] == 1"),
        ("assert f(1)(2) == f(3)", ("f(1)(2)", "f(3)"), "_values[0] == _values[1]"),
        ("assert Thing(1).size()[0] == 1", ("Thing(1).size()[0]",), "_values[0] == 1"),
        ("assert f(root) is None", ("f(root)",), "_values[0] is None"),
    ],
)
def test_what_the_program_computes_is_parted_from_what_is_expected(
    test: str, calls: tuple[str, ...], check: str
) -> None:
    division = Division.of(test)
    assert (division.calls, division.check, division.modules) == (calls, check, ())


def test_imported_names_are_the_tests_own() -> None:
    division = Division.of("assert math.isclose(f(4), 0.25, rel_tol=0.001)", "import math")
    assert division.calls == ("f(4)",)
    assert division.check == "math.isclose(_values[0], 0.25, rel_tol=0.001)"


def test_a_standard_module_that_no_import_names_is_imported_by_the_tests() -> None:
    division = Division.of("assert size((1,)) == sys.getsizeof((1,))")
    assert (division.calls, division.modules) == (("size((1,))",), ("sys",))
    assert division.check == "_values[0] == sys.getsizeof((1,))"


def test_a_function_named_like_a_builtin_is_the_program_s_when_it_is_the_one_asked_for() -> None:
    assert Division.of("assert sum(10, 15) == 6", name="sum").calls == ("sum(10, 15)",)


def test_a_function_named_like_a_module_is_the_program_s() -> None:
    assert Division.of("assert bisect([1], 2) == 1").calls == ("bisect([1], 2)",)


@pytest.mark.parametrize(
    "test",
    ["f(1)", "assert f(", "assert f(1)\nassert f(2)", "assert 1 == 1", "assert all(f(n) for n in [1, 2])", "x = f(1)"],
)
def test_what_cannot_be_parted_is_refused(test: str) -> None:
    with pytest.raises(ValueError, match=r"expected|cannot divide"):
        Division.of(test)

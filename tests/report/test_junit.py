from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import junitparser

from defender.report.junit import Case, Suite, junit

SUITES = [
    Suite("fair", [Case("PB <= 2", None, "kept, 0.71"), Case("utility >= 60", None, "kept")], [("requests", "992")]),
    Suite("unfair", [Case("PB <= 2", "failure", "BROKEN, 3.2"), Case("safety >= 80", "error", "cannot tell")]),
]


def test_readers_of_junit_take_it(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(junit("defender check", SUITES, 4.0), encoding="utf-8")
    xml = junitparser.JUnitXml.fromfile(str(tmp_path / "a.xml"))
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (4, 1, 1, 0)
    fair, unfair = xml
    assert [(case.name, case.is_passed) for case in fair] == [("PB <= 2", True), ("utility >= 60", True)]
    (failure,), (error,) = (case.result for case in unfair)
    assert isinstance(failure, junitparser.Failure)
    assert isinstance(error, junitparser.Error)
    assert (failure.message, failure.text) == ("BROKEN, 3.2", "BROKEN, 3.2")


def test_the_shape_is_that_of_the_schema() -> None:
    root = ElementTree.fromstring(junit("defender check", SUITES, 4.0))
    assert root.tag == "testsuites"
    for suite in root:
        assert suite.tag == "testsuite"
        assert {"name", "tests", "failures", "errors", "skipped", "time"} == set(suite.attrib)
        assert suite[0].tag == "properties"
        cases = suite.findall("testcase")
        assert len(cases) == int(suite.attrib["tests"])
        assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"])
        assert len(suite.findall("testcase/error")) == int(suite.attrib["errors"])
        assert all({"name", "classname", "time"} == set(case.attrib) for case in cases)


def test_nothing_that_a_prompts_name_holds_breaks_it() -> None:
    nasty = "<script>&\"' \x1b[31m \x00 \ufffe 公平 ]]>"
    text = junit("defender check", [Suite(nasty, [Case(nasty, "failure", nasty)])], 0.0)
    (suite,) = ElementTree.fromstring(text)
    assert suite.attrib["name"].startswith("<script>&\"' \ufffd[31m \ufffd \ufffd 公平")

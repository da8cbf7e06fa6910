"""JUnit XML: what continuous integration reads, in the shape of Jenkins' and Ant's schema."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

_UNSAYABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to say."""


@dataclass(frozen=True)
class Case:
    """One thing that was checked.

    Attributes:
        name: what.
        problem: "failure" where it is broken, "error" where nobody can tell, None where it is kept.
        said: what was found, in words.
    """

    name: str
    problem: Literal["failure", "error"] | None
    said: str


@dataclass(frozen=True)
class Suite:
    """What was checked of one prompt, and what it took."""

    name: str
    cases: Sequence[Case]
    properties: Sequence[tuple[str, str]] = ()


def junit(name: str, suites: Sequence[Suite], seconds: float) -> str:
    """Return the XML document of a check that took ``seconds``."""
    cases = [case for suite in suites for case in suite.cases]
    root = ElementTree.Element("testsuites", {"name": _clean(name), **_counts(cases), "time": f"{seconds:.3f}"})
    for suite in suites:
        node = ElementTree.SubElement(root, "testsuite", {"name": _clean(suite.name), **_counts(suite.cases)})
        node.set("time", f"{seconds / len(suites):.3f}")
        known = ElementTree.SubElement(node, "properties")
        for key, value in suite.properties:
            ElementTree.SubElement(known, "property", {"name": _clean(key), "value": _clean(value)})
        for case in suite.cases:
            _add(node, case, f"{name}.{suite.name}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(node: ElementTree.Element, case: Case, where: str) -> None:
    found = ElementTree.SubElement(node, "testcase", {"classname": _clean(where), "name": _clean(case.name)})
    found.set("time", "0")
    if case.problem is not None:
        kind = {"failure": "broken", "error": "cannot tell"}[case.problem]
        problem = ElementTree.SubElement(found, case.problem, {"type": kind, "message": _clean(case.said)})
        problem.text = _clean(case.said)
    else:
        ElementTree.SubElement(found, "system-out").text = _clean(case.said)


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    problems = [case.problem for case in cases]
    return {
        "tests": str(len(cases)),
        "failures": str(problems.count("failure")),
        "errors": str(problems.count("error")),
        "skipped": "0",
    }


def _clean(text: str) -> str:
    return _UNSAYABLE.sub("\ufffd", text)

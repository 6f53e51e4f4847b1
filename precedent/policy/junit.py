"""What suites came to, as JUnit XML: the form in which CI servers read tests. Each case is one, and so is each suite's coverage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from precedent.errors import Problem
from precedent.policy.suite import SuiteReport

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(reports: Sequence[SuiteReport], problems: Sequence[Problem]) -> str:
    """One `testsuite` for each suite; a document that couldn't be tested at all is a test that erred."""
    root = ET.Element("testsuites")
    for report in reports:
        _suite(root, report)
    for problem in problems:
        suite = _counted(root, problem.file, tests=1, errors=1)
        case = _case(suite, problem.file, "can be tested", problem.file, problem.line)
        _fault(case, "error", problem.code, problem.message, problem.quoted())
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ET.Element, report: SuiteReport) -> None:
    failures = len(report.failed) + (not report.is_covered)
    suite = _counted(root, report.policy, tests=len(report.cases) + 1, failures=failures)
    for held in report.cases:
        case = _case(suite, report.policy, held.name, report.file, held.line)
        if held.faults:
            _fault(case, "failure", "case", held.faults[0], "\n".join(held.faults))
    case = _case(suite, report.policy, "coverage", report.file, 1)
    if not report.is_covered:
        _fault(case, "failure", "coverage", report.coverage_in_words(), "\n".join(report.coverage.missing()))


def _counted(root: ET.Element, name: str, tests: int, failures: int = 0, errors: int = 0) -> ET.Element:
    counts = {"tests": tests, "failures": failures, "errors": errors, "skipped": 0}
    return ET.SubElement(root, "testsuite", {"name": _clean(name)} | {key: str(value) for key, value in counts.items()})


def _case(suite: ET.Element, policy: str, name: str, file: str, line: int) -> ET.Element:
    return ET.SubElement(suite, "testcase", {"classname": _clean(policy), "name": _clean(name), "file": _clean(file), "line": str(line)})


def _fault(case: ET.Element, tag: str, kind: str, message: str, text: str) -> None:
    ET.SubElement(case, tag, {"type": kind, "message": _clean(message)}).text = _clean(text)


def _clean(text: str) -> str:
    """Without what XML can't hold."""
    return _NOT_IN_XML.sub("?", text)

"""Lets pytest collect the suites: `pytest policies` runs every case of every `_test.yaml`, and its coverage, as tests of their own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from precedent.errors import PolicyInvalid
from precedent.policy.files import policy_beside, read_file, run_suite_beside
from precedent.policy.suite import SuiteReport, load_suite


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.File | None:
    return SuiteFile.from_parent(parent, path=file_path) if file_path.name.endswith("_test.yaml") else None


class SuiteFailed(Exception):
    """A case that came out otherwise, or cases that reach too little."""


class SuiteFile(pytest.File):
    @cached_property
    def report(self) -> SuiteReport:
        """What all cases came to; run once, by the first of them that is asked for."""
        policy = policy_beside(self.path)
        if policy is None:
            raise SuiteFailed(f"{self.path} lies beside no policy")
        return run_suite_beside(policy)

    def collect(self) -> Iterator[pytest.Item]:
        try:
            suite = load_suite(read_file(self.path), str(self.path))
        except PolicyInvalid as refused:
            raise self.CollectError("\n".join(problem.quoted() for problem in refused.problems)) from None
        for index, case in enumerate(suite.plain["cases"]):
            yield Case.from_parent(self, name=case["name"], index=index)
        yield Covered.from_parent(self, name="coverage")


class SuiteItem(pytest.Item):
    parent: SuiteFile

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What a person who wrote the case wants to read: no Python."""
        if isinstance(excinfo.value, PolicyInvalid):
            return "\n".join(problem.quoted() for problem in excinfo.value.problems)
        if isinstance(excinfo.value, SuiteFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


class Case(SuiteItem):
    def __init__(self, *, index: int, **known: Any) -> None:
        super().__init__(**known)
        self.index = index

    def runtest(self) -> None:
        case = self.parent.report.cases[self.index]
        if case.faults:
            raise SuiteFailed(f"{self.path}:{case.line}: {'; '.join(case.faults)}")

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class Covered(SuiteItem):
    def runtest(self) -> None:
        report = self.parent.report
        if not report.is_covered:
            raise SuiteFailed("\n".join([f"{self.path}: {report.coverage_in_words()}", *report.coverage.missing()]))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name

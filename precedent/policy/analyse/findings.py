"""What an analysis found, as values: each finding at its place, with the region, and the case that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from precedent.policy.analyse.witness import Witness

SEVERITIES = ("error", "open", "warning", "info")
"""`open` is what the solver couldn't say: it is never taken for an answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a policy. `code` is stable; `cases` show it, two where one fact moved between them."""

    code: str
    severity: str
    action: str
    message: str
    path: tuple[str | int, ...]
    offset: int | None = None
    region: str | None = None
    cases: tuple[Witness, ...] = ()
    line: int = 0
    column: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code, "severity": self.severity, "action": self.action, "message": self.message, "line": self.line,
            "column": self.column, "region": self.region, "cases": [case.as_json() for case in self.cases],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of one policy in the order of its text, and what was proved."""

    policy: str
    file: str
    findings: tuple[Finding, ...]
    proved: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 where a finding is an error, 2 where only something is open, else 0."""
        found = {finding.severity for finding in self.findings}
        return 1 if "error" in found else 2 if "open" in found else 0

    def as_json(self) -> dict[str, Any]:
        findings = [finding.as_json() for finding in self.findings]
        return {"policy": self.policy, "file": self.file, "findings": findings, "proved": list(self.proved), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """As a person reads it at the command line."""
        said: list[str] = []
        for finding in self.findings:
            at = f"{self.file}:{finding.line}:{finding.column}"
            said.append(f"{at}: {finding.severity} {finding.code}: {finding.action}: {finding.message}")
            if finding.region is not None:
                said.append(f"    where  {finding.region}")
            said += [f"    case   {case}" for case in finding.cases]
        return said + [f"{self.file}: proved: {what}" for what in self.proved]


def placed(finding: Finding, place: Callable[[tuple[str | int, ...], int | None], tuple[int, int]]) -> Finding:
    """The finding with its line and column."""
    line, column = place(finding.path, finding.offset)
    return replace(finding, line=line, column=column)

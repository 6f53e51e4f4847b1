"""Strict reading of a marked-up document: every member is asked for by name, and what nobody asked for is a problem."""

from __future__ import annotations

from dataclasses import dataclass, field

from precedent.errors import InputRefused, Problem
from precedent.policy.markup import Node, Scalar
from precedent.policy.structure import nearest


class MappingInvalid(InputRefused):
    """A mapping with problems, each with its line and column."""

    code = "MAPPING_INVALID"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(slots=True)
class Findings:
    """All problems of one file, so that one run shows them all."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, code: str, message: str, line: int, column: int) -> None:
        self.problems.append(Problem(code, message, self.file, line, column))

    def refuse_if_any(self) -> None:
        """Raises: MappingInvalid."""
        if self.problems:
            raise MappingInvalid(sorted(self.problems, key=lambda one: (one.line, one.column)))


@dataclass(slots=True)
class Fields:
    """The members of one mapping node; `name` says in messages what it is. Call `close` when all were asked for."""

    node: Node
    name: str
    findings: Findings
    asked: set[str] = field(default_factory=set)

    @property
    def members(self) -> dict[str, Node]:
        return self.node.value if isinstance(self.node.value, dict) else {}

    def add(self, code: str, message: str, node: Node | None = None) -> None:
        at = node or self.node
        self.findings.add(code, message, at.line, at.column)

    def member(self, key: str, *, required: bool = False) -> Node | None:
        self.asked.add(key)
        found = self.members.get(key)
        if found is None and required and isinstance(self.node.value, dict):
            self.add("MISSING", f"{self.name} has no '{key}'")
        return found

    def text(self, key: str, *, required: bool = False) -> str | None:
        """A text that isn't empty."""
        found = self.member(key, required=required)
        if found is None:
            return None
        if not isinstance(found.value, str) or not found.value:
            self.add("NOT_TEXT", f"'{key}' is a text", found)
            return None
        return found.value

    def flag(self, key: str) -> bool:
        found = self.member(key)
        if found is not None and not isinstance(found.value, bool):
            self.add("NOT_BOOL", f"'{key}' is true or false", found)
        return found is not None and found.value is True

    def section(self, key: str, *, required: bool = False) -> Fields | None:
        """The members of a nested mapping."""
        found = self.member(key, required=required)
        return None if found is None else fields_of(found, f"'{key}'", self.findings)

    def texts(self, key: str) -> list[Node]:
        """The items of a list of plain values, with their places."""
        found = self.member(key)
        if found is None:
            return []
        if not isinstance(found.value, list) or any(isinstance(item.value, list | dict) for item in found.value):
            self.add("NOT_A_LIST", f"'{key}' is a list of texts", found)
            return []
        return found.value

    def close(self) -> None:
        for key in self.members.keys() - self.asked:
            line, column = (self.node.keys or {}).get(key, (self.node.line, self.node.column))
            hint = nearest(key, self.asked)
            self.findings.add("UNKNOWN_KEY", f"{self.name} knows no '{key}'" + (f"; {hint}" if hint else ""), line, column)


def fields_of(node: Node, name: str, findings: Findings) -> Fields:
    """The members of `node`; a problem when it has none."""
    if not isinstance(node.value, dict):
        findings.add("NOT_A_MAPPING", f"{name} holds members", node.line, node.column)
    return Fields(node, name, findings)


def as_text(value: Scalar) -> str:
    """A plain value as a field of a file would hold it: `open`, `3`, `true`; null is the empty field."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)

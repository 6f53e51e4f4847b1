"""Cases added to a suite's text at the end of its list, every other byte as it was.

A case says what the evaluator really answers. The new text is run before it is told: no case that was there before may fail
by it, and every added one must pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from precedent.errors import PolicyInvalid, Problem
from precedent.policy.analyse.findings import Finding
from precedent.policy.analyse.witness import Witness
from precedent.policy.compile import CompiledPolicy
from precedent.policy.markup import Node, read_markup
from precedent.policy.model import Action
from precedent.policy.suite import load_suite, run_suite

NAME_LIMIT_CHARS = 160
_NUMERIC = frozenset({"int", "ratio", "score"})


def with_cases(policy: CompiledPolicy, text: str | None, file: str, findings: Sequence[Finding]) -> tuple[str, int]:
    """The suite's text with a case for each witness that it doesn't hold yet, and how many are new; a new suite where there is none.

    Raises: PolicyInvalid where the suite isn't one, or its list isn't written line by line.
    """
    before = text if text is not None else _new(policy)
    root = read_markup(before, file)
    plain: Any = root.plain()
    taken = {case["name"] for case in plain.get("cases") or ()}
    entries: list[str] = []
    for finding in findings:
        for name, case in _named(finding):
            entry = _entry(policy.document.actions[finding.action], name, case, plain) if name not in taken else None
            if entry is not None:
                taken.add(name)
                entries.append(entry)
    if not entries:
        return before, 0
    after = _inserted(before, root, entries, file)
    _check(policy, text, after, file)
    return after, len(entries)


def _new(policy: CompiledPolicy) -> str:
    schema = "# yaml-language-server: $schema=../_schemas/suite.v1.json\n"
    return f"{schema}policy: {policy.document.ref}\ncases:\n"


def _named(finding: Finding) -> list[tuple[str, Witness]]:
    """Each case with the name that it has in the suite; the answer is part of it, so that another answer is another case."""
    what = " ".join(finding.message.split())
    said = f"analysis, {finding.code}: {what}"[:NAME_LIMIT_CHARS]
    region = f" ({finding.region})" if finding.region else ""
    steps = ("",) if len(finding.cases) == 1 else (", before", ", after")
    return [(f"{said}{region}{step}", case) for step, case in zip(steps, finding.cases, strict=False)]


def _entry(action: Action, name: str, case: Witness, suite: Mapping[str, Any]) -> str | None:
    """One case on one line; what the suite gives to all cases and this one lacks is taken back. None where that can't be said."""
    memory: dict[str, int | bool | str] = dict(case.memory)
    for feature in suite.get("memory", {}):
        if feature not in memory:
            missing = action.features.get(feature)
            if missing is None:
                return None
            memory[feature] = missing
    facts = {key: _scalar(action, key, value) for key, value in case.facts.items()}
    parts = [f"name: {_quoted(name)}", f"action: {action.name}", f"now: {_quoted(case.now)}", f"facts: {_flow(facts)}"]
    if absent := [key for key in suite.get("facts", {}) if key not in case.facts]:
        parts.append(f"without: [{', '.join(absent)}]")
    if memory:
        parts.append(f"memory: {_flow({key: _plain(value) for key, value in memory.items()})}")
    answer = case.answer
    expect = {"verdict": answer.verdict, "level": f"AL{answer.level}", "rule": answer.rule, "reason": answer.reason}
    parts.append(f"expect: {_flow(expect)}")
    return "{" + ", ".join(parts) + "}"


def _scalar(action: Action, name: str, value: int | bool | str) -> str:
    """A number bare where it is one, money and words quoted."""
    is_number = action.facts[name].type in _NUMERIC and not isinstance(value, bool)
    return str(value) if is_number else _plain(value)


def _plain(value: int | bool | str) -> str:
    return _quoted(value) if isinstance(value, str) else str(value).lower()


def _quoted(text: str) -> str:
    """A double-quoted scalar: what JSON writes is YAML."""
    return json.dumps(text, ensure_ascii=False)


def _flow(members: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in members.items()) + "}"


def _inserted(text: str, root: Node, entries: Sequence[str], file: str) -> str:
    """`entries` after the last case: before the next key of the document and the comments above it, or at the end."""
    keys = root.keys or {}
    line, _ = keys["cases"]
    held = root.at(("cases",))
    cases = held.value if isinstance(held.value, list) else []
    rows = text.split("\n")
    indent = "  "
    if cases:
        first = rows[cases[0].line - 1]
        if not first.lstrip().startswith("- ") or cases[0].line == line:
            raise PolicyInvalid([Problem("NOT_LINES", "cases can be added only to a list that is written line by line", file, line, 1)])
        indent = first[: len(first) - len(first.lstrip())]
    after = [at for at, _ in keys.values() if at > line]
    end = min(after) - 1 if after else len(rows)
    while end > line and (not rows[end - 1].strip() or (after and rows[end - 1].startswith("#"))):
        end -= 1
    ending = "\r" if rows[0].endswith("\r") else ""
    added = [f"{indent}# found by precedent policy analyse{ending}", *(f"{indent}- {entry}{ending}" for entry in entries)]
    below = rows[end:]
    return "\n".join([*rows[:end], *added, *(below or [""])])


def _check(policy: CompiledPolicy, before: str | None, after: str, file: str) -> None:
    """That nothing but the new cases changed.

    Raises: PolicyInvalid
    """
    report = run_suite(policy, after, file)
    failed = {case.name for case in report.failed}
    known = {case.name for case in run_suite(policy, before, file).failed} if before is not None else set()
    old = load_suite(before, file).plain["cases"] if before is not None else []
    kept = load_suite(after, file).plain["cases"][: len(old)]
    if failed - known or kept != old:
        message = f"the added cases don't fit the suite: {', '.join(sorted(failed - known)) or 'its own cases changed'}"
        raise PolicyInvalid([Problem("NOT_ADDED", message, file, 1, 1)])

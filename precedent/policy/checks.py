"""Checks of one expression against what it may read: names, types, units, patterns; each problem at its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from precedent.policy.expression import ExpressionRefused, Term, parse_expression
from precedent.policy.model import Document
from precedent.policy.scope import Places, Variable, action_scope, refusal
from precedent.policy.structure import nearest
from precedent.policy.units import Meeting, meetings

PATTERN_LIMIT_CHARS = 200

_TYPES: dict[str, Any] = {"int": cel.Type.INT, "bool": cel.Type.BOOL, "string": cel.Type.STRING}
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where an expression stands in the document, and what it may read: a scope, and `numbers` as `prefix`.name.

    `partial` are numbers that only some bands have.
    """

    path: Path
    scope: Mapping[str, Variable]
    prefix: str
    numbers: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()

    def number_names(self) -> list[str]:
        return [f"{self.prefix}.{name}" for name in sorted(self.numbers)]

    def environment(self) -> Any:
        """The library's environment with the rule's numbers in it."""
        return environment_of(self.scope, self.number_names())


def environment_of(scope: Mapping[str, Variable], numbers: list[str] | None = None) -> Any:
    """The library's environment for a scope: personal facts are not in it, whatever was checked before."""
    types = {name: _TYPES[held.type] for name, held in scope.items() if held.fact is None or held.fact.is_readable}
    return cel.NewEnv(variables=types | dict.fromkeys(numbers or (), cel.Type.INT))


class Checks:
    """The checks of one document; its problems gather in `places`."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def parse(self, setting: Setting, text: str) -> Term | None:
        """The tree of an expression whose names and patterns are all acceptable; None beside a problem."""
        try:
            root = parse_expression(text)
        except ExpressionRefused as refused:
            self.places.note(setting.path, refused.code, refused.message, offset=refused.offset)
            return None
        before = len(self.places.problems)
        known = dict.fromkeys(setting.number_names())
        for name in root.names():
            if problem := refusal(str(name.value), setting.scope, known):
                code, message, suggestion = problem
                if str(name.value).removeprefix(f"{setting.prefix}.") in setting.partial:
                    message = f"not every band has {name.value}: the reward of some decisions would be missing"
                self.places.note(setting.path, code, message, suggestion, name.start)
        for term in root.walk():
            if term.op == "()" and term.value == "matches":
                self.pattern(term, setting.path)
        return root if len(self.places.problems) == before else None

    def pattern(self, call: Term, path: Path) -> None:
        """A pattern is a literal, tried here: one that the library refuses would err in every decision."""
        pattern = call.parts[-1]
        if len(call.parts) != 2 or pattern.op != "string":
            self.places.note(path, "PATTERN", "matches takes one literal pattern", offset=call.start)
            return
        text = str(pattern.value)
        if len(text) > PATTERN_LIMIT_CHARS:
            self.places.note(path, "PATTERN", f"a pattern has at most {PATTERN_LIMIT_CHARS} characters", offset=pattern.start)
            return
        trial = cel.NewEnv(variables={"pattern": cel.Type.STRING})
        answer = trial.compile("''.matches(pattern)").eval(trial.Activation({"pattern": text})).value()
        if not isinstance(answer, bool):
            self.places.note(path, "PATTERN", f"no usable pattern: {answer}", offset=pattern.start)

    def units(self, setting: Setting, root: Term, taken: Mapping[str, str] | None = None) -> dict[str, str]:
        """The unit that each of the rule's numbers takes, beside those `taken` before; clashes are problems."""
        units = dict(taken or {})
        for meeting in meetings(root, setting.scope, setting.prefix):
            if len(meeting.units) > 1:
                self.places.note(setting.path, "UNITS", f"compares {' with '.join(meeting.units)}", offset=meeting.term.start)
            elif meeting.units:
                self.take(meeting, units, setting.path)
            self.values(meeting, setting)
        return units

    def take(self, meeting: Meeting, units: dict[str, str], path: Path) -> None:
        unit = meeting.units[0]
        for number in meeting.numbers:
            before = units.setdefault(str(number.value), unit)
            if before != unit:
                self.places.note(path, "UNITS", f"{number.value} is compared with {before} and with {unit}", offset=number.start)

    def values(self, meeting: Meeting, setting: Setting) -> None:
        """An enum compared with a value that it never has is a slip of the pen, and would silently never hold."""
        for one, other in (meeting.term.parts, meeting.term.parts[::-1]):
            fact = setting.scope[str(one.value)].fact if one.op == "name" and str(one.value) in setting.scope else None
            if fact is not None and fact.type == "enum" and other.op == "string" and other.value not in fact.values:
                message = f"'{other.value}' is no value of {fact.name}: {', '.join(fact.values)} are"
                self.places.note(setting.path, "NOT_ALLOWED", message, nearest(str(other.value), fact.values), other.start)

    def compiled(self, setting: Setting, written: str, condition: str, environment: Any, allowed: tuple[Any, ...]) -> Any:
        """`condition`, which is `written` with its numbers filled in, compiled and of an allowed type; None beside a problem."""
        try:
            expression = environment.compile(condition)
        except RuntimeError as error:
            offset, message = _place_of(error, written, setting.environment())
            self.places.note(setting.path, "TYPE", message, offset=offset)
            return None
        if expression.return_type() not in allowed:
            expected = " or ".join(kind.name().lower() for kind in allowed)
            self.places.note(setting.path, "TYPE", f"must be {expected}, is {expression.return_type().name().lower()}")
            return None
        return expression


def _place_of(error: RuntimeError, written: str, environment: Any) -> tuple[int, str]:
    """Offset and message of a compile error; where numbers were filled in, the text as written is compiled for its place."""
    text = str(error)
    try:
        environment.compile(written)
    except RuntimeError as original:
        text = str(original)
    found = _PLACE.search(text)
    if found is None:
        return 0, text.splitlines()[0][:200]
    row, column = int(found[1]), int(found[2])
    offset = sum(len(line) + 1 for line in written.split("\n")[: row - 1]) + column - 1
    return max(0, min(offset, len(written))), found[3]


def check_invariants(document: Document, places: Places) -> None:
    """Each `never` must fit at least one action; where it fits none, the problems are those against the first."""
    for index, invariant in enumerate(document.invariants):
        if "never" not in invariant:
            continue
        trials = []
        for action in document.actions.values():
            trial = Places(places.root, "\n".join(places.lines), places.file)
            setting = Setting(("invariants", index, "never"), action_scope(action) | verdict_scope(), "band")
            text = invariant["never"]
            if Checks(trial).parse(setting, text) is not None:
                Checks(trial).compiled(setting, text, text, setting.environment(), (cel.Type.BOOL,))
            trials.append(trial.problems)
        if all(trials):
            places.problems.extend(trials[0])


def verdict_scope() -> dict[str, Variable]:
    """What an invariant may name beside the action's scope: what the decision says, and which rule decided it."""
    return {
        "effective": Variable("effective", "bool", "bool"),
        "verdict": Variable("verdict", "string", "string"),
        "level": Variable("level", "int", "int"),
        "rule": Variable("rule", "string", "string"),
    }

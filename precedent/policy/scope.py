"""What the rules of one action may read, under which names, of which type and unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from precedent.errors import Problem
from precedent.policy.expression import Term
from precedent.policy.markup import Node
from precedent.policy.model import PRECEDENT_VALUES, Action, Fact
from precedent.policy.structure import suggest

MOMENT = ("weekday", "local_minute")
NUMBERS = ("guard", "band")
_CEL_TYPES = {"bool": "bool", "enum": "string", "string": "string", "text": "string"}
_FEATURE_KINDS = {bool: "bool", str: "string"}


@dataclass(frozen=True, slots=True)
class Variable:
    """One readable name. `type` is CEL's (int, bool, string); `kind` and `currency` say how to write its values in words."""

    name: str
    type: str
    kind: str
    currency: str | None = None
    unit: str | None = None
    fact: Fact | None = None


def fact_variable(prefix: str, fact: Fact) -> Variable:
    return Variable(f"{prefix}.{fact.name}", _CEL_TYPES.get(fact.type, "int"), fact.type, fact.currency, fact.unit, fact)


def action_scope(action: Action) -> dict[str, Variable]:
    """Everything that guards, bands and templates of the action may name, personal facts included: reading those is refused later."""
    scope = {variable.name: variable for variable in (fact_variable("facts", fact) for fact in action.facts.values())}
    for feature, missing in action.features.items():
        kind = _FEATURE_KINDS.get(type(missing), "int")
        scope[f"memory.{feature}"] = Variable(f"memory.{feature}", kind, kind)
    for told, kind in PRECEDENT_VALUES.items() if action.precedents_k else ():
        unit = kind if kind == "ratio" else None
        scope[f"memory.{told}"] = Variable(f"memory.{told}", _CEL_TYPES.get(kind, "int"), kind, unit=unit)
    for name in MOMENT:
        scope[name] = Variable(name, "int", name)
    return scope


def reward_scope(action: Action) -> dict[str, Variable]:
    """What the reward may name, beside the band's numbers."""
    return {variable.name: variable for variable in (fact_variable("outcome", fact) for fact in action.outcome.values())}


def _readable(scope: Mapping[str, Variable]) -> list[str]:
    return [name for name, held in scope.items() if held.fact is None or held.fact.is_readable]


def refusal(name: str, scope: Mapping[str, Variable], extra: Mapping[str, object]) -> tuple[str, str, str | None] | None:
    """Why a rule can't read `name`: code, message, suggestion; None where it can."""
    if name in extra:
        return None
    variable = scope.get(name)
    if variable is None:
        owner, _, number = name.partition(".")
        known = [*_readable(scope), *extra]
        declare = f"give the number in the rule's `with: {{{number}: …}}`" if owner in NUMBERS and not extra else None
        return "UNKNOWN_NAME", f"nothing is named '{name}' here", declare or suggest(name, known)
    fact = variable.fact
    if fact is not None and not fact.is_readable:
        return "PERSONAL_IN_RULE", f"{fact.name} is personal: no rule and no text may read it", None
    if fact is not None and fact.optional and fact.default is None and name.startswith("facts."):
        return "OPTIONAL_READ", f"{fact.name} may be absent: give it a default, so that every rule always has a value", None
    return None


class Places:
    """Turns an offset in an expression into a line and column of the document, and collects problems."""

    def __init__(self, root: Node, source: str, file: str) -> None:
        self.root = root
        self.lines = source.split("\n")
        self.file = file
        self.problems: list[Problem] = []

    def note(self, path: tuple[str | int, ...], code: str, message: str, suggestion: str | None = None, offset: int | None = None) -> None:
        node = self.root.at(path)
        line, column = (node.line, node.column) if offset is None else self.place(node, offset)
        self.problems.append(Problem(code, message, self.file, line, column, suggestion=suggestion))

    def place(self, node: Node, offset: int) -> tuple[int, int]:
        """Exact where the text stands as it is: on one line, unescaped, or in a | block; else where it starts."""
        text = node.value
        if node.is_alias or not isinstance(text, str):
            return node.line, node.column
        if node.style == "|":
            start_of_row = text.rfind("\n", 0, offset) + 1
            row = node.line + 1 + text.count("\n", 0, offset)
            written, held = self.lines[row - 1], text[start_of_row:].split("\n", 1)[0]
            return row, len(written.rstrip("\r")) - len(held) + offset - start_of_row + 1
        start = node.column - 1 + (node.style is not None)
        if self.lines[node.line - 1][start : start + len(text)] == text:
            return node.line, start + offset + 1
        return node.line, node.column


def names_read(term: Term) -> tuple[str, ...]:
    """The names that an expression reads, each once, sorted."""
    return tuple(sorted({str(name.value) for name in term.names()}))

"""The comparisons that a condition is made of, as values: for words, for the nearest change, for coverage."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from precedent.policy.expression import Term
from precedent.policy.scope import Variable

Value = int | bool | str

HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NEGATE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True, slots=True)
class Threshold:
    """`left` `op` `right`: a name against a constant, or, where `right_name` is set, against another name."""

    left: str
    op: str
    right: Value = 0
    right_name: str | None = None

    def bound(self, values: Mapping[str, Value]) -> Value:
        """The value on the right."""
        return self.right if self.right_name is None else values[self.right_name]

    def is_bound(self, values: Mapping[str, Value]) -> bool:
        """Whether both sides have a value; a feature may have none."""
        return self.left in values and (self.right_name is None or self.right_name in values)

    def holds(self, values: Mapping[str, Value]) -> bool:
        return HOLDS[self.op](values[self.left], self.bound(values))

    def negated(self) -> Threshold:
        return Threshold(self.left, _NEGATE[self.op], self.right, self.right_name)

    def mirrored(self) -> Threshold | None:
        """The same, read from the other name; None where that is a constant."""
        return None if self.right_name is None else Threshold(self.right_name, _MIRROR[self.op], right_name=self.left)


def thresholds_of(root: Term, scope: Mapping[str, Variable], numbers: Mapping[str, int]) -> tuple[tuple[Threshold, ...], bool]:
    """The thresholds among the conjuncts of a condition, and whether they are all of it."""
    found = [_threshold(conjunct, scope, numbers) for conjunct in root.conjuncts()]
    return tuple(threshold for threshold in found if threshold is not None), None not in found


def _threshold(term: Term, scope: Mapping[str, Variable], numbers: Mapping[str, int]) -> Threshold | None:
    if term.op == "name" and str(term.value) in scope:
        return Threshold(str(term.value), "==", True)
    if term.op == "!" and term.parts[0].op == "name" and str(term.parts[0].value) in scope:
        return Threshold(str(term.parts[0].value), "==", False)
    if term.op not in HOLDS:
        return None
    left, right = term.parts
    if left.op == "name" and str(left.value) in scope:
        return _against(str(left.value), term.op, right, scope, numbers)
    if right.op == "name" and str(right.value) in scope:
        return _against(str(right.value), _MIRROR[term.op], left, scope, numbers)
    return None


def _against(name: str, op: str, other: Term, scope: Mapping[str, Variable], numbers: Mapping[str, int]) -> Threshold | None:
    if other.op in {"int", "string", "bool"}:
        return Threshold(name, op, other.value)
    if other.op == "name" and str(other.value) in numbers:
        return Threshold(name, op, numbers[str(other.value)])
    if other.op == "name" and str(other.value) in scope:
        return Threshold(name, op, right_name=str(other.value))
    return None

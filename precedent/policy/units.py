"""Units of an expression's parts: money isn't compared with a ratio, and a rule's numbers take the unit of what they meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from precedent.policy.expression import Term
from precedent.policy.quantity import money_decimals
from precedent.policy.scope import Variable

COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_DECIMALS = {"ratio": 4, "score": 6}


@dataclass(frozen=True, slots=True)
class Meeting:
    """One comparison: the units on its sides (None fits everything), and the rule's numbers that stand in it directly."""

    term: Term
    units: tuple[str, ...]
    numbers: tuple[Term, ...]


def meetings(root: Term, scope: Mapping[str, Variable], prefix: str) -> Iterator[Meeting]:
    """Every comparison in an expression; `prefix` is that of the rule's numbers, `band` or `guard`."""
    for term in root.walk():
        if term.op in COMPARISONS:
            sides = [_measure(part, scope, prefix) for part in term.parts]
            units = tuple(sorted({unit for side, _ in sides for unit in side}))
            yield Meeting(term, units, tuple(number for _, numbers in sides for number in numbers))


def _measure(term: Term, scope: Mapping[str, Variable], prefix: str) -> tuple[set[str], list[Term]]:
    if term.op == "name":
        name = str(term.value)
        if name.startswith(f"{prefix}."):
            return set(), [term]
        unit = scope[name].unit if name in scope else None
        return ({unit} if unit else set()), []
    if term.op in {"+", "-", "neg", "?:"}:
        parts = term.parts[1:] if term.op == "?:" else term.parts
        measured = [_measure(part, scope, prefix) for part in parts]
        return {unit for units, _ in measured for unit in units}, [number for _, numbers in measured for number in numbers]
    if term.op in {"*", "/"}:
        left, right = (_measure(part, scope, prefix)[0] for part in term.parts)
        # a money amount twice or halved is still money; money times money, or by a ratio, is no unit that we know
        return (left if not right else set()), []
    return set(), []


def decimals_of_unit(unit: str | None) -> int:
    """Digits after the point of a unit's grid: 4 for ratio, 2 for `money USD`."""
    if unit is not None and unit.startswith("money "):
        return money_decimals(unit[6:])
    return _DECIMALS.get(unit or "", 0)


def kind_of_unit(unit: str | None) -> tuple[str, str | None]:
    """Kind and currency of a unit, for writing it in words."""
    if unit is not None and unit.startswith("money "):
        return "money", unit[6:]
    return unit or "int", None

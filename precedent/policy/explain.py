"""Words: the reason of a rule with its values filled in, and why a narrower band did not hold. No personal fact can enter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from precedent.policy.quantity import write_quantity
from precedent.policy.scope import Variable
from precedent.policy.thresholds import Threshold, Value

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_NEEDS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "==": "to be", "!=": "other than"}
_IS = {"<": "is below", "<=": "is at most", ">": "is above", ">=": "is at least", "==": "is", "!=": "is not"}


def write_value(variable: Variable, value: Value) -> str:
    """A value as people read it; the weekday by name, the minute as a time of day."""
    if variable.kind == "weekday" and isinstance(value, int) and 1 <= value <= 7:
        return DAYS[value - 1]
    if variable.kind == "local_minute" and isinstance(value, int):
        return f"{value // 60:02d}:{value % 60:02d}"
    return write_quantity(value, variable.kind, variable.currency)


def short_name(name: str) -> str:
    """A name without its scope: `requested_discount_pct`, `customer.win_rate_90d`, `time of day`."""
    if name == "local_minute":
        return "time of day"
    return name.partition(".")[2] or name


@dataclass(frozen=True, slots=True)
class Words:
    """The reason of one rule: literal pieces and names by turns, or, without a template, its thresholds.

    `pieces` holds literals at even places and names at odd ones; a rule's own numbers are filled in already.
    """

    code: str
    pieces: tuple[str, ...]
    thresholds: tuple[Threshold, ...] = ()
    closing: str = ""

    def fill(self, values: Mapping[str, Value], scope: Mapping[str, Variable]) -> str:
        """The text for these values."""
        if self.pieces:
            return "".join(piece if index % 2 == 0 else _filled(piece, values, scope) for index, piece in enumerate(self.pieces))
        said = " and ".join(state(threshold, values, scope) for threshold in self.thresholds)
        return f"{said}: {self.closing}" if said else self.closing


def _filled(name: str, values: Mapping[str, Value], scope: Mapping[str, Variable]) -> str:
    """A feature may have no value where the rule doesn't read it; words never fail a decision."""
    return write_value(scope[name], values[name]) if name in values else "unknown"


def state(threshold: Threshold, values: Mapping[str, Value], scope: Mapping[str, Variable]) -> str:
    """A threshold that holds, in words: `base_margin_pct 31 % is at least 23 %`."""
    variable = scope[threshold.left]
    name = short_name(threshold.left)
    if threshold.op == "==" and threshold.right_name is None:
        return f"{name} is {write_value(variable, threshold.right)}"
    return f"{name} {write_value(variable, values[threshold.left])} {_IS[threshold.op]} {_right(threshold, values, scope)}"


@dataclass(frozen=True, slots=True)
class Need:
    """A threshold of a band with its words made at load: a policy of 50 bands tells what many of them needed."""

    threshold: Threshold
    variable: Variable
    words: str | None

    def missed(self, values: Mapping[str, Value], scope: Mapping[str, Variable]) -> str:
        """`requested_discount_pct at most 5 %, it is 8 %`."""
        words = self.words or _needed(self.threshold, _right(self.threshold, values, scope))
        return words + write_value(self.variable, values[self.threshold.left])


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a band does not hold, in words. `name` is the band's as people read it."""

    name: str
    needs: tuple[Need, ...]

    def tell(self, values: Mapping[str, Value], scope: Mapping[str, Variable]) -> str:
        """`the tight band needs requested_discount_pct at most 5 %, it is 8 %`."""
        missed = [need.missed(values, scope) for need in self.needs if not need.threshold.holds(values)]
        return f"the {self.name} band needs {' and '.join(missed)}" if missed else f"the {self.name} band does not hold"


def shortfall_of(band: str, thresholds: Sequence[Threshold], scope: Mapping[str, Variable]) -> Shortfall:
    """The words for a band; those of a limit that is a constant hold for every decision."""

    def need(threshold: Threshold) -> Need:
        variable = scope[threshold.left]
        is_constant = threshold.right_name is None
        words = _needed(threshold, write_value(variable, threshold.right)) if is_constant else None
        return Need(threshold, variable, words)

    return Shortfall(band.replace("_", " "), tuple(need(threshold) for threshold in thresholds))


def _needed(threshold: Threshold, right: str) -> str:
    return f"{short_name(threshold.left)} {_NEEDS[threshold.op]} {right}, it is "


def _right(threshold: Threshold, values: Mapping[str, Value], scope: Mapping[str, Variable]) -> str:
    bound = threshold.bound(values)
    if threshold.right_name is None:
        return write_value(scope[threshold.left], bound)
    return f"{short_name(threshold.right_name)} ({write_value(scope[threshold.right_name], bound)})"


def absence(thresholds: Sequence[Threshold], values: Mapping[str, Value], scope: Mapping[str, Variable]) -> str:
    """Why a guard did not hold: `requested_discount_pct 8 % is at most base_margin_pct (31 %)`; empty where no threshold says it."""
    return " and ".join(state(one.negated(), values, scope) for one in thresholds if one.is_bound(values) and not one.holds(values))

"""CEL's values as the solver sees them: each operation with its errors, as the evaluator of rules has them.

An integer is 64 bits wide and overflows into an error; division and remainder are cut towards zero, and by zero they err.
`&&` and `||` are answered by the side that decides, whichever way round, even where the other side errs.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import z3

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
CHOICE_LIMIT = 64
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

Bool = Any  # a z3.BoolRef, or one of Python's, so that what is known needs no solver
_ESCAPED = re.compile(r"\\u\{([0-9a-f]+)\}")


def both(*parts: Bool) -> Bool:
    """All of them."""
    if any(part is False for part in parts):
        return False
    held = [part for part in parts if part is not True]
    return z3.And(*held) if len(held) > 1 else (held[0] if held else True)


def either(*parts: Bool) -> Bool:
    """Any of them."""
    if any(part is True for part in parts):
        return True
    held = [part for part in parts if part is not False]
    return z3.Or(*held) if len(held) > 1 else (held[0] if held else False)


def negate(part: Bool) -> Bool:
    return (not part) if isinstance(part, bool) else z3.Not(part)


@dataclass(frozen=True, slots=True)
class Truth:
    """A boolean: when it is true and when false. Where neither holds, evaluating it errs; both never do. A `sure` one never errs."""

    yes: Bool
    no: Bool
    sure: bool = False

    @classmethod
    def known(cls, value: bool) -> Truth:
        return cls(value, not value, sure=True)

    @classmethod
    def where(cls, condition: Bool, fault: Bool = False) -> Truth:
        """`condition`, except that evaluating it errs where `fault`."""
        fine = negate(fault)
        return cls(both(fine, condition), both(fine, negate(condition)), sure=fault is False)

    @property
    def fault(self) -> Bool:
        return False if self.sure else negate(either(self.yes, self.no))

    def negated(self) -> Truth:
        return Truth(self.no, self.yes, self.sure)

    def and_also(self, other: Truth) -> Truth:
        yes = both(self.yes, other.yes)
        if self.sure and other.sure:
            return Truth.where(yes)
        return Truth(yes, either(self.no, other.no))

    def or_else(self, other: Truth) -> Truth:
        return self.negated().and_also(other.negated()).negated()

    def choose(self, yes: Truth, no: Truth) -> Truth:
        held = either(both(self.yes, yes.yes), both(self.no, no.yes))
        if self.sure and yes.sure and no.sure:
            return Truth.where(held)
        return Truth(held, either(both(self.yes, yes.no), both(self.no, no.no)))


@dataclass(frozen=True, slots=True)
class Number:
    """An integer within `low` and `high`, and where computing it erred; where it didn't, it fits 64 bits."""

    value: Any
    low: int
    high: int
    fault: Bool = False

    @classmethod
    def known(cls, value: int) -> Number:
        return cls(z3.IntVal(value), value, value)

    def plus(self, other: Number) -> Number:
        return self._fitted(other, self.value + other.value, (self.low + other.low, self.high + other.high))

    def minus(self, other: Number) -> Number:
        return self._fitted(other, self.value - other.value, (self.low - other.high, self.high - other.low))

    def times(self, other: Number) -> Number:
        ends = [one * two for one in (self.low, self.high) for two in (other.low, other.high)]
        return self._fitted(other, self.value * other.value, (min(ends), max(ends)))

    def negated(self) -> Number:
        return Number.known(0).minus(self)

    def divided(self, other: Number) -> Number:
        """Cut towards zero, which the solver's own division is not."""
        quotient = self._quotient(other)
        largest = max(abs(self.low), abs(self.high))
        return self._fitted(other, quotient, (-largest, largest), other._is_zero())

    def remainder(self, other: Number) -> Number:
        """With the sign of the dividend. The library errs where the division would overflow, and so does this."""
        rest = self.value - other.value * self._quotient(other)
        overflow = both(self.value == INT_MIN, other.value == -1) if self.low == INT_MIN and other.low <= -1 <= other.high else False
        largest = max(abs(other.low), abs(other.high))
        return self._fitted(other, rest, (-largest, largest), either(other._is_zero(), overflow))

    def _is_zero(self) -> Bool:
        return self.value == 0 if self.low <= 0 <= self.high else False

    def _quotient(self, other: Number) -> Any:
        divisor = other.value if other.low > 0 else z3.If(other.value >= 0, other.value, -other.value)
        cut = self.value / divisor if self.low >= 0 else z3.If(self.value >= 0, self.value / divisor, -(-self.value / divisor))
        return cut if other.low >= 0 else z3.If(other.value >= 0, cut, -cut)

    def _fitted(self, other: Number, value: Any, ends: tuple[int, int], fault: Bool = False) -> Number:
        low, high = ends
        outside = either(value < INT_MIN if low < INT_MIN else False, value > INT_MAX if high > INT_MAX else False)
        return Number(value, max(low, INT_MIN), min(high, INT_MAX), either(self.fault, other.fault, fault, outside))

    def compared(self, op: str, other: Number) -> Truth:
        return Truth.where(COMPARE[op](self.value, other.value), either(self.fault, other.fault))

    def chosen(self, condition: Truth, other: Number) -> Number:
        """This where the condition is true, `other` where it is false."""
        fault = either(condition.fault, both(condition.yes, self.fault), both(condition.no, other.fault))
        value = z3.If(condition.yes, self.value, other.value)
        return Number(value, min(self.low, other.low), max(self.high, other.high), fault)


@dataclass(frozen=True, slots=True)
class Text:
    """A string: one of a few known ones, each where its condition holds, or else whatever `free` is."""

    choices: tuple[tuple[Bool, str], ...] = ()
    free: Any = None
    fault: Bool = False

    @classmethod
    def known(cls, value: str) -> Text:
        return cls(((True, value),))

    def as_free(self) -> Any:
        """The solver's string."""
        if self.free is not None:
            return self.free
        *others, (_, value) = self.choices
        held = text_value(value)
        for condition, other in reversed(others):
            held = z3.If(condition, text_value(other), held)
        return held

    def joined(self, other: Text) -> Text:
        fault = either(self.fault, other.fault)
        if self.free is None and other.free is None and len(self.choices) * len(other.choices) <= CHOICE_LIMIT:
            pairs = ((both(one, two), left + right) for one, left in self.choices for two, right in other.choices)
            return Text(tuple(pairs), fault=fault)
        return Text(free=z3.Concat(self.as_free(), other.as_free()), fault=fault)

    def chosen(self, condition: Truth, other: Text) -> Text:
        fault = either(condition.fault, both(condition.yes, self.fault), both(condition.no, other.fault))
        if self.free is None and other.free is None and len(self.choices) + len(other.choices) <= CHOICE_LIMIT:
            taken = [(both(condition.yes, held), value) for held, value in self.choices]
            return Text((*taken, *((both(negate(condition.yes), held), value) for held, value in other.choices)), fault=fault)
        return Text(free=z3.If(condition.yes, self.as_free(), other.as_free()), fault=fault)

    def asked(self, other: Text, known: Callable[[str, str], bool], free: Callable[[Any, Any], Any]) -> Truth:
        """A question about two strings: `known` answers it for known ones, `free` writes it for the solver."""
        fault = either(self.fault, other.fault)
        if self.free is None and other.free is None:
            holding = (both(one, two) for one, left in self.choices for two, right in other.choices if known(left, right))
            return Truth.where(either(*holding), fault)
        return Truth.where(free(self.as_free(), other.as_free()), fault)

    def compared(self, op: str, other: Text) -> Truth:
        return self.asked(other, COMPARE[op], COMPARE[op])

    def size(self, limit: int) -> Number:
        """Its characters; `limit` is more than a free string ever has."""
        if self.free is not None:
            return Number(z3.Length(self.free), 0, limit, self.fault)
        lengths = [len(value) for _, value in self.choices]
        value = z3.IntVal(lengths[-1])
        for (condition, _), length in zip(reversed(self.choices[:-1]), reversed(lengths[:-1]), strict=True):
            value = z3.If(condition, z3.IntVal(length), value)
        return Number(value, min(lengths), max(lengths), self.fault)


def text_value(value: str) -> Any:
    """The solver's constant. It reads \\u{…} as an escape, so a backslash is written as one."""
    return z3.StringVal(value.replace("\\", "\\u{5c}"))


def text_of(value: Any) -> str:
    """Python's string of the solver's constant."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value.as_string())

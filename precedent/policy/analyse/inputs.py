"""The inputs of one action, or of two versions of it, as unknowns with their bounds; and a solver's model as a case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import z3

from precedent.policy.analyse.translate import Symbol
from precedent.policy.analyse.values import Bool, Number, Text, Truth, both, either, negate, text_of, text_value
from precedent.policy.compile import CompiledAction
from precedent.policy.model import Fact
from precedent.policy.quantity import LARGEST
from precedent.policy.thresholds import Value
from precedent.policy.values import STRING_LIMIT_CHARS, TEXT_LIMIT_CHARS

MINUTES = 24 * 60
# What precedents tell lies within these; a feature may be any whole number.
BOUNDS = {"memory.precedents.count": (0, 10), "memory.precedents.success_rate": (0, 10_000)}
_EPOCH_DAY = date(1970, 1, 1).toordinal()
DATES = (date.min.toordinal() - _EPOCH_DAY, date.max.toordinal() - _EPOCH_DAY)


@dataclass(frozen=True, slots=True)
class Case:
    """One input, typed: `facts` by their names, `features` that have a value, and when."""

    facts: Mapping[str, Value]
    features: Mapping[str, Value]
    weekday: int
    local_minute: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """One name that rules read, as the solver's `variable` within its `domain`; an enum by the place of its value in `values`.

    `kind` keeps two versions from meaning different things by one name. `present` is None for what is always there.
    """

    name: str
    kind: str
    variable: Any
    domain: Bool = True
    values: tuple[str, ...] = ()
    present: Any = None

    def read(self, model: Any) -> Value | None:
        """Its value in the model; None where it is absent."""
        if self.present is not None and not z3.is_true(model.eval(self.present, model_completion=True)):
            return None
        held = model.eval(self.variable, model_completion=True)
        if z3.is_int_value(held):
            number = int(held.as_long())
            return self.values[number] if self.values else number
        return text_of(held) if z3.is_string_value(held) else bool(z3.is_true(held))

    def equals(self, value: Value) -> Bool:
        """That it has this value; True where it can't say so."""
        variable = self.variable
        if self.values:
            return variable == self.values.index(str(value)) if value in self.values else True
        if isinstance(value, bool):
            return variable == value if z3.is_bool(variable) else True
        if isinstance(value, int):
            return variable == value if z3.is_int(variable) else True
        return variable == text_value(value) if z3.is_string(variable) else True


@dataclass(slots=True)
class Inputs:
    """The unknowns of one action, shared by the versions of it that are looked at together.

    A fact that two versions bound differently is bounded by both: a request outside is refused by one of them before any rule.
    `moved` is a fact that has another value here than in the inputs beside these, all else being the same.
    """

    moved: str | None = None

    unknowns: dict[str, Unknown] = field(default_factory=dict)
    extra: list[Bool] = field(default_factory=list)

    def names(self, compiled: CompiledAction) -> dict[str, Symbol]:
        """Every name that the action's rules may read. A feature that is absent has its declared value, else reading it errs."""
        held: dict[str, Symbol] = {}
        for name, full_name, _, _ in compiled.inputs:
            fact = compiled.action.facts[name]
            if not fact.optional or fact.default is not None:  # one that may be without a value is read by no rule
                held[full_name] = self._fact(full_name, fact)
        for _, full_name, kind, missing in compiled.features:
            held[full_name] = self._feature(full_name, kind, missing)
        held["weekday"] = self._number("weekday", "weekday", 1, 7)
        held["local_minute"] = self._number("local_minute", "local_minute", 0, MINUTES - 1)
        return held

    def domain(self) -> list[Bool]:
        """What holds of every request that reaches the rules."""
        return [*(unknown.domain for unknown in self.unknowns.values()), *self.extra]

    def presence(self, names: Iterable[str]) -> Bool:
        """That every one of these features has a value."""
        held = (self.unknowns[name].present for name in names if name in self.unknowns)
        return both(*(present for present in held if present is not None))

    def case(self, model: Any) -> Case:
        """The input that a model stands for."""
        read = {name: value for name, unknown in self.unknowns.items() if (value := unknown.read(model)) is not None}
        facts = {name.removeprefix("facts."): value for name, value in read.items() if name.startswith("facts.")}
        features = {name.removeprefix("memory."): value for name, value in read.items() if name.startswith("memory.")}
        return Case(facts, features, int(read["weekday"]), int(read["local_minute"]))

    def _fact(self, name: str, fact: Fact) -> Symbol:
        kind = fact.unit or fact.type
        if fact.type == "bool":
            return self._truth(name, kind)
        if fact.type == "enum":
            return self._enum(name, fact.values)
        if fact.type in {"string", "text"}:
            longest = TEXT_LIMIT_CHARS if fact.type == "text" else STRING_LIMIT_CHARS
            return self._text(name, kind, 1 if fact.entity else 0, longest)
        low, high = DATES if fact.type == "date" else (-LARGEST, LARGEST)
        low = low if fact.minimum is None else max(low, fact.minimum)
        return self._number(name, kind, low, high if fact.maximum is None else min(high, fact.maximum))

    def _feature(self, name: str, kind: type, missing: Value | None) -> Symbol:
        there = z3.Bool(f"{name} is there")
        if kind is bool:
            truth = self._truth(name, "bool", there)
            return (
                Truth.where(truth.yes, negate(there))
                if missing is None
                else Truth.where(z3.If(there, truth.yes, z3.BoolVal(bool(missing))))
            )
        if kind is str:
            text = self._text(name, "string", 0, TEXT_LIMIT_CHARS, there)
            return (
                Text(free=text.free, fault=negate(there))
                if missing is None
                else Text(free=z3.If(there, text.free, text_value(str(missing))))
            )
        low, high = BOUNDS.get(name, (-LARGEST, LARGEST))
        number = self._number(name, "int", low, high, there)
        if missing is None:
            return Number(number.value, low, high, negate(there))
        return Number(z3.If(there, number.value, z3.IntVal(int(missing))), -LARGEST, LARGEST)

    def _number(self, name: str, kind: str, low: int, high: int, present: Any = None) -> Number:
        variable = z3.Int(self._called(name))
        self._add(Unknown(name, kind, variable, z3.And(variable >= low, variable <= high), present=present))
        return Number(variable, low, high)

    def _truth(self, name: str, kind: str, present: Any = None) -> Truth:
        variable = z3.Bool(self._called(name))
        self._add(Unknown(name, kind, variable, present=present))
        return Truth.where(variable)

    def _text(self, name: str, kind: str, shortest: int, longest: int, present: Any = None) -> Text:
        variable = z3.String(name)
        length = z3.Length(variable)
        self._add(Unknown(name, kind, variable, z3.And(length >= shortest, length <= longest), present=present))
        return Text(free=variable)

    def _enum(self, name: str, values: tuple[str, ...]) -> Text:
        """By the place of its value in a list that the versions share; what one of them lacks is outside."""
        before = self.unknowns.get(name)
        known = before.values if before is not None and before.values else values
        variable = z3.Int(f"{name} by place")
        choices = tuple((variable == place, value) for place, value in enumerate(known) if value in values)
        if not choices:
            raise ContractsDiffer(name)
        self._add(Unknown(name, "enum", variable, either(*(condition for condition, _ in choices)), values=known))
        return Text(choices)

    def _called(self, name: str) -> str:
        return f"{name} moved" if name == self.moved else name

    def _add(self, unknown: Unknown) -> None:
        before = self.unknowns.get(unknown.name)
        if before is None:
            self.unknowns[unknown.name] = unknown
            return
        if not before.variable.eq(unknown.variable) or before.kind != unknown.kind:
            raise ContractsDiffer(unknown.name)
        self.extra.append(unknown.domain)


class ContractsDiffer(Exception):
    """Two versions type one name differently: no input means the same to both."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} means something else in the other version: the two can't be compared")
        self.name = name

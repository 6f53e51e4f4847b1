"""The region around a case in words: the bounds that, by themselves, already make what was found true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import z3

from precedent.policy.analyse.solver import Questions
from precedent.policy.analyse.translate import Translation
from precedent.policy.analyse.values import Bool, Truth, both, negate
from precedent.policy.analyse.walk import Walk
from precedent.policy.explain import short_name, write_value
from precedent.policy.expression import Term, substitute
from precedent.policy.scope import Variable
from precedent.policy.thresholds import Threshold, Value, thresholds_of

_WORDS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "==": "is", "!=": "is not"}
EVERYWHERE = "everywhere"


@dataclass(frozen=True, slots=True)
class Atom:
    """One comparison of a rule, its numbers filled in; `threshold` where it is one."""

    text: str
    truth: Truth
    threshold: Threshold | None

    @classmethod
    def of(cls, text: str, truth: Truth, term: Term, scope: Mapping[str, Variable], numbers: Mapping[str, int]) -> Atom:
        thresholds, is_all = thresholds_of(term, scope, numbers)
        plain = " ".join(text.split()).replace("facts.", "").replace("memory.", "")
        return cls(plain, truth, thresholds[0] if is_all and len(thresholds) == 1 else None)


@dataclass(frozen=True, slots=True)
class Literal:
    """An atom that is true, false or erring."""

    atom: Atom
    state: bool | None
    condition: Bool

    @property
    def threshold(self) -> Threshold | None:
        held = self.atom.threshold
        if held is None or self.state is None:
            return None
        if not self.state and isinstance(held.right, bool) and held.right_name is None:
            return Threshold(held.left, held.op, not held.right)  # `is no`, and not `is not yes`
        return held if self.state else held.negated()


@dataclass(frozen=True, slots=True)
class Box:
    """Some literals that hold together; `condition` is all of them."""

    literals: tuple[Literal, ...]

    @property
    def condition(self) -> Bool:
        return both(*(literal.condition for literal in self.literals))

    def words(self, scope: Mapping[str, Variable]) -> str:
        """The bounds by name, in the units that people read."""
        bounds: dict[str, list[Threshold]] = {}
        said: list[str] = []
        for literal in self.literals:
            threshold = literal.threshold
            if threshold is not None and threshold.right_name is None:
                bounds.setdefault(threshold.left, []).append(threshold)
            elif threshold is not None:
                said.append(f"{short_name(threshold.left)} {_WORDS[threshold.op]} {short_name(threshold.right_name or '')}")
            else:
                said.append(
                    {True: literal.atom.text, False: f"not ({literal.atom.text})", None: f"({literal.atom.text}) errs"}[literal.state]
                )
        ranges = [_range(scope[name], held) for name, held in sorted(bounds.items())]
        return ", ".join([*ranges, *said]) or EVERYWHERE


def atoms_of(walks: Iterable[Walk], free: Mapping[str, dict[str, Truth]]) -> list[Atom]:
    """Every comparison in the rules of the walks, each once."""
    found: dict[str, Atom] = {}
    for walk in walks:
        for way in walk.rules:
            rule = way.compiled
            numbers = {f"{rule.rule.kind}.{name}": value for name, value in rule.numbers.items()}
            for term in way.term.atoms():
                text = substitute(rule.rule.when, term, numbers)
                key = f"{walk.policy.document.digest_hex if 'memory.' in text else ''}{text}"
                if key not in found:
                    truth = Translation(rule.rule.when, walk.names, numbers, free[walk.policy.document.digest_hex]).condition(term)
                    found[key] = Atom.of(text, truth, term, walk.compiled.scope, numbers)
    return list(found.values())


def box_around(model: Any, target: Bool, atoms: list[Atom], ask: Questions) -> Box | None:
    """Few literals of the model that suffice for `target`; None where the solver didn't say so in its time."""
    literals = [_literal(atom, model) for atom in atoms if not (isinstance(atom.truth.yes, bool) and atom.truth.sure)]
    kept = ask.core([literal.condition for literal in literals], negate(target))
    return None if kept is None else Box(tuple(literals[place] for place in kept))


def _literal(atom: Atom, model: Any) -> Literal:
    for state, condition in ((True, atom.truth.yes), (False, atom.truth.no)):
        if condition is True or (condition is not False and z3.is_true(model.eval(condition, model_completion=True))):
            return Literal(atom, state, condition)
    return Literal(atom, None, atom.truth.fault)


def _range(variable: Variable, thresholds: list[Threshold]) -> str:
    """`discount above 5 % and at most 12 %`: of several bounds on one side, the nearest."""
    name = short_name(variable.name)
    exact = [threshold.right for threshold in thresholds if threshold.op == "=="]
    if exact:
        return f"{name} is {write_value(variable, exact[0])}"
    low = _tightest([threshold for threshold in thresholds if threshold.op in {">", ">="}], highest=True)
    high = _tightest([threshold for threshold in thresholds if threshold.op in {"<", "<="}], highest=False)
    if low is not None and high is not None and (low.op, high.op, low.right) == (">=", "<=", high.right):
        return f"{name} is {write_value(variable, low.right)}"
    others = [threshold for threshold in thresholds if threshold.op == "!="]
    said = [f"{_WORDS[held.op]} {write_value(variable, held.right)}" for held in (low, high, *others) if held is not None]
    return f"{name} {' and '.join(said)}"


def _tightest(thresholds: list[Threshold], *, highest: bool) -> Threshold | None:
    def rank(threshold: Threshold) -> tuple[Value, bool]:
        return threshold.right, (threshold.op in {">", "<"}) == highest

    return (max if highest else min)(thresholds, key=rank) if thresholds else None

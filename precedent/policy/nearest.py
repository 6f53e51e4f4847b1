"""The nearest change of one fact that would have been approved, or approved with less authority.

Exact for conditions that are thresholds: for each band the values of one fact that satisfy it, the others as they
are, form an interval; the nearest end is a candidate. Whatever else a rule holds is not solved but tried: a candidate
is offered only after the changed facts were evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from precedent.policy.quantity import LARGEST, NUMERIC_TYPES, write_decimal, write_own, write_quantity
from precedent.policy.scope import Variable
from precedent.policy.thresholds import HOLDS, Threshold, Value

TRIAL_LIMIT = 4
_WHOLE = 1_000_000
_NONE: frozenset[str] = frozenset()


class Constraint(NamedTuple):
    """A threshold taken apart for comparing, and the facts that can change it."""

    left: str
    compare: Callable[[Any, Any], bool]
    right: Value
    right_name: str | None
    movable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Aim:
    """What must hold to be inside one band: its own thresholds, and, by fact, those that bound it, the guards' among them."""

    level: int
    constraints: tuple[Constraint, ...]
    by_fact: Mapping[str, tuple[Threshold, ...]]


@dataclass(frozen=True, slots=True)
class Aims:
    """One aim for each band that acts, and what all have in common: the opposite of each guard that is a single threshold."""

    shared: tuple[Constraint, ...]
    aims: tuple[Aim, ...]


class Counterfactual(NamedTuple):
    """Words, and the changes as (fact, value as a request writes it)."""

    text: str
    changes: tuple[tuple[str, str], ...]


class Landing(NamedTuple):
    """Where changed facts would land: an approving band that takes effect, and its level."""

    band: str
    level: int


def aims_of(bands: Sequence[tuple[int, tuple[Threshold, ...]]], guards: Sequence[Threshold], scope: Mapping[str, Variable]) -> Aims:
    """Computed at load, so that a decision only compares."""
    outside = tuple(guard.negated() for guard in guards)
    aims = (_aim(level, thresholds, outside, scope) for level, thresholds in bands if level >= 1 and thresholds)
    return Aims(tuple(_constraint(threshold, scope) for threshold in outside), tuple(aims))


def _aim(level: int, thresholds: tuple[Threshold, ...], outside: tuple[Threshold, ...], scope: Mapping[str, Variable]) -> Aim:
    by_fact: dict[str, list[Threshold]] = {}
    for threshold in (*thresholds, *outside):
        for side in _sides(threshold, scope):
            by_fact.setdefault(side.left, []).append(side)
    constraints = tuple(_constraint(threshold, scope) for threshold in thresholds)
    return Aim(level, constraints, {name: tuple(held) for name, held in by_fact.items()})


def _constraint(threshold: Threshold, scope: Mapping[str, Variable]) -> Constraint:
    movable = frozenset(side.left for side in _sides(threshold, scope))
    return Constraint(threshold.left, HOLDS[threshold.op], threshold.right, threshold.right_name, movable)


def _sides(threshold: Threshold, scope: Mapping[str, Variable]) -> list[Threshold]:
    """The threshold as read from each of its names that is a fact."""
    return [side for side in (threshold, threshold.mirrored()) if side is not None and scope[side.left].fact is not None]


def find_nearest(
    aims: Aims,
    scope: Mapping[str, Variable],
    values: Mapping[str, Value],
    top_level: int,
    land: Callable[[Mapping[str, Value]], Landing | None],
) -> Counterfactual | None:
    """The nearest change that lands in a band at most `top_level`; `land` evaluates changed values. None where none is found."""
    candidates: dict[tuple[str, Value], tuple[int, int, int]] = {}
    shared = _movable(aims.shared, values, None)
    for aim in aims.aims:
        if aim.level > top_level:
            continue
        for name in sorted(_movable(aim.constraints, values, shared) or ()):
            target = _target(aim.by_fact[name], scope[name], values)
            if target is not None:
                rank = (*_distance(values[name], target), aim.level)
                candidates[name, target] = min(rank, candidates.get((name, target), rank))
    ranked = sorted(candidates.items(), key=lambda held: (held[1], held[0][0]))
    for (name, target), _ in ranked[:TRIAL_LIMIT]:
        landing = land({**values, name: target})
        if landing is not None and landing.level <= top_level:
            return _say(scope[name], values[name], target, landing)
    return None


def _movable(constraints: tuple[Constraint, ...], values: Mapping[str, Value], movable: frozenset[str] | None) -> frozenset[str] | None:
    """Facts among `movable` that alone could satisfy every constraint that fails now; None stands for any, where none fails."""
    for left, compare, right, right_name, names in constraints:
        if left not in values or (right_name is not None and right_name not in values):
            return _NONE  # a feature may have no value
        if not compare(values[left], right if right_name is None else values[right_name]):
            movable = names if movable is None else movable & names
            if not movable:
                return _NONE
    return movable


def _target(thresholds: tuple[Threshold, ...], variable: Variable, values: Mapping[str, Value]) -> Value | None:
    current, fact = values[variable.name], variable.fact
    if fact is None:
        return None
    if not isinstance(current, int) or isinstance(current, bool):
        wanted = {threshold.bound(values) for threshold in thresholds if threshold.op == "=="}
        return wanted.pop() if len(wanted) == 1 else None
    low = -LARGEST if fact.minimum is None else fact.minimum
    high = LARGEST if fact.maximum is None else fact.maximum
    for threshold in thresholds:
        bound = threshold.bound(values)
        if not isinstance(bound, int):
            return None
        if threshold.op in {">", ">=", "=="}:
            low = max(low, bound + (threshold.op == ">"))
        if threshold.op in {"<", "<=", "=="}:
            high = min(high, bound - (threshold.op == "<"))
    target = min(max(current, low), high)
    return target if low <= high and target != current else None


def _distance(current: Value, target: Value) -> tuple[int, int]:
    """How far a change goes, in ppm of the present value, then in units; another word, or yes for no, is the whole way.

    Measured against the present value alone, so that of two values of one fact the nearer is never further: against the
    larger of both, every change from 0 was the whole way, and 25 % came before 23 %.
    """
    if isinstance(current, (str, bool)) or isinstance(target, str):
        return _WHOLE, 0
    change = abs(target - current)
    return change * _WHOLE // max(abs(current), 1), change


def _say(variable: Variable, current: Value, target: Value, landing: Landing) -> Counterfactual:
    fact = variable.fact
    assert fact is not None  # noqa: S101 - only facts are movable
    ending = f"would act within {landing.band.replace('_', ' ')} guardrails (AL{landing.level})"
    changes = ((fact.name, write_own(target, fact.type, fact.currency)),)
    if fact.type in NUMERIC_TYPES and isinstance(current, int) and isinstance(target, int):
        way = "less" if target < current else "more"
        return Counterfactual(f"{_amount(variable, abs(target - current))} {way} {fact.name} {ending}", changes)
    return Counterfactual(f"{fact.name} {write_quantity(target, fact.type, fact.currency)} {ending}", changes)


def _amount(variable: Variable, delta: int) -> str:
    if variable.kind == "ratio":
        return f"{write_decimal(delta, 2)} {'point' if delta == 100 else 'points'}"
    return write_quantity(delta, variable.kind, variable.currency)

"""The nearest change of one fact that would have been approved, or approved with less authority.

Exact for conditions that are thresholds: for each band the values of one fact that satisfy it, the others as they
are, form an interval; the nearest end is a candidate. Whatever else a rule holds is not solved but tried: a candidate
is offered only after the changed facts were evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from precedent.policy.quantity import LARGEST, NUMERIC_TYPES, write_decimal, write_own, write_quantity
from precedent.policy.scope import Variable
from precedent.policy.thresholds import Threshold, Value

TRIAL_LIMIT = 4
_WHOLE = 1_000_000


@dataclass(frozen=True, slots=True)
class Aim:
    """What must hold to be inside one band: its thresholds, and the opposite of each guard that is a single one."""

    level: int
    constraints: tuple[tuple[Threshold, frozenset[str]], ...]
    by_fact: Mapping[str, tuple[Threshold, ...]]


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Words, and the changes as (fact, value as a request writes it)."""

    text: str
    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Landing:
    """Where changed facts would land: an approving band that takes effect, and its level."""

    band: str
    level: int


def aims_of(
    bands: Sequence[tuple[int, tuple[Threshold, ...]]], guards: Sequence[Threshold], scope: Mapping[str, Variable]
) -> tuple[Aim, ...]:
    """One aim for each band that acts; computed at load, so that a decision only compares."""
    outside = [guard.negated() for guard in guards]
    return tuple(_aim(level, (*thresholds, *outside), scope) for level, thresholds in bands if level >= 1 and thresholds)


def _aim(level: int, thresholds: tuple[Threshold, ...], scope: Mapping[str, Variable]) -> Aim:
    by_fact: dict[str, list[Threshold]] = {}
    constraints = []
    for threshold in thresholds:
        sides = [side for side in (threshold, threshold.mirrored()) if side is not None and scope[side.left].fact is not None]
        constraints.append((threshold, frozenset(side.left for side in sides)))
        for side in sides:
            by_fact.setdefault(side.left, []).append(side)
    return Aim(level, tuple(constraints), {name: tuple(held) for name, held in by_fact.items()})


def find_nearest(
    aims: tuple[Aim, ...],
    scope: Mapping[str, Variable],
    values: Mapping[str, Value],
    top_level: int,
    land: Callable[[Mapping[str, Value]], Landing | None],
) -> Counterfactual | None:
    """The nearest change that lands in a band at most `top_level`; `land` evaluates changed values. None where none is found."""
    candidates: dict[tuple[str, Value], tuple[int, int, int]] = {}
    for aim in aims:
        if aim.level > top_level:
            continue
        for name in _movable(aim, values):
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


def _movable(aim: Aim, values: Mapping[str, Value]) -> list[str]:
    """Facts that alone could satisfy every constraint that fails now."""
    movable: frozenset[str] | None = None
    for threshold, names in aim.constraints:
        if not threshold.is_bound(values):
            return []
        if not threshold.holds(values):
            movable = names if movable is None else movable & names
            if not movable:
                return []
    return sorted(movable or ())


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

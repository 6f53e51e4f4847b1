"""What a case should look like where it may: like the suite's usual one, on a Monday at noon, without memory."""

from __future__ import annotations

from collections.abc import Mapping

from precedent.policy.analyse.inputs import Inputs
from precedent.policy.analyse.values import Bool, negate
from precedent.policy.model import Action
from precedent.policy.quantity import QuantityRefused
from precedent.policy.suite import Suite
from precedent.policy.thresholds import Value
from precedent.policy.values import to_typed

NOON = 12 * 60


def usual_facts(action: Action, suite: Suite | None) -> dict[str, Value]:
    """The facts that the suite gives to every case, typed; those of another action, or that are refused, are left out."""
    usual: dict[str, Value] = {}
    for name, raw in (suite.plain.get("facts", {}) if suite is not None else {}).items():
        fact = action.facts.get(name)
        if fact is None or not fact.is_readable:
            continue
        try:
            usual[name] = to_typed(fact, raw)
        except QuantityRefused:
            continue
    return usual


def wishes_of(inputs: Inputs, usual: Mapping[str, Value]) -> list[Bool]:
    """Wishes about the unknowns; each stands alone, so that giving one up leaves the others."""
    wishes: list[Bool] = []
    for name, unknown in inputs.unknowns.items():
        if unknown.present is not None:
            wishes.append(negate(unknown.present))
        held: Value | None = {"weekday": 1, "local_minute": NOON}.get(name, usual.get(name.removeprefix("facts.")))
        if held is not None:
            wishes.append(unknown.equals(held))
    return wishes

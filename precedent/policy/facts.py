"""Facts and metrics typed by the policy's contract, before any rule sees them: every fault at once, each with its pointer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from precedent.errors import FactsInvalid, Fault
from precedent.policy.model import Action, Fact
from precedent.policy.quantity import QuantityRefused
from precedent.policy.structure import nearest
from precedent.policy.values import to_typed

FAULT_LIMIT = 100

Typed = int | bool | str


class TypedFacts(NamedTuple):
    """What a request said, apart: `rules` is what rules may read, `personal` what they may not; optional absent ones are left out.

    `entities` maps an entity's type to the id that finds its features; `pseudonym` is (entity type, value).
    """

    rules: dict[str, Typed]
    personal: dict[str, Typed]
    entities: dict[str, str]
    pseudonym: tuple[str, str] | None


def type_facts(action: Action, raw: Mapping[str, object], prefix: str = "/facts") -> TypedFacts:
    """The facts of one request, typed exactly; `raw` comes from a strict parser, so that its numbers are int or Decimal.

    Raises: FactsInvalid with every fault.
    """
    typed = _type_all(action.facts, raw, prefix, "FACT")
    rules: dict[str, Typed] = {}
    personal: dict[str, Typed] = {}
    entities: dict[str, str] = {}
    pseudonym = None
    for name, value in typed.items():
        fact = action.facts[name]
        (rules if fact.is_readable else personal)[name] = value
        if fact.entity:
            entities[fact.entity] = str(value)
            if fact.personal == "pseudonym":
                pseudonym = (fact.entity, str(value))
    return TypedFacts(rules, personal, entities, pseudonym)


def type_metrics(action: Action, raw: Mapping[str, object], prefix: str = "/metrics") -> dict[str, Typed]:
    """The metrics of one outcome, typed like facts; null is refused, because absent says the same.

    Raises: FactsInvalid with every fault.
    """
    return _type_all(action.outcome, raw, prefix, "METRIC")


def _type_all(contract: Mapping[str, Fact], raw: Mapping[str, object], prefix: str, noun: str) -> dict[str, Typed]:
    typed: dict[str, Typed] = {}
    faults: list[Fault] = []
    for name, fact in contract.items():
        if name not in raw:
            if fact.default is not None:
                typed[name] = fact.default
            elif not fact.optional:
                faults.append(Fault(f"MISSING_{noun}", f"{prefix}/{name}", f"{name} is missing"))
            continue
        try:
            typed[name] = to_typed(fact, raw[name])
        except QuantityRefused as refused:
            faults.append(Fault(refused.code, f"{prefix}/{name}", f"{name}: {refused.message}"))
    if len(raw.keys() - contract.keys()):
        faults.extend(_unknown(contract, raw, prefix, noun))
    if faults:
        what = "facts" if noun == "FACT" else "metrics"
        raise FactsInvalid(f"couldn't accept the {what}: {faults[0].message}", faults[:FAULT_LIMIT])
    return typed


def _unknown(contract: Mapping[str, Fact], raw: Mapping[str, object], prefix: str, noun: str) -> list[Fault]:
    faults = []
    for key in [key for key in raw if key not in contract][:FAULT_LIMIT]:
        shown = key[:64].encode("ascii", "backslashreplace").decode()
        pointer = shown.replace("~", "~0").replace("/", "~1")
        hint = nearest(shown, contract)
        message = f"no {noun.lower()} is named '{shown}'" + (f"; {hint}" if hint else "")
        faults.append(Fault(f"UNKNOWN_{noun}", f"{prefix}/{pointer}", message))
    return faults

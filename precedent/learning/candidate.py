"""A policy that was not asked, tried on what another was told. Nothing is guessed: what it needs and was not recorded is told apart.

The recorded facts are in the units of the recorded contract. They mean the same to the candidate where both declare the fact alike;
where they don't, or the candidate would refuse the value, the decision counts as not decidable, with the reason. Besides:

- A fact that the candidate doesn't name is left out: a caller under its contract would not send it.
- An optional fact that was not sent stays absent, and a default stands for it, as if the same request came today. One that was
  personal when it was recorded may have been sent: then nobody knows.
- A feature that a rule of the candidate reads must have been looked up. One that was, and was not known, is missing to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from precedent.learning.replay import Recorded
from precedent.policy.compile import CompiledAction, CompiledPolicy
from precedent.policy.evaluate import Moment, evaluate, moment_of
from precedent.policy.facts import Typed
from precedent.policy.model import PRECEDENT_VALUES, Action, Fact


class NotDecidable(Exception):
    """What was recorded doesn't tell what the candidate would have decided; the text is the reason, the same for all like it."""


@dataclass(frozen=True, slots=True)
class _Binding:
    """How facts and features under one recorded contract become those of the candidate; `why_not` where they never do."""

    why_not: str | None
    facts: tuple[Fact, ...]
    defaults: Mapping[str, Typed]
    features: frozenset[str]
    has_same_zone: bool
    is_same_contract: bool


class Candidate:
    """Decides recorded decisions by `policy`; how each recorded contract fits is worked out once."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self.policy = policy
        self._bindings: dict[tuple[str, str], _Binding] = {}

    def concerns(self, recorded: Recorded) -> bool:
        """Whether the candidate would be asked at all."""
        return recorded.core["node"] == self.policy.document.node and recorded.action in self.policy.actions

    def decide(self, asked: CompiledPolicy, recorded: Recorded) -> dict[str, Any]:
        """The `result` by this policy of what was asked of `asked`, the recorded one.

        Raises: NotDecidable.
        """
        key = (asked.document.digest_hex, recorded.action)
        binding = self._bindings.get(key)
        if binding is None:
            binding = self._bindings[key] = self._bind(asked, recorded.action)
        if binding.why_not is not None:
            raise NotDecidable(binding.why_not)
        facts = recorded.facts if binding.is_same_contract else _facts_for(binding, recorded.facts)
        features = {name: value for name, value in recorded.features.items() if name in binding.features}
        moment = recorded.moment if binding.has_same_zone else self._moment(recorded)
        return evaluate(self.policy, recorded.action, facts, features, moment, recorded.control).as_core()

    def _moment(self, recorded: Recorded) -> Moment:
        return moment_of(recorded.moment.at_us, self.policy.document.time_zone)

    def _bind(self, asked: CompiledPolicy, action: str) -> _Binding:
        theirs, ours = asked.document.actions.get(action), self.policy.actions[action]
        has_same_zone = asked.document.time_zone == self.policy.document.time_zone
        if theirs is None:
            return _Binding(f"{asked.document.ref} has no action {action}", (), {}, frozenset(), has_same_zone, False)
        readable = tuple(fact for fact in ours.action.facts.values() if fact.is_readable)
        missing = [*_unknown_facts(readable, theirs), *_unknown_features(ours, theirs)]
        return _Binding(
            why_not="; ".join(missing) or None,
            facts=tuple(fact for fact in readable if fact.name in theirs.facts),
            defaults={fact.name: fact.default for fact in readable if fact.default is not None and fact.name not in theirs.facts},
            features=frozenset(ours.action.memory),
            has_same_zone=has_same_zone,
            is_same_contract=dict(theirs.facts) == dict(ours.action.facts),
        )


def _unknown_facts(readable: tuple[Fact, ...], theirs: Action) -> list[str]:
    missing = []
    for fact in readable:
        known = theirs.facts.get(fact.name)
        if known is None and not fact.optional and fact.default is None:
            missing.append(f"the fact {fact.name} was not asked for")
        elif known is not None and not known.is_readable:
            missing.append(f"the fact {fact.name} is recorded as personal")
        elif known is not None and (known.type, known.currency) != (fact.type, fact.currency):
            missing.append(f"the fact {fact.name} was recorded as {_type_of(known)}, not {_type_of(fact)}")
    return missing


def _unknown_features(ours: CompiledAction, theirs: Action) -> list[str]:
    """Features that are declared and read by no rule change nothing."""
    read = {name for rule in (*ours.guards, *ours.bands, ours.otherwise) for name in (*rule.reads, *rule.words.pieces[1::2])}
    missing = [f"the feature {name} was not looked up" for name in ours.action.features if f"memory.{name}" in read - _known(theirs)]
    if ours.action.precedents_k != theirs.precedents_k and any(f"memory.{name}" in read for name in PRECEDENT_VALUES):
        missing.append(f"not {ours.action.precedents_k} precedents were looked up, but {theirs.precedents_k or 'none'}")
    return missing


def _known(theirs: Action) -> set[str]:
    return {f"memory.{name}" for name in theirs.features}


def _facts_for(binding: _Binding, given: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = dict(binding.defaults)
    for fact in binding.facts:
        value = given.get(fact.name)
        if value is None:
            if fact.default is not None:
                facts[fact.name] = fact.default
            elif not fact.optional:
                raise NotDecidable(f"the fact {fact.name} was not sent")
            continue
        if not _is_allowed(fact, value):
            raise NotDecidable(f"the value of {fact.name} would be refused")
        facts[fact.name] = value
    return facts


def _is_allowed(fact: Fact, value: Any) -> bool:
    if fact.values:
        return value in fact.values
    return (fact.minimum is None or value >= fact.minimum) and (fact.maximum is None or value <= fact.maximum)


def _type_of(fact: Fact) -> str:
    return f"{fact.type} {fact.currency}" if fact.currency else fact.type

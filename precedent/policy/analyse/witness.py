"""A case as a request would write it, and what the real evaluator answers to it. No witness is told without that answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from precedent.clock import EPOCH
from precedent.policy.analyse.inputs import Case
from precedent.policy.compile import CompiledAction, CompiledPolicy, CompiledRule
from precedent.policy.evaluate import evaluate, moment_of
from precedent.policy.facts import type_facts
from precedent.policy.model import Fact
from precedent.policy.quantity import money_decimals, parse_date, parse_instant, write_own
from precedent.policy.result import Control, Result
from precedent.policy.thresholds import Value

_MONDAY = datetime(2026, 11, 16)  # noqa: DTZ001 - a wall clock; its zone is the policy's
_USUAL = {"date": parse_date("2026-11-16"), "instant": parse_instant("2026-11-16T12:00:00Z")}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the evaluator said: to `rule` belongs its verdict and the level that it uses."""

    verdict: str
    level: int
    rule: str
    reason: str
    effective: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict, "level": self.level, "rule": self.rule, "reason": self.reason, "effective": self.effective,
        }  # fmt: skip

    def __str__(self) -> str:
        how = f"{self.verdict} AL{self.level}" if self.verdict == "approve" else self.verdict
        return f"{how} by {self.rule}" + (" (it errs)" if self.reason == "RULE_ERROR" else "")


@dataclass(frozen=True, slots=True)
class Witness:
    """One case in its own units: `facts` and `memory` as a suite writes them, and an instant."""

    facts: Mapping[str, int | bool | str]
    memory: Mapping[str, Value]
    now: str
    answer: Answer

    def as_json(self) -> dict[str, Any]:
        return {"facts": dict(self.facts), "memory": dict(self.memory), "now": self.now, "answer": self.answer.as_json()}

    @property
    def input(self) -> str:
        """What is asked, in one line."""
        said = [f"{name} {_shown(value)}" for name, value in (*self.facts.items(), *self.memory.items())]
        return ", ".join([*said, f"at {self.now}"])

    def __str__(self) -> str:
        return f"{self.input}: {self.answer}"


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) or value else "''"


@dataclass(frozen=True, slots=True)
class Trial:
    """A case that was put to the real evaluator: as a witness, its whole result, and every name's value as rules read it."""

    witness: Witness
    result: Result
    values: Mapping[str, Value]

    def holds(self, rule: CompiledRule, environment: Any) -> bool:
        """Whether the rule's condition holds on the case, by itself."""
        if any(name not in self.values for name in rule.reads):
            return False
        return rule.expression.eval(environment.Activation(self.values)).value() is True


def put(policy: CompiledPolicy, action: str, case: Case, control: Control, usual: Mapping[str, Value] | None = None) -> Trial:
    """The case put to the real evaluator on its whole way: written as a request, typed, decided.

    `usual` are typed values of facts that the case leaves open.

    Raises: FactsInvalid where the request would be refused.
    """
    compiled = policy.actions[action]
    raw = written(compiled, {**(usual or {}), **case.facts})
    known = {name for name, _, _, _ in compiled.features}
    features = {name: value for name, value in case.features.items() if name in known}
    now = instant(case, policy.document.time_zone)
    moment = moment_of(parse_instant(now), policy.document.time_zone)
    typed = type_facts(compiled.action, raw).rules
    result = evaluate(policy, action, typed, features, moment, control)
    answer = Answer(result.verdict, result.level, result.rule, result.reasons[0].code, result.effective)
    values: dict[str, Value] = {"weekday": moment.weekday, "local_minute": moment.local_minute}
    values.update((f"facts.{name}", value) for name, value in typed.items())
    values.update((f"memory.{name}", missing) for name, missing in compiled.action.memory.items() if missing is not None)
    values.update((f"memory.{name}", value) for name, value in features.items())
    return Trial(Witness(raw, features, now, answer), result, values)


def written(compiled: CompiledAction, typed: Mapping[str, Value]) -> dict[str, int | bool | str]:
    """Facts as a request writes them; one that must be there and is open gets a usual value, an optional one is left out."""
    raw: dict[str, int | bool | str] = {}
    for name, fact in compiled.action.facts.items():
        if name in typed and not (fact.optional and typed[name] == fact.default):
            raw[name] = write_fact(fact, typed[name])
        elif not fact.optional:
            raw[name] = write_fact(fact, _any_value(fact))
    return raw


def write_fact(fact: Fact, value: Value) -> int | bool | str:
    """One value in its fact's own units: a ratio `0.08`, money with all its digits `12000.00`, an instant to the microsecond."""
    if isinstance(value, (bool, str)) or fact.type == "int":
        return value
    if fact.type == "instant":
        text = (EPOCH + timedelta(microseconds=value)).isoformat()
        return text.replace("+00:00", "Z")
    if fact.type == "money" and (decimals := money_decimals(fact.currency or "")):
        whole, rest = divmod(abs(value), 10**decimals)
        return f"{'-' if value < 0 else ''}{whole}.{rest:0{decimals}d}"
    return write_own(value, fact.type, fact.currency)


def _any_value(fact: Fact) -> Value:
    if fact.type == "bool":
        return False
    if fact.type == "enum":
        return fact.values[0]
    if fact.type in {"string", "text"}:
        return "x"
    value = max(_USUAL.get(fact.type, 0), fact.minimum if fact.minimum is not None else -(10**18))
    return value if fact.maximum is None else min(value, fact.maximum)


def instant(case: Case, time_zone: str) -> str:
    """An instant that is that minute of that weekday in the zone; one in winter of 2026, or later where the clocks leave it out."""
    zone = ZoneInfo(time_zone)
    for week in range(8):
        local = _MONDAY + timedelta(weeks=week, days=case.weekday - 1, minutes=case.local_minute)
        at = local.replace(tzinfo=zone).astimezone(UTC)
        back = at.astimezone(zone)
        if (back.isoweekday(), back.hour * 60 + back.minute) == (case.weekday, case.local_minute):
            return back.isoformat().replace("+00:00", "Z")
    raise ValueError(f"no such minute in {time_zone}")

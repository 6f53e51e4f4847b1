"""What goes into an evaluation beside the facts, and what comes out of it, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from precedent.policy.nearest import Counterfactual
from precedent.policy.thresholds import Value


@dataclass(frozen=True, slots=True)
class Control:
    """Halts and the grant: `max_level` is the highest level at which the action may act alone."""

    halted: bool
    enabled: bool
    max_level: int


class Moment(NamedTuple):
    """When the decision is made: `weekday` 1 Monday to 7 Sunday and `local_minute` 0 to 1439, in the policy's zone."""

    at_us: int
    weekday: int
    local_minute: int


class Reason(NamedTuple):
    code: str
    text: str


class Step(NamedTuple):
    """One rule that was asked: `held` is held, not or error, `read` what it read. A tuple, since a decision makes one a rule."""

    rule: str
    held: str
    read: Mapping[str, Value]
    error: str | None = None

    def as_core(self) -> dict[str, Any]:
        core: dict[str, Any] = {"rule": self.rule, "held": self.held, "read": dict(self.read)}
        if self.error is not None:
            core["error"] = self.error
        return core


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the policy would do, where a person decides."""

    verdict: str
    level: int
    rule: str


class Result(NamedTuple):
    """What was decided and why. `band_numbers` are those of the deciding band, {} where no band decided."""

    verdict: str
    level: int
    rule: str
    reasons: tuple[Reason, ...]
    trace: tuple[Step, ...]
    effective: bool
    requires_human: bool
    counterfactual: Counterfactual | None = None
    recommendation: Recommendation | None = None
    notify: str | None = None
    reversible_seconds: int | None = None
    audit_ppm: int = 0
    review_to: str | None = None
    within_seconds: int | None = None
    on_timeout: str | None = None
    band_numbers: Mapping[str, int] = MappingProxyType({})

    def as_core(self) -> dict[str, Any]:
        """The `result` of a ledger entry: null, booleans, integers, strings, lists and objects only."""
        change, advice = self.counterfactual, self.recommendation
        return {
            "verdict": self.verdict,
            "level": self.level,
            "rule": self.rule,
            "reasons": [{"code": reason.code, "text": reason.text} for reason in self.reasons],
            "trace": [step.as_core() for step in self.trace],
            "effective": self.effective,
            "requires_human": self.requires_human,
            "counterfactual": change and {"text": change.text, "changes": [{"fact": fact, "to": to} for fact, to in change.changes]},
            "recommendation": advice and {"verdict": advice.verdict, "level": advice.level, "rule": advice.rule},
            "notify": self.notify,
            "reversible_seconds": self.reversible_seconds,
            "audit_ppm": self.audit_ppm,
            "review_to": self.review_to,
            "within_seconds": self.within_seconds,
            "on_timeout": self.on_timeout,
            "band_numbers": dict(self.band_numbers),
        }

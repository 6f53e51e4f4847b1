"""The shape of an explanation, as `api/models.py` has the others."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.models import Counterfactual, Hex, Level, Reason, Recommendation, ReviewState, SnapshotUsed, Strict, Verdict


class Told(Strict):
    name: str
    text: str = Field(description="as people read it")
    value: int | bool | str = Field(description="as it was recorded")


class ToldRule(Strict):
    name: str
    kind: Literal["guard", "band", "otherwise"]
    state: Literal["held", "not", "error", "not_asked"]
    decided: bool
    level: Level | None
    text: str
    read: list[Told] = Field(description="what the rule read")


class ToldPrecedent(Strict):
    id: UUID
    relation: Literal["followed", "departed"] = Field(description="whether this decision has its verdict")
    verdict: Verdict
    distance: float = Field(description="cosine distance, 0 to 2")
    text: str


class ToldPrecedents(Strict):
    text: str
    novel: bool
    model: str | None
    cases: list[ToldPrecedent] = Field(
        description="the nearest first; the nearest with another verdict is the last where it is none of them"
    )


class ToldOutcome(Strict):
    revision: int
    reward: float | None
    observed_at: datetime
    recorded_at: datetime
    metrics: list[Told]


class ToldPlace(Strict):
    chain: str
    seq: int
    hash: Hex
    proof: str


class ExplanationAnswer(Strict):
    id: UUID
    node: str
    action: str
    headline: str
    verdict: Verdict
    effective: bool
    requires_human: bool
    autonomy_level: Level
    level_text: str
    rule: str
    reasons: list[Reason]
    counterfactual: Counterfactual | None
    recommendation: Recommendation | None
    decided_at: datetime
    recorded_at: datetime
    imported: bool
    principal: str
    policy_version: str
    policy_digest: Hex
    policy_owner: str
    policy_description: str
    variant: str
    evaluator: str
    control: dict[str, Any]
    facts: list[Told]
    memory: list[Told]
    precedents: ToldPrecedents | None = Field(description="null where neither the policy nor the caller named them")
    snapshot: SnapshotUsed | None = Field(description="of the newest day that was known, where the policy or the caller named it")
    rules: list[ToldRule] = Field(description="in the order in which they stand; those after the deciding one were not asked")
    review: ReviewState | None
    outcome: ToldOutcome | None
    personal: dict[str, Any] | None = Field(description="null without the scope personal:read")
    ledger: ToldPlace

"""The shapes of reviews: the queue, and a person's answer."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from api.contracts import CorrelationId
from api.models import Hex, Level, Receipt, ReviewCourse, ReviewKind, ReviewStatus, Spoken, Strict, Verdict

_DECISION = "0199a1b2-0000-7000-8000-000000000001"
_HASH = "b6d2a7c30e0d3a5d4c4a6f0f2f5e9f6f8a1c7c2d9e4b5a60718293a4b5c6d7e8"
_PLACE: JsonDict = {
    "hash": "5f1d" * 16,
    "prev_hash": "a07b" * 16,
    "receipt": {"chain": "main", "seq": 1208, "envelope": "AQMAAA=="},
}


class ReviewItem(ReviewCourse):
    """One row of the queue: the review, and what a person needs to know of the decision."""

    decision_id: UUID
    node: str
    action: str
    is_overdue: bool
    assigned_to: str | None
    digest: Hex | None = Field(description="the decision's hash: an answer is bound to it")
    verdict: Verdict | None
    autonomy_level: Level | None
    rule: str | None
    why: str | None = Field(description="the decision's first reason")
    recommended: Verdict | None
    asked_by: str | None
    policy_version: str | None


_ITEM: JsonDict = {
    "decision_id": _DECISION, "kind": "escalation", "node": "finance", "action": "approve_discount", "status": "open", "is_overdue": False,
    "assigned_to": "CFO", "raised_to": None, "due_at": "2026-11-27T09:00:00.000000Z", "on_timeout": "deny",
    "opened_at": "2026-11-26T09:00:00.000000Z", "reminded_at": None, "raised_at": None, "timed_out_at": None, "closed_at": None,
    "reviewer": None, "answer": None, "reason": None, "answer_id": None, "digest": _HASH, "verdict": "escalate", "autonomy_level": 0,
    "rule": "otherwise", "why": "18 % off lies outside every band", "recommended": None, "asked_by": "sales-bot",
    "policy_version": "finance-constitution@1.1.0",
}  # fmt: skip


class ReviewPage(Strict):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"items": [_ITEM], "next": None}]})
    items: list[ReviewItem]
    next: str | None = Field(description="send it as `after` for the next page; null on the last")


class ReviewRequest(Strict):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"answer": "approve", "reason": "strategic customer, margin is recovered", "digest": _HASH}]},
    )
    answer: Spoken = Field(description="approve or deny an escalation, reverse what can be reversed, confirm or reverse an audit")
    reason: str = Field(
        min_length=1, max_length=1000, pattern=r"\S", description="not blank; it stands in the ledger for good: nothing personal"
    )
    digest: Hex = Field(description="the hash of the decision that was looked at")
    correlation_id: CorrelationId | None = None


class ReviewAnswer(Strict):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "0199a1b2-0000-7000-8000-000000000002", "decision_id": _DECISION, "node": "finance", "action": "approve_discount",
                    "kind": "escalation", "answer": "approve", "status": "approved", "reviewer": "anna",
                    "reason": "strategic customer, margin is recovered", "digest": _HASH, "recorded_at": "2026-11-26T10:12:00.000000Z",
                    "correlation_id": "c-1", **_PLACE,
                }
            ]
        },
    )  # fmt: skip
    id: UUID
    decision_id: UUID
    node: str
    action: str
    kind: ReviewKind
    answer: Spoken
    status: ReviewStatus
    reviewer: str
    reason: str
    digest: Hex
    recorded_at: datetime
    correlation_id: str
    hash: Hex
    prev_hash: Hex
    receipt: Receipt

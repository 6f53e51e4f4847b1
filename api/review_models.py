"""The shapes of reviews: the queue, and a person's answer."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.contracts import CorrelationId
from api.models import Hex, Level, Receipt, ReviewCourse, ReviewKind, ReviewStatus, Spoken, Strict, Verdict


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


class ReviewPage(Strict):
    items: list[ReviewItem]
    next: str | None = Field(description="send it as `after` for the next page; null on the last")


class ReviewRequest(Strict):
    answer: Spoken = Field(description="approve or deny an escalation, reverse what can be reversed, confirm or reverse an audit")
    reason: str = Field(
        min_length=1, max_length=1000, pattern=r"\S", description="not blank; it stands in the ledger for good: nothing personal"
    )
    digest: Hex = Field(description="the hash of the decision that was looked at")
    correlation_id: CorrelationId | None = None


class ReviewAnswer(Strict):
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

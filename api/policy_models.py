"""The shapes of policies and of their changes, as `api/models.py` has the others."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.models import Hex, Receipt, Strict


class PolicyRow(Strict):
    name: str
    version: str
    node: str
    digest: Hex
    status: Literal["published", "active", "superseded", "deactivated", "withdrawn"]
    created_at: datetime
    created_by: str
    activated_at: datetime | None


class PolicyPage(Strict):
    items: list[PolicyRow]
    next: str | None


class PolicyWhole(PolicyRow):
    source: str
    document: dict[str, Any]


class PolicyChecked(Strict):
    ref: str
    node: str
    actions: list[str]
    digest: Hex


class PolicyStep(Strict):
    """What a step did, from its entry; without a receipt where the version was so already, and nothing was recorded."""

    ref: str
    name: str
    version: str
    node: str
    status: Literal["active", "superseded", "deactivated", "withdrawn", "published"]
    reason: str | None
    updated_at: datetime | None
    updated_by: str | None
    hash: Hex | None
    prev_hash: Hex | None
    receipt: Receipt | None


class StepRequest(Strict):
    """Why; it is recorded."""

    reason: str = Field(min_length=1, max_length=500)


class OptionalStepRequest(Strict):
    """Why, where somebody wants to say it; it is recorded."""

    reason: str | None = Field(None, min_length=1, max_length=500)


class ProposalAnswer(Strict):
    """What one person asked for and another answers."""

    id: UUID
    node: str
    op: Literal["activate", "relax"] = Field(description="relax: the node shall ask for one person alone")
    ref: str | None
    name: str | None
    version: str | None
    replaces: str | None = Field(description="the version that was active when this was proposed")
    status: Literal["open", "approved", "rejected", "lapsed"] = Field(description="lapsed: the policy changed meanwhile")
    reason: str | None
    proposed_by: str
    proposed_at: datetime
    closed_by: str | None
    closed_at: datetime | None
    closing_reason: str | None


class ProposalPage(Strict):
    items: list[ProposalAnswer]
    next: str | None


class ChangeControlRequest(Strict):
    second_person: bool
    reason: str = Field(min_length=1, max_length=500)


class ChangeControlRow(Strict):
    node: str
    second_person: bool
    reason: str
    updated_at: datetime
    updated_by: str


class ChangeControlSet(Strict):
    """What was set, from its entry; nothing but the setting where it was so already, and nothing was recorded."""

    node: str
    second_person: bool
    reason: str | None
    updated_at: datetime | None
    updated_by: str | None
    hash: Hex | None
    prev_hash: Hex | None
    receipt: Receipt | None


class ChangeControlAnswer(Strict):
    items: list[ChangeControlRow]

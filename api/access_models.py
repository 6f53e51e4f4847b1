"""The shapes of AuthZEN, as `api/models.py` has the others."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.contracts import Text
from api.models import IN_PLACE, DecisionAnswer, Fault

# May be left out, and is nothing else than what it is.
_LEFT_OUT: Any = Field(default_factory=dict)


class AccessEntity(BaseModel):
    """A subject or a resource. Where the action has a fact that finds a thing of this `type`, `id` is that fact."""

    type: Text
    id: Text
    properties: dict[str, Any] | None = Field(None, description="facts")


class AccessAction(BaseModel):
    name: Text = Field(pattern="^[^/]+/.+$", description="node and action: finance/approve_discount")
    properties: dict[str, Any] | None = Field(None, description="facts")


class AccessRequest(BaseModel):
    """What may who do to what: properties and context together are the facts, each named once."""

    subject: AccessEntity
    action: AccessAction
    resource: AccessEntity
    context: dict[str, Any] | None = Field(None, description="facts")


class AccessDefaults(BaseModel):
    """One evaluation of several; what it leaves out is taken from beside the list."""

    subject: AccessEntity = _LEFT_OUT
    action: AccessAction = _LEFT_OUT
    resource: AccessEntity = _LEFT_OUT
    context: dict[str, Any] | None = None


class AccessOptions(BaseModel):
    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


class AccessRequests(BaseModel):
    """Up to 1,000 evaluations; without any, the members beside the list are the one that is asked.

    Beside a list they are defaults, looked at where an evaluation takes them.
    """

    subject: AccessEntity | Any = _LEFT_OUT
    action: AccessAction | Any = _LEFT_OUT
    resource: AccessEntity | Any = _LEFT_OUT
    context: dict[str, Any] | Any = None
    evaluations: list[AccessDefaults | Any] | None = Field(None, max_length=1000, description=IN_PLACE)
    options: AccessOptions | None = None


class AccessError(BaseModel):
    model_config = ConfigDict(extra="forbid")
    status: int
    code: str
    message: str
    errors: list[Fault]


class AccessRefused(BaseModel):
    """Why one evaluation of several could not be decided; nothing was recorded for it."""

    model_config = ConfigDict(extra="forbid")
    error: AccessError


class AccessAnswer(BaseModel):
    """`decision` is true only for an approval that is in effect; `context` is the recorded decision."""

    model_config = ConfigDict(extra="forbid")
    decision: bool
    context: DecisionAnswer


class AccessAnswerInList(BaseModel):
    model_config = ConfigDict(extra="forbid")
    decision: bool
    context: DecisionAnswer | AccessRefused


class AccessAnswers(BaseModel):
    """In the order of the request; shorter where the semantic ended it."""

    model_config = ConfigDict(extra="forbid")
    evaluations: list[AccessAnswerInList]


class AccessConfiguration(BaseModel):
    model_config = ConfigDict(extra="forbid")
    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str

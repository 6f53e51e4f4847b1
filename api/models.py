"""The shapes of requests and answers, for OpenAPI and for the tests that hold answers to them.

The routes read bodies with the strict parser, not with these: duplicate keys, NaN and inexact numbers must be seen as sent.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.contracts import CorrelationId, Text

Verdict = Literal["approve", "deny", "escalate"]
ReviewKind = Literal["escalation", "reversible", "audit"]
ReviewStatus = Literal["open", "approved", "denied", "reversed", "confirmed"]
Spoken = Literal["approve", "deny", "reverse", "confirm"]
Level = Annotated[int, Field(ge=0, le=3)]
Reasoned = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S", description="not blank")]
IN_PLACE = "one that is wrong is answered with a problem in its place, and the others stand"
Hex = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class DecisionRequest(BaseModel):
    """`{action, facts}`, or the flat facts themselves where the node has one action or a default."""

    model_config = ConfigDict(allow_inf_nan=False)
    action: Text | None = None
    facts: dict[str, Any] = Field(default_factory=dict)
    event_id: UUID | None = None
    correlation_id: CorrelationId | None = None
    policy_version: Text | None = Field(None, description="pins a version; needs the scope decisions:pin")
    as_of: datetime | None = Field(None, description="business time of an import; needs the scope import")


class Reason(Strict):
    code: str
    text: str


class Change(Strict):
    fact: str
    to: str


class Counterfactual(Strict):
    text: str
    changes: list[Change]


class Recommendation(Strict):
    verdict: Verdict
    level: Level
    rule: str


class Review(Strict):
    status: Literal["open"]
    to: str | None
    due_at: datetime | None
    on_timeout: str | None


class ReviewCourse(Strict):
    """A review from its opening to its end. Of a reversible decision `due_at` is until when it can be reversed."""

    kind: ReviewKind
    status: ReviewStatus
    raised_to: str | None
    due_at: datetime | None
    on_timeout: str | None
    opened_at: datetime
    reminded_at: datetime | None
    raised_at: datetime | None
    timed_out_at: datetime | None
    closed_at: datetime | None
    reviewer: str | None = Field(description="null while it is open, and where its deadline answered")
    answer: Spoken | None
    reason: str | None
    answer_id: UUID | None = Field(description="of the entry that closed it")


class ReviewState(ReviewCourse):
    """A review as it stands now."""

    to: str | None = Field(description="who was asked, or told")


class Receipt(Strict):
    chain: str
    seq: int
    envelope: str = Field(description="114 bytes, base64")


class Precedent(Strict):
    """A past decision like this one, as it was known at the time of this one."""

    id: UUID
    distance: float = Field(description="cosine distance, 0 to 2")
    verdict: Verdict
    by_person: bool = Field(description="whether the verdict is a person's")
    outcome: float | None = Field(description="its reward, 0 to 1; null where none was known")


class SnapshotUsed(Strict):
    id: UUID
    scope: str
    day: date
    digest: Hex = Field(description="of its structure, SHA-256")


class DecisionAnswer(Strict):
    id: UUID
    node: str
    action: str
    verdict: Verdict
    approved: bool
    effective: bool
    requires_human: bool
    autonomy_level: Level
    rule: str
    reason: str
    reasons: list[Reason]
    policy_version: str
    variant: str
    counterfactual: Counterfactual | None
    recommendation: Recommendation | None
    review: Review | None
    latency_ms: float = Field(description="from the request's first byte to the start of the append")
    ts: datetime
    correlation_id: str
    event_id: UUID | None
    imported: bool
    hash: Hex
    prev_hash: Hex
    receipt: Receipt
    precedents: list[Precedent] = Field(default=[], description="with ?debug=precedents: the nearest first")
    counter_precedent: Precedent | None = Field(None, description="with ?debug=precedents: the nearest with another verdict than theirs")
    novel: bool | None = Field(None, description="with ?debug=precedents: whether nothing known lies near")
    snapshot: SnapshotUsed | None = Field(None, description="with ?debug=precedents: the newest that was known")


class DecisionWhole(DecisionAnswer):
    review: ReviewState | None  # type: ignore[assignment]  # as it stands now, of every kind
    inputs: dict[str, int | bool | str]
    entities: dict[str, str]
    subject_id: UUID | None
    memory: dict[str, Any]
    trace: list[dict[str, Any]]
    notify: str | None
    reversible_seconds: int | None
    derivation: dict[str, Any]
    principal: str
    recorded_at: datetime
    personal: dict[str, Any] | None = None


class DecisionBatch(Strict):
    decisions: list[DecisionRequest | Any] = Field(min_length=1, max_length=1000, description=IN_PLACE)


class OutcomeRequest(Strict):
    metrics: dict[str, Any]
    observed_at: datetime | None = None
    as_of: datetime | None = None
    correlation_id: CorrelationId | None = None


class OutcomeAnswer(Strict):
    id: UUID
    decision_id: UUID
    revision: int
    metrics: dict[str, int | bool | str]
    reward: float | None = Field(ge=0, le=1)
    counted: bool
    observed_at: datetime
    recorded_at: datetime
    correlation_id: str
    imported: bool
    hash: Hex
    prev_hash: Hex
    receipt: Receipt


class Revision(Strict):
    decision_id: UUID
    revision: int
    id: UUID
    seq: int
    metrics: dict[str, int | bool | str]
    reward: float | None
    counted: bool
    observed_at: datetime
    recorded_at: datetime
    correlation_id: str
    imported: bool


class OutcomeRevisions(Strict):
    decision_id: UUID
    current: Revision | None
    earlier: list[Revision] = Field(description="newest first")


class OutcomeInBatch(OutcomeRequest):
    decision_id: UUID


class OutcomeBatch(Strict):
    outcomes: list[OutcomeInBatch | Any] = Field(min_length=1, max_length=1000, description=IN_PLACE)


class FlagRequest(Strict):
    enabled: bool
    max_level: Level | None = 3
    reason: Reasoned


class KillSwitchRequest(Strict):
    halted: bool
    reason: Reasoned


class FlagRow(Strict):
    node: str
    action: str
    enabled: bool
    max_level: Level
    reason: str
    updated_at: datetime
    updated_by: str


class FlagSet(FlagRow):
    """What was set, from its entry."""

    hash: Hex
    prev_hash: Hex
    receipt: Receipt


class KillSwitchSet(Strict):
    """What was set, from its entry."""

    halted: bool
    reason: str
    updated_at: datetime
    updated_by: str
    hash: Hex
    prev_hash: Hex
    receipt: Receipt


class FlagsAnswer(Strict):
    halted: bool
    items: list[FlagRow]


class ReadyAnswer(Strict):
    ok: bool
    checks: dict[str, dict[str, Any]] = Field(description="each with `ok`, and `why` where it is not")


class ProofAnswer(Strict):
    """RFC 9162, section 2.1.3: `path` leads from `leaf` = SHA256(0x00 || envelope) to `root`, which the checkpoint signs."""

    id: UUID
    chain: str
    leaf_index: int
    leaf: Hex
    envelope: str = Field(description="base64, 114 bytes: the one of the receipt")
    path: list[Hex]
    size: int
    root: Hex
    checkpoint: str = Field(description="C2SP tlog-checkpoint, a signed note: origin, size, root in base64, signature")
    verifier_key: str = Field(description="of the note's signature; trust one that you have from elsewhere")


class KeyOfSizes(Strict):
    verifier_key: str
    first_size: int = Field(description="a checkpoint of so many entries or more is signed by it")
    last_size: int | None = Field(description="up to so many; null while no other followed")


class KeysAnswer(Strict):
    keys: list[KeyOfSizes] = Field(description="the oldest first; each vouched for the next in a `key` entry")
    recoveries: list[dict[str, Any]] = Field(description="`recovery` entries: what was signed and is lost, what was found, and why")


class HeadAnswer(Strict):
    chain: str
    size: int
    hash: Hex | None
    recorded_at: datetime | None


class RouteMeasured(Strict):
    method: str
    route: str
    count: int
    by_status: dict[str, int]
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class MetricsAnswer(Strict):
    requests: list[RouteMeasured]
    problems: list[dict[str, Any]] = Field(description="refusals of this process by route and code")
    decisions_last_day: list[dict[str, Any]]
    variants_last_day: list[dict[str, Any]] = Field(description="by node and policy version, with its share of the node's decisions")
    outcomes_last_week: list[dict[str, Any]] = Field(description="by node: approvals 1 to 8 days old, and those without an outcome")
    reviews: list[dict[str, Any]] = Field(description="by node and kind: what waits, and how those of the last 30 days went")
    models: dict[str, list[dict[str, Any]]] | None = Field(
        description="calls of models today, in UTC, by model, purpose and currency, with the mean day of the week before; and each budget"
    )
    ledger: dict[str, Any]
    outbox: dict[str, Any] | None
    writer: dict[str, int]
    authority: dict[str, Any] | None
    process: dict[str, int]
    failed: list[str] = Field(description="parts that the database did not tell in time")


class RunAnswer(Strict):
    run_id: str
    job: str
    status: str
    finished: bool
    started_at: datetime | None
    ended_at: datetime | None
    partition: str | None
    from_: str | None = Field(alias="from")
    to: str | None
    page: str
    assets_made: int = Field(description="assets that the run has made, each for all of its days; 0 where the answer did not wait")
    assets_planned: int = Field(description="assets that the run makes; 0 where it has not begun, or the answer did not wait")
    error: str | None = Field(description="the words of the last error, up to 2,000 characters; null where nothing failed")
    log: list[str] = Field(description="the last 20 lines of the run's log, oldest first; none where the answer did not wait")


class Page(Strict):
    items: list[dict[str, Any]]
    next: str | None = Field(description="send it as `after` for the next page; null on the last")


class Fault(BaseModel):
    code: str
    message: str
    pointer: str | None = None


class ProblemAnswer(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[Fault] = []
    run_id: str | None = Field(None, description="of JOB_RUNNING: the run that computes what was asked for")
    page: str | None = Field(None, description="of JOB_RUNNING: that run's page")


class DecisionAnswers(Strict):
    answers: list[DecisionAnswer | ProblemAnswer]


class OutcomeAnswers(Strict):
    answers: list[OutcomeAnswer | ProblemAnswer]

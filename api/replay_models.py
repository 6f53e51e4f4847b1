"""The shapes of replays, as `models.py` has those of the rest."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from api.contracts import Text
from api.models import Hex, Level, Reason, Strict, Verdict

MOVE: dict[str, Any] = {
    "from": {"verdict": "approve", "autonomy_level": 3},
    "to": {"verdict": "escalate", "autonomy_level": 0},
    "count": 46,
    "money": [{"fact": "deal_value", "currency": "USD", "amount": "2301000.5"}],
}
EXAMPLE: dict[str, Any] = {
    "id": "01a210d7-d596-78e8-a760-f1d9d97dbd4e",
    "status": "done",
    "finished": True,
    "policy": "finance-constitution@1.1.0",
    "before": None,
    "node": "finance",
    "created_at": "2026-11-22T19:34:12.000000Z",
    "finished_at": "2026-11-22T19:34:13.100000Z",
    "error": None,
    "report": {
        "candidate": "finance-constitution@1.1.0",
        "digest": "6d2f1a3b" * 8,
        "before": "recorded",
        "window": "the last 1,000",
        "head": 1207,
        "read": 1000,
        "decided": 1000,
        "same": 920,
        "flips": 46,
        "reworded": 34,
        "not_decidable": [],
        "agreement": {"verdict": 0.954, "verdict_and_level": 0.954},
        "moves": [MOVE],
        "segments": [
            {
                "action": "approve_discount",
                "fact": "customer_tier",
                "segment": "A",
                "decided": 340,
                "flips": 12,
                "acts_now": 0,
                "acts_no_longer": 12,
                "money": [{"fact": "deal_value", "currency": "USD", "amount": "640000"}],
            }
        ],
        "evaluators": {"precedent/1 cel-expr-python/0.1.3": 1000},
        "differences": [],
    },
}


class ReplayRequest(Strict):
    """The last so many decisions of the policy's actions, or those of a window; at most 100,000."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"policy": "finance-constitution@1.1.0", "last": 1000, "limit": 20}]}
    )
    policy: Text = Field(description="the candidate, published: name@version, or a name for its active version")
    before: Text | None = Field(None, description="a version to compare with; else with what was decided")
    last: int | None = Field(None, ge=1, le=100_000, description="1,000 unless this or a window is named")
    from_: datetime | None = Field(None, alias="from", description="decided from then on")
    to: datetime | None = Field(None, description="decided before then")
    limit: int | None = Field(20, ge=0, le=100, description="how many differing decisions to tell")


class MoneyOfFlips(Strict):
    fact: str
    currency: str
    amount: str = Field(description="a decimal; never added over currencies")


class StandingTold(Strict):
    verdict: Verdict
    autonomy_level: Level


class MoveTold(Strict):
    from_: StandingTold = Field(alias="from")
    to: StandingTold
    count: int
    money: list[MoneyOfFlips]


class SegmentTold(Strict):
    action: str
    fact: str
    segment: str
    decided: int
    flips: int
    acts_now: int = Field(description="flips to an approval that needs no person")
    acts_no_longer: int
    money: list[MoneyOfFlips]


class ResultTold(Strict):
    verdict: Verdict
    autonomy_level: Level
    rule: str
    effective: bool
    requires_human: bool
    reasons: list[Reason]


class DifferenceTold(Strict):
    seq: int
    id: UUID
    correlation_id: str
    ts: datetime
    action: str
    flip: bool
    before: ResultTold
    after: ResultTold


class NotDecidable(Strict):
    reason: str
    count: int


class Agreement(Strict):
    verdict: float | None = Field(ge=0, le=1)
    verdict_and_level: float | None = Field(ge=0, le=1)


class ReplayReport(Strict):
    candidate: str
    digest: Hex
    before: str = Field(description="a version, or `recorded`: what was decided")
    window: str
    head: int = Field(description="seq of the newest entry that was there")
    read: int
    decided: int
    same: int = Field(description="byte by byte")
    flips: int = Field(description="another verdict or level")
    reworded: int = Field(description="the same verdict and level by another rule or for other reasons")
    not_decidable: list[NotDecidable]
    agreement: Agreement
    moves: list[MoveTold]
    segments: list[SegmentTold]
    evaluators: dict[str, int] = Field(description="of what was recorded")
    differences: list[DifferenceTold] = Field(description="the newest, flips first")


class ReplayError(Strict):
    code: str
    detail: str


class ReplayAnswer(Strict):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [EXAMPLE]})
    id: UUID
    status: Literal["waiting", "running", "done", "failed"]
    finished: bool
    policy: str
    before: str | None
    node: str
    created_at: datetime
    finished_at: datetime | None
    error: ReplayError | None
    report: ReplayReport | None

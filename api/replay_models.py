"""The shapes of replays, as `models.py` has those of the rest."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from api.contracts import Text
from api.models import Hex, Level, Reason, Strict, Verdict


class ReplayRequest(Strict):
    """The last so many decisions of the policy's actions, or those of a window; at most 100,000."""

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

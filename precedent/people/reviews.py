"""The queue of what people may answer, those that are due first at its head."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from precedent.clock import EPOCH, from_instant, to_instant
from precedent.db.reads import Reads
from precedent.errors import Fault, FieldInvalid
from precedent.people.review_store import QUEUE_COLUMNS, RATE_COLUMNS, RATES, Row

KINDS = ("escalation", "reversible", "audit")
STATUSES = frozenset({"open", "overdue", "approved", "denied", "reversed", "confirmed"})
LIMIT_MAX = 100
RATES_DAYS = 30

_START = ("-infinity", UUID(int=0))
_NO_DEADLINE = "infinity"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which reviews are asked for: of `nodes` (`*` is every one), of one kind or of all, in a status; `overdue` is open and late."""

    nodes: Collection[str]
    status: str = "open"
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Rows in order, by `QUEUE_COLUMNS` and `is_overdue`; the cursor of the page after, None on the last."""

    reviews: tuple[dict[str, Any], ...]
    next: str | None


def is_drawn(leaf: bytes, audit_ppm: int) -> bool:
    """Whether the draw picks a decision for an audit: a number below a million, from its leaf. `precedent.audit_draw` is the same.

    The leaf is known to nobody before the append, and to everybody after it: who has the export can draw again.
    """
    return int.from_bytes(sha256(b"\x13" + leaf).digest()[:7], "big") % 1_000_000 < audit_ppm


def queue_parameters(chain_id: UUID, filters: Filters, now_us: int, limit: int, after: str | None) -> dict[str, Any]:
    """What `review_store.QUEUE` binds: those that are due first, first; `after` is the `next` of the page before. It asks for one
    row more than a page holds. What can be reversed no more is not listed as open.

    Raises: FieldInvalid for an unknown status or kind, a limit outside 1–100, or a cursor that is none.
    """
    if filters.status not in STATUSES:
        raise _refused("/status", f"'{filters.status}' is no status; there are {', '.join(sorted(STATUSES))}")
    if filters.kind is not None and filters.kind not in KINDS:
        raise _refused("/kind", f"'{filters.kind}' is no kind; there are {', '.join(KINDS)}")
    if not 1 <= limit <= LIMIT_MAX:
        raise _refused("/limit", f"a page holds 1 to {LIMIT_MAX}")
    after_due, after_id = _START if after is None else _read_cursor(after)
    is_overdue = filters.status == "overdue"
    kinds = [kind for kind in (("escalation",) if is_overdue else KINDS) if filters.kind in (None, kind)]
    return {
        "chain_id": chain_id,
        "nodes": None if "*" in filters.nodes else sorted(filters.nodes),
        "kinds": kinds,
        "status": "open" if is_overdue else filters.status,
        "is_open": is_overdue or filters.status == "open",
        "is_overdue": is_overdue,
        "now": instant_at(now_us),
        "limit": limit + 1,
        "after_due": after_due,
        "after_id": after_id,
    }


def page_of(rows: Sequence[Row], now_us: int, limit: int) -> ReviewPage:
    """The page that the rows of `review_store.QUEUE` make."""
    now = instant_at(now_us)
    reviews = tuple(_told(dict(zip(QUEUE_COLUMNS, row, strict=True)), now) for row in rows[:limit])
    return ReviewPage(reviews, _cursor_of(reviews[-1]) if len(rows) > limit else None)


async def review_rates(reads: Reads, chain_id: UUID, now_us: int) -> list[dict[str, Any]]:
    """By node and kind, what waits now, and how the reviews that were closed in the last 30 days went. Shares are None without any.

    Raises: DatabaseUnavailable. Cost: a look at each waiting review, and at each that was closed in that time:
    200 ms at 55,000 of them.
    """
    now = instant_at(now_us)
    parameters = {"chain_id": chain_id, "now": now, "since": now - timedelta(days=RATES_DAYS)}
    rows = [dict(zip(RATE_COLUMNS, row, strict=True)) for row in await reads.fetch(RATES, parameters)]
    for row in rows:
        row["override_rate"] = _share(row["overridden"], row["advised"])
        row["reversal_rate"] = _share(row["reversed"], row["answered"]) if row["kind"] == "audit" else None
    return rows


def instant_at(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _told(review: dict[str, Any], now: datetime) -> dict[str, Any]:
    due_at = review["due_at"]
    late = review["status"] == "open" and review["kind"] == "escalation" and due_at is not None and due_at <= now
    return review | {"is_overdue": late}


def _cursor_of(review: dict[str, Any]) -> str:
    due = review["due_at"].isoformat() if review["due_at"] else _NO_DEADLINE
    return urlsafe_b64encode(f"{due} {review['decision_id']}".encode()).decode().rstrip("=")


def _read_cursor(text: str) -> tuple[str, UUID]:
    try:
        due, decision_id = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(" ")
        # Written anew: the database must never meet a text that only we take for an instant.
        return due if due == _NO_DEADLINE else to_instant(from_instant(due)), UUID(decision_id)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise _refused("/after", "this is no cursor of this list: take `next` of the page before, unchanged") from error


def _refused(pointer: str, message: str) -> FieldInvalid:
    return FieldInvalid(message, [Fault("FIELD_INVALID", pointer, message)])

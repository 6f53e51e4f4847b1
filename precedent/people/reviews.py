"""The queue of decisions that wait for a person, those that are due first at its head."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from precedent.clock import from_instant, to_instant
from precedent.errors import Fault, FieldInvalid
from precedent.people import store

STATUSES = frozenset({"open", "approved", "denied"})
LIMIT_MAX = 100

_START = ("-infinity", UUID(int=0))
_NO_DEADLINE = "infinity"


@dataclass(frozen=True, slots=True)
class Review:
    """One row of the queue. `due_at` is None without a deadline; the last four are None while it is open."""

    decision_id: UUID
    node: str
    action: str
    status: str
    assigned_to: str | None
    due_at: datetime | None
    on_timeout: str | None
    opened_at: datetime
    closed_at: datetime | None
    reviewer: str | None
    answer: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Rows in order, and the cursor of the page after; None on the last."""

    reviews: tuple[Review, ...]
    next: str | None


def queue_parameters(chain_id: UUID, nodes: Collection[str], status: str, limit: int, after: str | None) -> dict[str, Any]:
    """What `store.REVIEWS` binds: those of the `nodes` (`*` is every one) that are due first, first; `after` is the `next` of the
    page before. It asks for one row more than a page holds.

    Raises: FieldInvalid for an unknown status, a limit outside 1–100, or a cursor that is none.
    """
    if status not in STATUSES:
        raise _refused("/status", f"'{status}' is no status; there are {', '.join(sorted(STATUSES))}")
    if not 1 <= limit <= LIMIT_MAX:
        raise _refused("/limit", f"a page holds 1 to {LIMIT_MAX}")
    after_due, after_id = _START if after is None else _read_cursor(after)
    of_nodes = None if "*" in nodes else sorted(nodes)
    return {"chain_id": chain_id, "nodes": of_nodes, "status": status, "limit": limit + 1, "after_due": after_due, "after_id": after_id}


def page_of(rows: Sequence[store.Row], limit: int) -> ReviewPage:
    """The page that the rows of `store.REVIEWS` make."""
    reviews = tuple(Review(*row) for row in rows[:limit])
    return ReviewPage(reviews, _cursor_of(reviews[-1]) if len(rows) > limit else None)


def _cursor_of(review: Review) -> str:
    due = review.due_at.isoformat() if review.due_at else _NO_DEADLINE
    return urlsafe_b64encode(f"{due} {review.decision_id}".encode()).decode().rstrip("=")


def _read_cursor(text: str) -> tuple[str, UUID]:
    try:
        due, decision_id = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(" ")
        # Written anew: the database must never meet a text that only we take for an instant.
        return due if due == _NO_DEADLINE else to_instant(from_instant(due)), UUID(decision_id)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise _refused("/after", "this is no cursor of this list: take `next` of the page before, unchanged") from error


def _refused(pointer: str, message: str) -> FieldInvalid:
    return FieldInvalid(message, [Fault("FIELD_INVALID", pointer, message)])

"""Who may answer a review, with what, and until when. Pure: what is asked here of a row, the append asks again under the chain's lock.

An escalation is approved or denied, until its deadline where that denies. What acted within broader guardrails is reversed within
its window. What the draw picked is confirmed or reversed at any time. Never by who asked for the decision; never twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from precedent.clock import instant_of, to_instant
from precedent.errors import DigestMismatch, Fault, FieldInvalid, NothingToReview, ReviewClosed, ReviewOverdue, SamePerson
from precedent.ledger.store import StoredEntry
from precedent.people.review_store import Row
from precedent.people.reviews import instant_at

ANSWERS = {"escalation": ("approve", "deny"), "reversible": ("reverse",), "audit": ("confirm", "reverse")}
STATUS_OF = {"approve": "approved", "deny": "denied", "reverse": "reversed", "confirm": "confirmed"}
REASON_LIMIT_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Said:
    """What a person answers. `digest` is the decision's hash in hex: it says that this very decision was looked at."""

    decision_id: UUID
    answer: str
    reason: str
    digest: str


@dataclass(frozen=True, slots=True)
class Review:
    """One review as it stands: a row of `review_store.REVIEW_OF`. `due_at` is None without a deadline."""

    decision_id: UUID
    kind: str
    node: str
    action: str
    status: str
    assigned_to: str | None
    raised_to: str | None
    due_at: datetime | None
    on_timeout: str | None
    opened_at: datetime
    reminded_at: datetime | None
    raised_at: datetime | None
    timed_out_at: datetime | None
    closed_at: datetime | None
    reviewer: str | None
    answer: str | None
    reason: str | None
    answer_id: UUID | None


def review_of(row: Row | None) -> Review | None:
    return None if row is None else Review(*row)


def require_other_person(reviewer: str, decision: StoredEntry, actor: str | None) -> None:
    """Raises: SamePerson where the reviewer asked for the decision, or acted in the event that it was made for."""
    asked_by = decision.core["call"]["principal"]
    if reviewer.casefold() in {name.casefold() for name in (asked_by, actor) if name}:
        raise SamePerson("who asked for a decision can't review it: somebody else answers")


def require_digest(said: Said, decision: StoredEntry) -> None:
    """Raises: DigestMismatch."""
    if said.digest != decision.place.leaf.hex():
        raise DigestMismatch(f"this is not the hash of decision {said.decision_id}: read it again, and answer what stands there")


def require_answerable(said: Said, review: Review | None, now_us: int) -> Review:
    """The review, if it takes this answer now.

    Raises: NothingToReview, ReviewClosed, ReviewOverdue; FieldInvalid for an answer that its kind does not know.
    """
    if review is None:
        raise NothingToReview(f"decision {said.decision_id} asks nobody: it can't be reversed, and the draw did not pick it")
    if review.closed_at is not None:
        by = f"by {review.reviewer}" if review.reviewer else "by its deadline"
        raise ReviewClosed(f"this review was {review.status} {by} at {instant_of(review.closed_at)}")
    if said.answer not in ANSWERS[review.kind]:
        message = f"a review of the kind {review.kind} takes {' or '.join(ANSWERS[review.kind])}, not '{said.answer[:32]}'"
        raise FieldInvalid(message, [Fault("FIELD_INVALID", "/answer", message)])
    closes = review.kind == "reversible" or (review.kind == "escalation" and review.on_timeout == "deny")
    if closes and review.due_at is not None and review.due_at <= instant_at(now_us):
        what = "it could be reversed" if review.kind == "reversible" else "an answer was due, else it is denied,"
        raise ReviewOverdue(f"{what} until {instant_of(review.due_at)}")
    return review


def answer_core(said: Said, review: Review, decision: StoredEntry, now_us: int, about: Mapping[str, Any]) -> dict[str, Any]:
    """The core of the entry; `about` tells of the call: principal, correlation id, hash of what was received."""
    return {
        "op": "answer",
        "decision_id": str(said.decision_id),
        "node": review.node,
        "action": review.action,
        "kind": review.kind,
        "answer": said.answer,
        "reason": said.reason,
        "digest": said.digest,
        "policy": decision.core["derivation"]["policy"],
        "rule": decision.core["result"]["rule"],
        "now": to_instant(now_us),
        "to": review.assigned_to,
        **about,
    }

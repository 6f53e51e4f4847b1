"""A person's answer to a decision: judged, appended, and bound to what was decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from precedent.call import Call
from precedent.clock import Clock
from precedent.db.reads import Reads
from precedent.errors import Conflict, DecisionNotFound, Forbidden, HeadMoved, InputRefused, LedgerBroken
from precedent.ledger.entry import MAX_TRIES, Appended, Claimed, Kind, ReviewMoved, Section, draft_entry
from precedent.ledger.idempotency import first_entry
from precedent.ledger.store import Entries, StoredEntry
from precedent.ledger.writer import Writer
from precedent.people.answers import Said, answer_core, require_answerable, require_digest, require_other_person, review_of
from precedent.people.review_store import REVIEW_OF
from precedent.record import Recorded
from precedent.spans import span


class Reviewer:
    """Records answers of people; one an API process, shared by all its requests."""

    def __init__(self, reads: Reads, entries: Entries, writer: Writer, clock: Clock, chain_id: UUID) -> None:
        self._reads = reads
        self._entries = entries
        self._writer = writer
        self._clock = clock
        self._chain_id = chain_id

    async def answer(self, said: Said, call: Call, permit: Callable[[str], None]) -> Recorded:
        """The answer, recorded: of many at once, one is.

        `permit` hears the decision's node, and raises where the caller may not speak of it.

        Raises: what `permit` does, DecisionNotFound, DigestMismatch, SamePerson, NothingToReview, ReviewClosed, ReviewOverdue,
        FieldInvalid, IdempotencyKeyReused and QueueFull, with nothing recorded; DatabaseUnavailable, after which the same claim
        finds again what a lost commit recorded.
        """
        with span("judge") as told:
            decision = await self._find_decision(said.decision_id)
            permit(decision.core["node"])
            actor = await self._actor_of(decision)
            if told is not None:
                told.set_attributes(
                    {"precedent.node": decision.core["node"], "precedent.action": decision.core["action"], "precedent.answer": said.answer}
                )
        for _ in range(MAX_TRIES):
            try:
                core = await self._judge(said, decision, actor, call)
            except (Conflict, Forbidden, InputRefused):
                # Answered, perhaps by this very request, whose answer was lost.
                first = await self._entries.find_claimed(call.claim.claim) if call.claim else None
                if first is None:
                    raise
                return await self._replayed(call, first)
            sections: dict[Section, object] = {Section.CORE: core}
            claim = call.claim
            draft = draft_entry(
                self._clock,
                Kind.REVIEW,
                sections,
                claim=claim.claim if claim else None,
                fingerprint=claim.fingerprint if claim else None,
            )
            match await self._writer.append_as_step(draft):
                case Appended() as place:
                    return Recorded(place, core, {})
                case Claimed() as claimed:
                    return await self._replayed(call, claimed)
                case ReviewMoved():
                    continue
                case other:
                    raise LedgerBroken(f"an entry that is bound to no epoch was answered with {other}")
        raise HeadMoved(f"the review took {MAX_TRIES} other steps meanwhile")

    async def _judge(self, said: Said, decision: StoredEntry, actor: str | None, call: Call) -> dict[str, Any]:
        now_us = self._clock.now_us()
        require_digest(said, decision)
        require_other_person(call.principal, decision, actor)
        row = await self._reads.fetch_one(REVIEW_OF, (self._chain_id, said.decision_id))
        review = require_answerable(said, review_of(row), now_us)
        about = {"principal": call.principal, "correlation_id": call.correlation_id, "received_hash": call.received_hash(None)}
        return answer_core(said, review, decision, now_us, about)

    async def _replayed(self, call: Call, claimed: Claimed) -> Recorded:
        entry = await first_entry(self._entries, call.claim, claimed)
        return Recorded(entry.place, entry.core, entry.facts, is_replay=True)

    async def _find_decision(self, decision_id: UUID) -> StoredEntry:
        entry = await self._entries.find(decision_id)
        if entry is None or entry.place.envelope[1] != Kind.DECISION:
            raise DecisionNotFound(f"no decision has the id {decision_id}")
        return entry

    async def _actor_of(self, decision: StoredEntry) -> str | None:
        """Who acted in the event that the decision was made for, where it names one that is known."""
        event_id = decision.core["call"]["event_id"]
        event = await self._entries.find(UUID(event_id)) if event_id else None
        return event.core["actor"] if event is not None and event.place.envelope[1] == Kind.EVENT else None

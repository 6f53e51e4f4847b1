"""What happened and what came of it: events and outcomes, recorded before anybody is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from precedent.authority import AuthoritySource
from precedent.call import Call
from precedent.clock import Clock, to_instant
from precedent.errors import DecisionNotFound, Fault, FieldInvalid, HeadMoved, LedgerBroken
from precedent.learning.reward import reward_of
from precedent.ledger.entry import MAX_TRIES, Answer, Appended, Claimed, Draft, Kind, Section, SubjectMoved, draft_entry
from precedent.ledger.idempotency import first_entry
from precedent.ledger.store import Entries, StoredEntry
from precedent.ledger.subjects import Subject, Subjects
from precedent.ledger.writer import Writer
from precedent.policy.facts import type_metrics
from precedent.spans import span


@dataclass(frozen=True, slots=True)
class Happening:
    """An event as it came. `payload_text` is the received JSON; with a `subject` it is personal, and stored encrypted, and so are
    `attributes`, those of a CloudEvent as its JSON form has them.

    `pointer` leads to it in what was sent, "" where it was all.
    """

    type: str
    payload_text: str
    actor: str | None = None
    ts_us: int | None = None
    as_of_us: int | None = None
    source: str | None = None
    subject: str | None = None
    attributes: Mapping[str, object] | None = None
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a decision. `metrics` come from a strict parser; `pointer` as of a `Happening`."""

    decision_id: UUID
    metrics: Mapping[str, Any]
    observed_at_us: int | None = None
    as_of_us: int | None = None
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry's place and its core and facts; `is_replay` where an idempotency key had been used before."""

    place: Appended
    core: dict[str, Any]
    facts: dict[str, Any]
    is_replay: bool = False


class Recorder:
    """Records events and outcomes; one an API process, shared by all its requests."""

    def __init__(self, authority: AuthoritySource, subjects: Subjects, entries: Entries, writer: Writer, clock: Clock) -> None:
        self._authority = authority
        self._subjects = subjects
        self._entries = entries
        self._writer = writer
        self._clock = clock

    async def record_event(self, happening: Happening, call: Call) -> Recorded:
        """Raises: FieldInvalid, IdempotencyKeyReused, HeadMoved and QueueFull, with nothing recorded; DatabaseUnavailable, after
        which the same claim finds again what a lost commit recorded.
        """
        self._require_past(happening.as_of_us, f"{happening.pointer}/as_of")
        for _ in range(MAX_TRIES):
            entry_id = self._clock.new_id()
            subject = await self._subjects.resolve("subject", happening.subject) if happening.subject is not None else None
            core = {
                "type": happening.type,
                "actor": happening.actor,
                "ts": _instant(happening.ts_us),
                "as_of": _instant(happening.as_of_us),
                "source": happening.source,
                "subject_id": str(subject.subject_id) if subject else None,
                "received_hash": call.received_hash(subject),
                "correlation_id": call.correlation_id,
                "principal": call.principal,
            }
            payload: dict[str, Any] = {"payload_text": happening.payload_text}
            if happening.attributes is not None:
                payload["cloudevent"] = happening.attributes
            sections: dict[Section, object] = {Section.CORE: core} | ({} if subject else {Section.FACTS: payload})
            draft = self._draft(Kind.EVENT, sections, call, entry_id, subject, payload if subject else None)
            answer = await self._writer.append(draft)
            if isinstance(answer, SubjectMoved) and subject is not None:
                self._subjects.forget(subject)
                continue
            if subject is not None and isinstance(answer, Appended):
                self._subjects.recorded(subject)
            return await self._recorded(answer, core, {} if subject else payload, call)
        raise HeadMoved(f"the event's subject was made anew {MAX_TRIES} times meanwhile")

    async def record_outcome(self, observation: Observation, call: Call, permit: Callable[[str], None]) -> Recorded:
        """A new revision; the one before stays. Its reward is computed with the numbers of the band that decided.

        `permit` hears the decision's node, and raises where the caller may not speak of it.

        Raises: what `permit` does, DecisionNotFound, FactsInvalid, FieldInvalid, IdempotencyKeyReused and QueueFull, with nothing
        recorded; DatabaseUnavailable, after which the same claim finds again what a lost commit recorded.
        """
        self._require_past(observation.as_of_us, f"{observation.pointer}/as_of")
        self._require_past(observation.observed_at_us, f"{observation.pointer}/observed_at")
        with span("judge") as told:
            decision = await self.find_decision(observation.decision_id)
            permit(decision.core["node"])
            core, facts = await self._judge(decision, observation, call)
            if told is not None:
                told.set_attributes({"precedent.node": decision.core["node"], "precedent.action": decision.core["action"]})
        draft = self._draft(Kind.OUTCOME, {Section.CORE: core, Section.FACTS: facts}, call, self._clock.new_id())
        answer = await self._writer.append_as_step(draft)
        return await self._recorded(answer, core, facts, call)

    async def revision_of(self, outcome: Recorded) -> int:
        """The place of an outcome among those of its decision, from 1.

        Raises: DatabaseUnavailable, LedgerBroken.
        """
        revision = await self._entries.revision_at(outcome.place.seq)
        if revision is None:
            raise LedgerBroken(f"the outcome at {outcome.place.seq} has no row")
        return revision

    async def find_decision(self, decision_id: UUID) -> StoredEntry:
        """Raises: DecisionNotFound, DatabaseUnavailable."""
        entry = await self._entries.find(decision_id)
        if entry is None or entry.place.envelope[1] != Kind.DECISION:
            raise DecisionNotFound(f"no decision has the id {decision_id}")
        return entry

    async def _judge(self, decision: StoredEntry, observation: Observation, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
        result, derivation = decision.core["result"], decision.core["derivation"]
        authority = await self._authority.current()
        policy = authority.policies.get(derivation["policy"])
        if policy is None:
            policy = (await self._authority.reload()).policies[derivation["policy"]]
        action = decision.core["action"]
        metrics = type_metrics(policy.document.actions[action], observation.metrics, f"{observation.pointer}/metrics")
        # Nothing came of a permission where a guard, `otherwise` or a person decided.
        band_numbers = result["band_numbers"] if result["verdict"] == "approve" else None
        reward_ppm = reward_of(policy, action, metrics, band_numbers)
        imported = decision.core["call"]["as_of"] is not None or observation.as_of_us is not None
        # Only what a person may take back is asked for: most decisions are none of it.
        may_be_reversed = bool(result["reversible_seconds"] or result["audit_ppm"])
        is_reversed = may_be_reversed and await self._entries.is_reversed(observation.decision_id)
        core = {
            "decision_id": str(observation.decision_id),
            "node": decision.core["node"],
            "experiment": f"{decision.core['node']}/{action}",
            "policy": derivation["policy"],
            "observed_at": _instant(observation.observed_at_us),
            "as_of": _instant(observation.as_of_us),
            "reward_ppm": reward_ppm,
            # Nothing is learned from history, nor from what a person decided.
            "counted": reward_ppm is not None and not imported and not is_reversed and result["effective"] and result["level"] > 0,
            "received_hash": call.received_hash(None),
            "correlation_id": call.correlation_id,
            "principal": call.principal,
        }
        return core, {"metrics": metrics}

    async def _recorded(self, answer: Answer, core: dict[str, Any], facts: dict[str, Any], call: Call) -> Recorded:
        if isinstance(answer, Appended):
            return Recorded(answer, core, facts)
        if not isinstance(answer, Claimed):
            raise LedgerBroken(f"an entry that is bound to no epoch was answered with {answer}")
        entry = await first_entry(self._entries, call.claim, answer)
        return Recorded(entry.place, entry.core, entry.facts, is_replay=True)

    def _draft(
        self,
        kind: Kind,
        sections: dict[Section, object],
        call: Call,
        entry_id: UUID,
        subject: Subject | None = None,
        personal: object = None,
    ) -> Draft:
        return draft_entry(
            self._clock,
            kind,
            sections,
            entry_id=entry_id,
            personal=subject.seal(self._clock, entry_id, personal) if subject else None,
            claim=call.claim.claim if call.claim else None,
            fingerprint=call.claim.fingerprint if call.claim else None,
            subject=subject.new if subject else None,
        )

    def _require_past(self, at_us: int | None, pointer: str) -> None:
        if at_us is not None and at_us > self._clock.now_us():
            message = f"{pointer.rpartition('/')[2]} lies in the future"
            raise FieldInvalid(message, [Fault("FIELD_INVALID", pointer, message)])


def _instant(at_us: int | None) -> str | None:
    return None if at_us is None else to_instant(at_us)

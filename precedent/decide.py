"""The one use case: facts in, by authority and memory, a verdict out, recorded before anybody is told.

    authority → facts typed by the active policy → memory that the policy names → verdict → sections → append → answer

No way back, but one: when flags or policies changed meanwhile, the append refuses and the decision is made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from precedent.authority import Authority, AuthoritySource
from precedent.call import Call
from precedent.clock import Clock, to_instant
from precedent.errors import Fault, FieldInvalid, HeadMoved, InputRefused, NotFound
from precedent.ledger.entry import MAX_TRIES, Appended, Claimed, Draft, Kind, Section, Stale, SubjectMoved, draft_entry
from precedent.ledger.idempotency import first_entry
from precedent.ledger.store import Entries, StoredEntry
from precedent.ledger.subjects import Subject, Subjects
from precedent.ledger.writer import Writer
from precedent.memory.assemble import Memory
from precedent.policy.compile import CompiledPolicy
from precedent.policy.evaluate import EVALUATOR, Control, Moment, evaluate, moment_of
from precedent.policy.facts import TypedFacts, type_facts
from precedent.policy.model import Action
from precedent.policy.remembered import rule_values
from precedent.spans import span

BASELINE = "A"


class Question(NamedTuple):
    """What is asked. `facts` come from a strict parser; `as_of_us` makes it an import, decided as of then.

    `named` are things by type and id: each is the fact that finds an entity of that type, where the action has one.
    `wants_precedents` has precedents and snapshot looked up and recorded, also where the policy doesn't name them.
    """

    node: str
    action: str | None
    facts: Mapping[str, Any]
    facts_prefix: str = "/facts"
    event_id: UUID | None = None
    as_of_us: int | None = None
    policy_ref: str | None = None
    named: tuple[tuple[str, str], ...] = ()
    wants_precedents: bool = False


class Decision(NamedTuple):
    """What was recorded: the entry's place and sections. `is_replay` where an idempotency key had been used before."""

    place: Appended
    core: dict[str, Any]
    facts: dict[str, Any]
    memory: dict[str, Any]
    is_replay: bool = False


class _Prepared(NamedTuple):
    """A decision that is ready to be appended under one authority."""

    draft: Draft
    decision: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
    subject: Subject | None
    authority: Authority


class Decider:
    """Decides questions; one an API process, shared by all its requests."""

    def __init__(
        self, authority: AuthoritySource, subjects: Subjects, memory: Memory, entries: Entries, writer: Writer, clock: Clock
    ) -> None:
        self._authority = authority
        self._subjects = subjects
        self._memory = memory
        self._entries = entries
        self._writer = writer
        self._clock = clock

    async def decide(self, question: Question, call: Call) -> Decision:
        """The decision, recorded.

        Raises: NodeNotFound, ActionNotFound, PolicyNotFound, FactsInvalid, FieldInvalid, IdempotencyKeyReused, HeadMoved and
        QueueFull, with nothing recorded; DatabaseUnavailable, after which the same claim finds again what a lost commit recorded.
        """
        for _ in range(MAX_TRIES):
            try:
                prepared = await self._prepare(question, call)
            except (InputRefused, NotFound):
                # It breaks today's policies; under those of its first time it may have been decided.
                first = await self._entries.find_claimed(call.claim.claim) if call.claim else None
                if first is None:
                    raise
                return replayed(await first_entry(self._entries, call.claim, first))
            answer = await self._writer.append_as_step(prepared.draft, "precedent.decision_id")
            match answer:
                case Appended():
                    if prepared.subject is not None:
                        self._subjects.recorded(prepared.subject)
                    return Decision(answer, *prepared.decision)
                case Claimed():
                    return replayed(await first_entry(self._entries, call.claim, answer))
                case SubjectMoved() if prepared.subject is not None:
                    self._subjects.forget(prepared.subject)
                case Stale():
                    await self._authority.reload(stale=prepared.authority)
        raise HeadMoved(f"flags or policies changed {MAX_TRIES} times while this was decided")

    async def _prepare(self, question: Question, call: Call) -> _Prepared:
        authority = await self._authority.current()
        policy, action = _policy_for(authority, question)
        typed = type_facts(policy.document.actions[action], _facts_of(question, policy.document.actions[action]), question.facts_prefix)
        now_us = self._clock.now_us()
        if question.as_of_us is not None:
            if question.as_of_us > now_us:
                message = "as_of lies in the future"
                raise FieldInvalid(message, [Fault("FIELD_INVALID", f"{question.facts_prefix.removesuffix('/facts')}/as_of", message)])
            now_us = question.as_of_us
        entry_id = self._clock.new_id()
        subject = await self._subject_of(typed, entry_id)
        entities = {kind: _entity_id(typed, subject, kind) for kind in typed.entities}
        declared = policy.document.actions[action]
        with span("memory"):
            memory = await self._memory.read(question.node, declared, typed.rules, entities, now_us, is_asked=question.wants_precedents)
        moment = moment_of(now_us, policy.document.time_zone)
        control = authority.control(question.node, action)
        with span("policy") as told:
            result = evaluate(policy, action, typed.rules, rule_values(memory), moment, control)
            if told is not None:
                told.set_attributes({"precedent.node": question.node, "precedent.action": action, "precedent.verdict": result.verdict})
        core: dict[str, Any] = {
            "node": question.node,
            "action": action,
            "subject_id": str(subject.subject_id) if subject else None,
            "entities": entities,
            "result": result.as_core(),
            "derivation": _derivation(policy, authority, moment, control),
            "call": {
                "correlation_id": call.correlation_id,
                "principal": call.principal,
                "event_id": str(question.event_id) if question.event_id else None,
                "as_of": to_instant(question.as_of_us) if question.as_of_us is not None else None,
                "received_hash": call.received_hash(subject),
                "latency_us": (self._clock.monotonic_ns() - call.received_ns) // 1000,
            },
        }
        facts = {"facts": typed.rules}
        draft = draft_entry(
            self._clock,
            Kind.DECISION,
            {Section.CORE: core, Section.FACTS: facts, Section.MEMORY: memory},
            entry_id=entry_id,
            personal=subject.seal(self._clock, entry_id, {"facts": typed.personal}) if subject else None,
            epoch=authority.epoch,
            claim=call.claim.claim if call.claim else None,
            fingerprint=call.claim.fingerprint if call.claim else None,
            subject=subject.new if subject else None,
        )
        return _Prepared(draft, (core, facts, memory), subject, authority)

    async def _subject_of(self, typed: TypedFacts, entry_id: UUID) -> Subject | None:
        if typed.pseudonym is not None:
            return await self._subjects.resolve(*typed.pseudonym)
        return self._subjects.own(entry_id) if typed.personal else None


def replayed(entry: StoredEntry) -> Decision:
    """A decision as its entry tells it."""
    return Decision(entry.place, entry.core, entry.facts, entry.memory, is_replay=True)


def _policy_for(authority: Authority, question: Question) -> tuple[CompiledPolicy, str]:
    policy, action = authority.policy_for(question.node, question.action)
    if question.policy_ref is not None:
        policy = authority.pinned(question.policy_ref, question.node)
        if action not in policy.actions:
            raise FieldInvalid(f"{policy.document.ref} has no action '{action}'")
    return policy, action


def _facts_of(question: Question, action: Action) -> Mapping[str, Any]:
    """Raises: FieldInvalid where the question names two things for one fact."""
    if not question.named:
        return question.facts
    facts = dict(question.facts)
    for fact in action.facts.values():
        ids = [found for kind, found in question.named if kind == fact.entity]
        ids += [facts[fact.name]] if ids and fact.name in facts else []
        if any(other != ids[0] for other in ids):
            raise FieldInvalid(f"more than one {fact.entity} is named: {fact.name} is one")
        if ids:
            facts[fact.name] = ids[0]
    return facts


def _entity_id(typed: TypedFacts, subject: Subject | None, entity_type: str) -> str:
    """A pseudonym never leaves the personal section: elsewhere its random id stands for it."""
    if typed.pseudonym is not None and typed.pseudonym[0] == entity_type and subject is not None:
        return str(subject.subject_id)
    return typed.entities[entity_type]


def _derivation(policy: CompiledPolicy, authority: Authority, moment: Moment, control: Control) -> dict[str, Any]:
    """With facts and memory, all that the result follows from."""
    return {
        "policy": policy.document.ref,
        "policy_digest": policy.document.digest_hex,
        "evaluator": EVALUATOR,
        "now": to_instant(moment.at_us),
        "weekday": moment.weekday,
        "local_minute": moment.local_minute,
        "epoch": authority.epoch,
        "control": {"halted": control.halted, "enabled": control.enabled, "max_level": control.max_level},
        "variant": BASELINE,
        "probabilities": None,
        "draw": None,
    }

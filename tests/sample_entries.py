"""Drafts of every kind of entry as the API makes them, and a small ledger with something of everything."""

from __future__ import annotations

import os
import uuid
from typing import Any

import psycopg

from precedent.clock import SystemClock, to_instant
from precedent.db.engine import ERASER, connect
from precedent.ledger.entry import Appended, Draft, Kind, NewSubject, Section, draft_entry
from precedent.ledger.epoch_keys import HeldKeys
from precedent.ledger.erase import Erased, apply_erasure
from precedent.ledger.erase_store import find_subject
from precedent.ledger.erasure_memory import Wanted
from precedent.ledger.keyring import Keyring, seal
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append

CLOCK = SystemClock()
KEYRING = Keyring(bytes(32), HeldKeys({"epoch-2026-11": bytes(range(32))}))
EXPERIMENT = "finance/approve_discount"
POLICY = "finance-constitution@1.0.0"


def event(number: int = 0, *, as_of: str | None = None, subject: NewSubject | None = None, **options: Any) -> Draft:
    core = {
        "type": "DiscountRequested",
        "actor": "sales",
        "correlation_id": f"cid-{number}",
        "source": None,
        "principal": "test",
        "subject_id": str(subject.subject_id) if subject else None,
        "ts": None,
        "as_of": as_of,
    }
    return draft_entry(
        CLOCK, Kind.EVENT, {Section.CORE: core, Section.FACTS: {"payload_text": f'{{"deal": {number}}}'}}, subject=subject, **options
    )


def personal_event(number: int = 0) -> Draft:
    """An event of a person who is new here."""
    data_key, entry_id = os.urandom(32), CLOCK.new_id()
    subject = NewSubject(uuid.uuid4(), KEYRING.lookup_hash("customer", f"person-{number}"), *KEYRING.wrap(data_key))
    sealed = seal(data_key, entry_id, b'{"name":"A. Person"}', os.urandom(12))
    return event(number, subject=subject, personal=sealed, entry_id=entry_id)


def decision(
    number: int = 0,
    *,
    verdict: str = "approve",
    as_of: str | None = None,
    text: str = "",
    said: dict[str, Any] | None = None,
    policy_ref: str = POLICY,
    probabilities: dict[str, int] | None = None,
    **options: Any,
) -> Draft:
    """`said` goes over the result; `probabilities` in ppm by variant, where it was drawn."""
    is_escalated = verdict == "escalate"
    result = {
        "verdict": verdict,
        "level": 0 if is_escalated else 2,
        "rule": "otherwise" if is_escalated else "band.small",
        "reasons": [{"code": "ABOVE_LIMITS" if is_escalated else "WITHIN_BAND", "text": text}],
        "effective": not is_escalated,
        "requires_human": is_escalated,
        "review_to": "deal-desk" if is_escalated else None,
        "within_seconds": 3600 if is_escalated else None,
        "on_timeout": "deny" if is_escalated else None,
        "notify": None if is_escalated else "sales",
        "reversible_seconds": None,
        "audit_ppm": 0,
    } | (said or {})
    core = {
        "node": "finance",
        "action": "approve_discount",
        "subject_id": None,
        "entities": {"customer": f"c-{number}"},
        "result": result,
        "derivation": {
            **{"policy": policy_ref, "policy_digest": "ab" * 32, "variant": "A", "now": "2026-11-22T20:00:00.000000Z"},
            "probabilities": probabilities,
        },
        "call": {"correlation_id": f"cid-{number}", "principal": "test", "event_id": None, "as_of": as_of, "latency_us": 1234 + number},
    }
    sections: dict[Section, object] = {
        Section.CORE: core,
        Section.FACTS: {"facts": {"deal_value": 1_200_000 + number, "requested_discount_pct": 800}},
        Section.MEMORY: {"features": {"approvals_30d": number}},
    }
    return draft_entry(CLOCK, Kind.DECISION, sections, **options)


def review_step(op: str, decided: Draft, kind: str, answer: str | None = None, now: str | None = None, **members: Any) -> Draft:
    """One step of a review: an answer, a reminder, its raising, its deadline."""
    core = {
        "op": op,
        "decision_id": str(decided.entry_id),
        "node": "finance",
        "action": "approve_discount",
        "kind": kind,
        "answer": answer,
        "reason": "a reason",
        "now": now or to_instant(CLOCK.now_us()),
        "principal": "anna" if op == "answer" else "system",
        "to": "deal-desk",
        "correlation_id": "cid",
    }
    options = {name: members.pop(name) for name in ("claim", "fingerprint") if name in members}
    return draft_entry(CLOCK, Kind.REVIEW, {Section.CORE: core | members}, **options)


def escalation(number: int = 0, **said: Any) -> Draft:
    return decision(number, verdict="escalate", said=said)


def reversible(number: int = 0, seconds: int = 3600) -> Draft:
    return decision(number, said={"reversible_seconds": seconds})


def audited(number: int = 0) -> Draft:
    """A decision that every draw picks."""
    return decision(number, said={"level": 3, "audit_ppm": 1_000_000, "notify": None})


def review_all(url: str) -> None:
    """Reviews of each kind, in each state that one can have."""
    approved, denied, reminded, raised, waiting = (escalation(n) for n in range(5))
    silent = escalation(5, on_timeout="escalate", within_seconds=0)
    late = escalation(6, within_seconds=0)
    undone, doable, confirmed, undone_later, unseen = reversible(7), reversible(8), audited(9), audited(10), audited(11)
    decided = [approved, denied, reminded, raised, waiting, silent, late, undone, doable, confirmed, undone_later, unseen]
    append_all(url, decided)
    for draft in (
        review_step("answer", approved, "escalation", "approve"),
        review_step("answer", denied, "escalation", "deny"),
        review_step("remind", raised, "escalation"),
        review_step("raise", raised, "escalation", to="cfo"),
        review_step("remind", reminded, "escalation"),
        review_step("time_out", silent, "escalation", "escalate"),
        review_step("time_out", late, "escalation", "deny"),
        review_step("answer", undone, "reversible", "reverse"),
        review_step("answer", confirmed, "audit", "confirm"),
        review_step("answer", undone_later, "audit", "reverse"),
    ):
        append_all(url, [draft])


def outcome(
    decision_id: uuid.UUID, reward_ppm: int | None, *, counted: bool = True, as_of: str | None = None, policy: str = POLICY
) -> Draft:
    core = {
        "decision_id": str(decision_id),
        "experiment": EXPERIMENT,
        "policy": policy,
        "reward_ppm": reward_ppm,
        "counted": counted,
        "observed_at": None,
        "principal": "test",
        "as_of": as_of,
        "correlation_id": "cid",
    }
    return draft_entry(CLOCK, Kind.OUTCOME, {Section.CORE: core, Section.FACTS: {"metrics": {"won": True, "margin": 2400}}})


def policy(operation: str, version: str, name: str = "finance-constitution") -> Draft:
    core = {"op": operation, "name": name, "version": version, "node": "finance", "digest": "cd" * 32, "principal": "test"}
    facts = {"source_text": f"policy: {name}\n", "document": {"name": name, "version": version}} if operation == "publish" else {}
    return draft_entry(CLOCK, Kind.POLICY, {Section.CORE: core, Section.FACTS: facts})


def step(operation: str, **members: Any) -> Draft:
    """A step of change control: a proposal, its answer, who must agree."""
    core = {"op": operation, "node": "finance", "principal": "test", "reason": "a reason"}
    return draft_entry(CLOCK, Kind.POLICY, {Section.CORE: core | members})


def flag(node: str, action: str, *, enabled: bool = True, max_level: int = 3) -> Draft:
    core = {"node": node, "action": action, "enabled": enabled, "max_level": max_level, "reason": "a reason", "principal": "test"}
    return draft_entry(CLOCK, Kind.FLAG, {Section.CORE: core})


def bar(op: str, **members: Any) -> Draft:
    """A hold, its lifting or a rule of retention."""
    core = {"op": op, "erased": [], "reason": "a reason", "principal": "test", "subject_id": None, "node": None, "until": None}
    return draft_entry(CLOCK, Kind.ERASURE, {Section.CORE: core | members})


def rotation(epoch: str, *destroyed: str) -> Draft:
    core = {"op": "rotate_epoch", "epoch": epoch, "destroyed": list(destroyed), "rewrapped": 0, "principal": "test"}
    return draft_entry(CLOCK, Kind.KEY, {Section.CORE: core})


def subject_of(url: str, number: int) -> uuid.UUID:
    """The id of the person of `personal_event(number)`."""
    with psycopg.connect(url) as connection:
        found = find_subject(connection, chain_id_of(connection, "main"), KEYRING.lookup_hash("customer", f"person-{number}"))
    assert found is not None
    return found


def erase_person(url: str, number: int) -> Erased:
    """Erase the person of `personal_event(number)`."""
    subject_id = subject_of(url, number)
    with connect(url, ERASER, autocommit=True) as connection:
        chain_id = chain_id_of(connection, "main")
        return apply_erasure(connection, chain_id, Wanted(chain_id, subject_id, "asked", "test", "2026-11-25T00:00:00.000000Z"), CLOCK)


def govern(url: str) -> None:
    """Proposals in each state, an erasure, holds and rules in every state, and a rotation of keys, in a ledger that was filled."""
    one = {"name": "finance-constitution", "version": "1.0.0", "proposes": "activate", "replaces": None}
    rejected, approved = step("propose", **one), step("propose", **one)
    append_all(url, [step("require"), step("relax", node="credit")])
    append_all(url, [rejected, step("reject", proposal=str(rejected.entry_id))])
    append_all(url, [approved, step("activate", **one, proposal=str(approved.entry_id)), step("propose", **one | {"name": "other"})])
    erase_person(url, 0)
    held = bar("hold", node="hr", until="2031-01-01T00:00:00.000000Z")
    append_all(url, [held, bar("hold", node="support"), bar("hold", subject_id=str(subject_of(url, 1)))])
    append_all(url, [bar("lift", hold_id=str(held.entry_id)), bar("retain", node="hr", action="*", days=30)])
    append_all(url, [bar("retain", node="hr", action="*", days=90), rotation("epoch-2026-11"), rotation("epoch-2026-11", "epoch-2026-10")])
    stated = materialised()
    append_all(url, [stated, materialised(supersedes=str(stated.entry_id))])


def materialised(*, supersedes: str | None = None) -> Draft:
    """What a run says of a day's rows."""
    said: dict[str, object] = {"op": "materialise", "asset": "decision_daily", "partition": "2026-03-01", "digest": "00" * 32, "rows": 1}
    core = said | {"ledger": {"size": 1, "root": "11" * 32}, "supersedes": supersedes}
    return draft_entry(CLOCK, Kind.ASSET, {Section.CORE: core})


def append_all(url: str, drafts: list[Draft]) -> list[Appended]:
    """Append in one transaction; every draft must be taken."""
    with psycopg.connect(url) as connection:
        answers = append(connection, chain_id_of(connection, "main"), drafts)
    assert all(isinstance(answer, Appended) for answer in answers), answers
    return answers  # type: ignore[return-value]


def fill(url: str, count: int = 4) -> list[Appended]:
    """A ledger with something of everything: policies in each state, flags, people, reviews, corrections, imported history."""
    past = to_instant(1_325_376_000_000_000)
    control = [policy("publish", version) for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0")]
    control += [policy("activate", "1.0.0"), policy("activate", "1.1.0"), policy("withdraw", "1.2.0")]
    control += [flag("finance", "approve_discount"), flag("*", "*"), flag("finance", "approve_discount", max_level=2)]
    decisions = [decision(n) for n in range(count)] + [decision(n, verdict="escalate") for n in range(count)]
    imported = decision(99, verdict="escalate", as_of=past)
    events = [event(n) for n in range(count)] + [personal_event(n) for n in range(count)] + [event(98, as_of=past)]
    first, second, third = (draft.entry_id for draft in decisions[:3])
    outcomes = [outcome(first, 250_000), outcome(second, 1_000_000), outcome(first, 750_000), outcome(third, 500_000, counted=False)]
    outcomes += [outcome(imported.entry_id, 900_000, counted=False, as_of=past), outcome(second, None)]
    return [*append_all(url, control), *append_all(url, [*events, *decisions, imported]), *append_all(url, outcomes)]

"""Where a decision's processor time in the API goes: its own steps, each timed alone on one real decision, and what is left beside them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from uuid import UUID

from api.answers import decision_answer, recorded_response
from api.requests import parse_object
from api.routes.decisions import question_of
from precedent.clock import SystemClock
from precedent.decide import Decision
from precedent.guard.access import EVERY_NODE, SCOPES, Principal
from precedent.ledger.entry import ENVELOPE, ENVELOPE_BYTES, Appended, Draft, Kind, Section, draft_entry
from precedent.ledger.epoch_keys import parse_keys
from precedent.ledger.idempotency import claim_of
from precedent.ledger.keyring import Keyring
from precedent.ledger.subjects import Subject
from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from precedent.policy.evaluate import Control, evaluate, moment_of
from precedent.policy.facts import type_facts
from precedent.settings import project_root
from tests.bench.policies import best
from tests.bench.report import Part
from tests.bench.singles import FINANCE

ROUNDS, LOOPS = 7, 500
CLOCK = SystemClock()
CHAIN = UUID(int=1)
NOTE = (
    f"*Where the time goes*: the steps of one decision with customer and key, each called alone, best of {ROUNDS} rounds; in a server, "
    "among others and with colder caches, they take half as much again. What is left of the API's processor time by request, at 64 "
    "connections, is for HTTP, the framework, the event loop, the driver's two round trips, the log line and the integrator."
)


def measure_anatomy(body: bytes, api_cpu_us: float) -> Part:
    """Of the decision that `body` asks for, beside what the API's process took by request."""
    steps = {name: best(step, ROUNDS, LOOPS) * 1e6 for name, step in _steps(body).items()}
    rows = [[f"of a decision: {name}", f"{us:.1f} µs"] for name, us in steps.items()]
    rest = api_cpu_us - sum(steps.values())
    return Part((), [*rows, ["of a decision: all else in the API's process", f"{rest:.0f} µs"]], NOTE)


def _steps(body: bytes) -> dict[str, Callable[[], object]]:
    path = project_root() / FINANCE
    policy = compile_policy(load_document(path.read_text(encoding="utf-8"), path.name))
    principal = Principal("bench", SCOPES, frozenset({EVERY_NODE}))
    keyring = Keyring(os.urandom(32), parse_keys(f"epoch-2026-01={os.urandom(32).hex()}"))
    subject = Subject(CLOCK.new_id(), os.urandom(32), os.urandom(32), None)
    question = question_of("finance", parse_object(body), principal)
    action = policy.document.actions[question.action or ""]
    typed = type_facts(action, question.facts)
    at_us = CLOCK.now_us()
    moment, control = moment_of(at_us, policy.document.time_zone), Control(halted=False, enabled=True, max_level=3)
    result = evaluate(policy, action.name, typed.rules, {}, moment, control)
    entry_id = CLOCK.new_id()
    core = {
        "node": "finance",
        "action": action.name,
        "entities": {"customer": str(subject.subject_id)},
        "derivation": {"policy": policy.document.ref, "policy_digest": policy.document.digest_hex, "variant": "A"},
        "call": {"correlation_id": os.urandom(16).hex(), "as_of": None, "event_id": None, "latency_us": 1000},
    }
    sealed = subject.seal(CLOCK, entry_id, {"facts": typed.personal})
    place = Appended(entry_id, 1, ENVELOPE.pack(1, Kind.DECISION, CHAIN.bytes, 1, at_us, entry_id.bytes, bytes(32), bytes(32)), bytes(32))
    assert len(place.envelope) == ENVELOPE_BYTES
    claim = claim_of(keyring, "bench", "POST", "/decisions/finance", "key", body)
    decision = Decision(place, core | {"result": result.as_core()}, {"facts": typed.rules}, {"features": {}})

    def draft() -> Draft:
        sections: dict[Section, Any] = {
            Section.CORE: core | {"result": result.as_core()},
            Section.FACTS: decision.facts,
            Section.MEMORY: decision.memory,
        }
        return draft_entry(
            CLOCK, Kind.DECISION, sections, entry_id=entry_id, personal=sealed, epoch=1, claim=claim.claim, fingerprint=claim.fingerprint
        )

    return {
        "reading the body": lambda: question_of("finance", parse_object(body), principal),
        "the claim of its key": lambda: claim_of(keyring, "bench", "POST", "/decisions/finance", "key", body),
        "typing the facts": lambda: type_facts(action, question.facts),
        "the rules, reasons and nearest change": lambda: evaluate(policy, action.name, typed.rules, {}, moment, control),
        "sealing what is personal": lambda: subject.seal(CLOCK, entry_id, {"facts": typed.personal}),
        "the sections as bytes": draft,
        "the answer": lambda: recorded_response(decision_answer(decision, "main"), is_replay=False),
    }

"""Decisions to replay: drafted by the core's own functions and appended by the thousand, without an API in between."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import psycopg

from precedent.clock import SystemClock, to_instant
from precedent.ledger.entry import Draft, Kind, Section, draft_entry
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append
from precedent.policy.compile import CompiledPolicy
from precedent.policy.evaluate import EVALUATOR, Control, evaluate, moment_of
from precedent.policy.facts import type_facts

CLOCK = SystemClock()
NOVEMBER_US = 1_762_000_000_000_000
ENABLED = Control(halted=False, enabled=True, max_level=3)


def deals(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Requests for a discount that land in every band, beyond, and below cost."""
    chance = random.Random(seed)
    for _ in range(count):
        yield {
            "deal_value": chance.randrange(100, 90_000),
            "base_margin_pct": Decimal(chance.randrange(500, 4500)) / 10_000,
            "requested_discount_pct": Decimal(chance.randrange(0, 2500)) / 10_000,
            "customer_tier": chance.choice("ABC"),
        }


def decision_of(
    policy: CompiledPolicy,
    action: str,
    raw: dict[str, Any],
    *,
    at_us: int = NOVEMBER_US,
    features: dict[str, Any] | None = None,
    control: Control = ENABLED,
    evaluator: str = EVALUATOR,
    changed: dict[str, Any] | None = None,
    correlation_id: str = "cid",
) -> Draft:
    """The entry of one decision; `changed` members of its result are not what the policy says."""
    facts = type_facts(policy.document.actions[action], raw).rules
    moment = moment_of(at_us, policy.document.time_zone)
    held = features or {}
    result = evaluate(policy, action, facts, held, moment, control).as_core() | (changed or {})
    core = {
        "node": policy.document.node,
        "action": action,
        "subject_id": None,
        "entities": {},
        "result": result,
        "derivation": {
            "policy": policy.document.ref,
            "policy_digest": policy.document.digest_hex,
            "evaluator": evaluator,
            "now": to_instant(at_us),
            "weekday": moment.weekday,
            "local_minute": moment.local_minute,
            "epoch": 0,
            "control": {"halted": control.halted, "enabled": control.enabled, "max_level": control.max_level},
            "variant": "A",
            "probabilities": None,
            "draw": None,
        },
        "call": {
            "correlation_id": correlation_id,
            "principal": "tests",
            "event_id": None,
            "as_of": to_instant(at_us),
            "received_hash": "00" * 32,
            "latency_us": 1000,
        },
    }
    sections: dict[Section, object] = {Section.CORE: core, Section.FACTS: {"facts": facts}, Section.MEMORY: {"features": held}}
    return draft_entry(CLOCK, Kind.DECISION, sections)


def append_all(url: str, drafts: Sequence[Draft], batch: int = 500) -> None:
    """Append, so many a commit."""
    with psycopg.connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
        for start in range(0, len(drafts), batch):
            append(connection, chain_id, drafts[start : start + batch])
            connection.commit()


def append_deals(url: str, policy: CompiledPolicy, count: int, *, first_us: int = NOVEMBER_US, step_us: int = 60_000_000) -> None:
    """So many deals, a minute apart."""
    drafts = [
        decision_of(policy, "approve_discount", raw, at_us=first_us + number * step_us, correlation_id=f"deal-{number:06}")
        for number, raw in enumerate(deals(count))
    ]
    append_all(url, drafts)

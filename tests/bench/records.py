"""What is appended: records of 1.5 KB, the same bytes for the ledger and for the baseline."""

from __future__ import annotations

import json
import uuid
from typing import Any

from precedent.clock import SystemClock
from precedent.ledger.entry import Draft, Kind, Section, draft_entry

RECORD_BYTES = 1500
CLOCK = SystemClock()
DECISIONS, EVENTS = "decisions", "events"


def record(kind: str, number: int) -> dict[str, Any]:
    """The sections of one record by name, `RECORD_BYTES` in all."""
    made = _decision(number) if kind == DECISIONS else _event(number)
    made["core"]["padding"] = ""
    made["core"]["padding"] = "x" * (RECORD_BYTES - sum(len(_text(section)) for section in made.values()))
    return made


def draft_of(kind: str, made: dict[str, Any]) -> Draft:
    """A draft with an id and salts of its own, its bytes made canonical here and now."""
    if kind == EVENTS:
        return draft_entry(CLOCK, Kind.EVENT, {Section.CORE: made["core"], Section.FACTS: made["facts"]})
    sections: dict[Section, object] = {Section.CORE: made["core"], Section.FACTS: made["facts"], Section.MEMORY: made["memory"]}
    return draft_entry(CLOCK, Kind.DECISION, sections)


def _decision(number: int) -> dict[str, Any]:
    core = {
        "node": "finance",
        "action": "approve_discount",
        "subject_id": None,
        "entities": {"customer": f"c-{number}"},
        "result": {
            "verdict": "approve",
            "level": 2,
            "rule": "broad",
            "reasons": [{"code": "WITHIN_BROAD", "text": "the discount lies within the broad band"}],
            "effective": True,
            "requires_human": False,
            "trace": [{"rule": rule, "outcome": "not", "read": {"facts.requested_discount_pct": 800}} for rule in ("below_cost", "tight")],
        },
        "derivation": {"policy": "finance-constitution@1.0.0", "policy_digest": "ab" * 32, "variant": "A", "draw": None},
        "call": {"correlation_id": str(uuid.UUID(int=number)), "principal": "bench", "event_id": None, "as_of": None, "latency_us": 1234},
    }
    facts = {"facts": {"deal_value": 1_200_000 + number, "base_margin_pct": 3100, "requested_discount_pct": 800, "customer_tier": "A"}}
    return {"core": core, "facts": facts, "memory": {"features": {"customer.discounts_30d": number, "customer.win_rate_90d": 5200}}}


def _event(number: int) -> dict[str, Any]:
    core = {
        "type": "DiscountRequested",
        "actor": "sales",
        "correlation_id": str(uuid.UUID(int=number)),
        "source": None,
        "principal": "bench",
        "subject_id": None,
        "ts": None,
        "as_of": None,
    }
    payload = {"deal": number, "lines": [{"item": f"item-{line}", "quantity": line, "price": "120.00"} for line in range(12)]}
    return {"core": core, "facts": {"payload_text": json.dumps(payload)}}


def _text(section: object) -> str:
    return json.dumps(section, separators=(",", ":"))

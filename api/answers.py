"""The JSON of what was recorded, always from the entry: a first answer, a repeat and a later GET tell the same."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from starlette.responses import Response

from precedent.clock import instant_of, to_instant
from precedent.decide import Decision
from precedent.ledger.entry import Appended
from precedent.people.answers import STATUS_OF
from precedent.record import Recorded

REPLAYED = {"Idempotent-Replayed": "true"}


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None, media_type: str = "application/json") -> Response:
    return Response(orjson.dumps(body, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME), status, headers, media_type)


def recorded_response(body: Any, *, is_replay: bool) -> Response:
    return json_response(body, 201, REPLAYED if is_replay else None)


def receipt_of(place: Appended, chain: str) -> dict[str, Any]:
    """An entry's place: with it, a later proof is checked."""
    return {
        "hash": place.leaf.hex(),
        "prev_hash": place.prev_leaf.hex(),
        "receipt": {"chain": chain, "seq": place.seq, "envelope": b64encode(place.envelope).decode()},
    }


def decision_answer(decision: Decision, chain: str) -> dict[str, Any]:
    """The answer of `POST /decisions/{node}`."""
    core, place = decision.core, decision.place
    result, derivation, call = core["result"], core["derivation"], core["call"]
    ts = call["as_of"] or to_instant(place.recorded_at_us)
    return {
        "id": str(place.entry_id),
        "node": core["node"],
        "action": core["action"],
        "verdict": result["verdict"],
        "approved": result["verdict"] == "approve",
        "effective": result["effective"],
        "requires_human": result["requires_human"],
        "autonomy_level": result["level"],
        "rule": result["rule"],
        "reason": result["reasons"][0]["text"],
        "reasons": result["reasons"],
        "policy_version": derivation["policy"],
        "variant": derivation["variant"],
        "counterfactual": result["counterfactual"],
        "recommendation": result["recommendation"],
        "review": _review(result, call, place) if result["requires_human"] else None,
        "latency_ms": call["latency_us"] / 1000,
        "ts": ts,
        "correlation_id": call["correlation_id"],
        "event_id": call["event_id"],
        "imported": call["as_of"] is not None,
        **receipt_of(place, chain),
    }


def debugged(decision: Decision) -> dict[str, Any]:
    """What `?debug=precedents` adds, from the record: a repeat of a decision that was first asked without it found none."""
    found = decision.memory.get("precedents") or {"nearest": (), "counter": None, "novel": None}
    return {
        "precedents": [_precedent(one) for one in found["nearest"]],
        "counter_precedent": _precedent(found["counter"]) if found["counter"] else None,
        "novel": found["novel"],
        "snapshot": decision.memory.get("snapshot"),
    }


def _precedent(sealed: dict[str, Any]) -> dict[str, Any]:
    reward = sealed["reward_ppm"]
    return {
        "id": sealed["id"],
        "distance": sealed["distance_ppm"] / 1_000_000,
        "verdict": sealed["verdict"],
        "by_person": sealed["by_person"],
        "outcome": None if reward is None else reward / 1_000_000,
    }


def decision_whole(decision: Decision, chain: str) -> dict[str, Any]:
    """The answer and all that it was derived from: what `GET /decisions/{id}` adds."""
    core = decision.core
    return decision_answer(decision, chain) | {
        "inputs": decision.facts["facts"],
        "entities": core["entities"],
        "subject_id": core["subject_id"],
        "memory": decision.memory,
        "trace": core["result"]["trace"],
        "notify": core["result"]["notify"],
        "reversible_seconds": core["result"]["reversible_seconds"],
        "derivation": core["derivation"],
        "principal": core["call"]["principal"],
        "recorded_at": to_instant(decision.place.recorded_at_us),
    }


def _review(result: dict[str, Any], call: dict[str, Any], place: Appended) -> dict[str, Any] | None:
    """To whom it goes and until when; history asks nobody."""
    if call["as_of"] is not None:
        return None
    within = result["within_seconds"]
    due_at = to_instant(place.recorded_at_us + within * 1_000_000) if within else None
    return {"status": "open", "to": result["review_to"], "due_at": due_at, "on_timeout": result["on_timeout"]}


def event_answer(recorded: Recorded, chain: str) -> dict[str, Any]:
    """The stored row of an event. A payload that is personal is not told again."""
    core, place = recorded.core, recorded.place
    return {
        "id": str(place.entry_id),
        "type": core["type"],
        "ts": core["ts"] or core["as_of"] or to_instant(place.recorded_at_us),
        "actor": core["actor"],
        "correlation_id": core["correlation_id"],
        "source": core["source"],
        "subject_id": core["subject_id"],
        "imported": core["as_of"] is not None,
        "payload": payload_of(recorded.facts),
        "cloudevent": recorded.facts.get("cloudevent"),
        "recorded_at": to_instant(place.recorded_at_us),
        **receipt_of(place, chain),
    }


def payload_of(facts: dict[str, Any]) -> orjson.Fragment | None:
    """An event's payload, in the very text that was received; None where it is personal."""
    text = facts.get("payload_text")
    return None if text is None else orjson.Fragment(text)


def outcome_answer(recorded: Recorded, revision: int, chain: str) -> dict[str, Any]:
    """The revision that was recorded, with its reward in [0, 1], null where none can be told."""
    core, place = recorded.core, recorded.place
    reward_ppm = core["reward_ppm"]
    return {
        "id": str(place.entry_id),
        "decision_id": core["decision_id"],
        "revision": revision,
        "metrics": recorded.facts["metrics"],
        "reward": None if reward_ppm is None else reward_ppm / 1_000_000,
        "counted": core["counted"],
        "observed_at": core["observed_at"] or core["as_of"] or to_instant(place.recorded_at_us),
        "recorded_at": to_instant(place.recorded_at_us),
        "correlation_id": core["correlation_id"],
        "imported": core["as_of"] is not None,
        **receipt_of(place, chain),
    }


def review_answer(recorded: Recorded, chain: str) -> dict[str, Any]:
    """A person's answer, as it was recorded."""
    core, place = recorded.core, recorded.place
    return {
        "id": str(place.entry_id),
        **{name: core[name] for name in ("decision_id", "node", "action", "kind", "answer")},
        "status": STATUS_OF[core["answer"]],
        "reviewer": core["principal"],
        "reason": core["reason"],
        "digest": core["digest"],
        "recorded_at": to_instant(place.recorded_at_us),
        "correlation_id": core["correlation_id"],
        **receipt_of(place, chain),
    }


def page_of(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A list by cursor: `next` goes into `after`, null on the last page. `rows` may hold one more than the page."""
    items = rows[:limit]
    return {"items": items, "next": str(items[-1]["seq"]) if len(rows) > limit else None}


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return instant_of(value)
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"no JSON for {type(value).__name__}")

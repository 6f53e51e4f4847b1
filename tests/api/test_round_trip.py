"""The round trip of an event, a decision and its outcome, on the paths and bodies that callers know."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest
from in_process import DEAL, Api

from api.event_models import EventAnswer
from api.models import DecisionAnswer, DecisionWhole, OutcomeAnswer
from precedent.clock import from_instant

QUESTION = {"action": "approve_discount", "facts": DEAL}


def test_health_is_ok(client: httpx2.Client) -> None:
    assert client.get("/health").json() == {"ok": True}


def test_ready_names_head_and_policies(client: httpx2.Client) -> None:
    answer = client.get("/ready")
    assert answer.status_code == 200
    checks = answer.json()["checks"]
    active = checks["policies"]["active"]
    assert (active["finance"][0], active["credit"]) == ("finance-constitution@1.1.0", ["credit-constitution@1.0.0"])
    assert set(active) == {"credit", "finance", "hr", "support"}
    assert checks["ledger"]["size"] >= 6
    assert len(checks["ledger"]["head"]) == 64


def test_the_round_trip(client: httpx2.Client) -> None:
    event = client.post(
        "/events", json={"type": "DiscountRequested", "actor": "sales", "correlationId": "deal-4711", "payload": {"deal": 4711}}
    )
    assert event.status_code == 201
    EventAnswer.model_validate_json(event.content)
    row = event.json()
    assert (row["type"], row["actor"], row["correlation_id"], row["payload"]) == ("DiscountRequested", "sales", "deal-4711", {"deal": 4711})
    assert event.headers["x-cid"] == "deal-4711"
    (listed,) = client.get("/events", params={"type": "DiscountRequested", "limit": 1}).json()["items"]
    assert {name: listed[name] for name in ("id", "type", "actor", "correlation_id", "payload", "ts")} == {
        name: row[name] for name in ("id", "type", "actor", "correlation_id", "payload", "ts")
    }

    decided = client.post("/decisions/finance", json=QUESTION | {"event_id": row["id"]}, headers={"x-cid": "deal-4711"})
    assert decided.status_code == 201
    DecisionAnswer.model_validate_json(decided.content)
    decision = decided.json()
    assert (decision["verdict"], decision["approved"], decision["effective"], decision["requires_human"]) == ("approve", True, True, False)
    assert (decision["autonomy_level"], decision["rule"], decision["policy_version"]) == (2, "broad", "finance-constitution@1.1.0")
    assert decision["reason"] == "8 % off at 31 % margin lies within the broad band (12 %, 23 %)"
    assert decision["reasons"][0]["code"] == "WITHIN_BROAD"
    assert decision["counterfactual"]["changes"] == [{"fact": "requested_discount_pct", "to": "0.05"}]
    assert decision["correlation_id"] == "deal-4711"
    assert decision["event_id"] == row["id"]
    assert decision["latency_ms"] >= 0

    outcome = client.post(f"/outcomes/{decision['id']}", json={"metrics": {"won": True, "margin": 0.24, "time_to_close_days": 3}})
    assert outcome.status_code == 201
    OutcomeAnswer.model_validate_json(outcome.content)
    assert (outcome.json()["revision"], outcome.json()["reward"], outcome.json()["counted"]) == (1, 1.0, True)
    assert outcome.json()["metrics"] == {"won": True, "margin": 2400, "time_to_close_days": 3}

    whole = client.get(f"/decisions/{decision['id']}")
    DecisionWhole.model_validate_json(whole.content)
    assert {name: whole.json()[name] for name in decision if name != "review"} == {k: v for k, v in decision.items() if k != "review"}
    assert whole.json()["review"]["kind"] == "reversible", "as it stands now"
    assert whole.json()["inputs"] == {
        "deal_value": 1_200_000,
        "base_margin_pct": 3100,
        "requested_discount_pct": 800,
        "customer_tier": "A",
    }
    assert whole.json()["principal"] == "tests"


def test_the_facts_may_be_flat(api: Api) -> None:
    flat = api.client.post("/decisions/finance", json=DEAL)
    assert flat.status_code == 201
    assert flat.json()["action"] == "approve_discount"
    told_apart = {"id", "hash", "prev_hash", "receipt", "ts", "latency_ms", "correlation_id"}
    both = [{name: value for name, value in answer.items() if name not in told_apart} for answer in (flat.json(), api.decide())]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("discount", "margin", "verdict", "level", "rule"),
    [
        ("0.05", "0.25", "approve", 1, "tight"),
        ("0.0501", "0.25", "approve", 2, "broad"),
        ("0.05", "0.2499", "approve", 2, "broad"),
        ("0.08", "0.31", "approve", 2, "broad"),
        ("0.12", "0.23", "approve", 2, "broad"),
        ("0.1201", "0.23", "approve", 3, "full"),
        ("0.12", "0.2299", "approve", 3, "full"),
        ("0.15", "0.22", "approve", 3, "full"),
        ("0.1501", "0.22", "escalate", 0, "otherwise"),
        ("0.15", "0.2199", "escalate", 0, "otherwise"),
        ("0.25", "0.25", "escalate", 0, "otherwise"),
        ("0.2501", "0.25", "deny", 0, "below_cost"),
    ],
)
def test_each_edge_of_the_bands_on_both_sides(
    client: httpx2.Client, discount: str, margin: str, verdict: str, level: int, rule: str
) -> None:
    body = (
        '{"action": "approve_discount", "facts": {"deal_value": 12000, '
        f'"base_margin_pct": {margin}, "requested_discount_pct": {discount}, "customer_tier": "A"}}}}'
    )
    answer = client.post("/decisions/finance", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 201
    DecisionAnswer.model_validate_json(answer.content)
    decision = answer.json()
    assert (decision["verdict"], decision["autonomy_level"], decision["rule"]) == (verdict, level, rule)
    assert decision["effective"] is (verdict != "escalate")
    assert decision["requires_human"] is (verdict == "escalate")
    assert (decision["review"] is not None) is (verdict == "escalate")


def test_an_escalation_opens_a_review(api: Api) -> None:
    decision = api.decide(facts={"requested_discount_pct": 0.18})
    assert decision["review"]["to"] == "CFO"
    assert decision["review"]["on_timeout"] == "deny"
    recorded_at_us = from_instant(decision["ts"])
    assert from_instant(decision["review"]["due_at"]) - recorded_at_us == 24 * 3600 * 1_000_000
    queue = api.client.get("/reviews").json()["items"]
    assert decision["id"] in {review["decision_id"] for review in queue}


def test_a_receipt_is_the_entrys_place(api: Api) -> None:
    first, second = api.decide(), api.decide()
    assert second["prev_hash"] == first["hash"]
    assert second["receipt"]["seq"] == first["receipt"]["seq"] + 1
    ((leaf,),) = api.fetch("select encode(leaf, 'hex') from ledger.entry where entry_id = %s", first["id"])
    assert leaf == first["hash"]
    head = api.client.get("/ledger/head").json()
    assert (head["size"], head["hash"]) == (second["receipt"]["seq"] + 1, second["hash"])


def test_a_batch_is_answered_in_order_with_problems_in_place(api: Api) -> None:
    questions = [
        {"action": "approve_discount", "facts": DEAL | {"requested_discount_pct": 0.01}, "correlation_id": "first"},
        {"action": "approve_discount", "facts": DEAL | {"requested_discount_pct": "x"}},
        {"action": "nothing", "facts": DEAL},
        7,
        DEAL | {"requested_discount_pct": 0.18},
        {"action": "approve_discount", "facts": DEAL, "correlation_id": "two words"},
        {"action": "approve_discount", "facts": DEAL, "as_of": "2099-01-01T00:00:00Z"},
    ]
    before = api.ledger_size()
    answer = api.client.post("/decisions/finance/batch", json={"decisions": questions})
    assert answer.status_code == 200
    answers = answer.json()["answers"]
    assert [one.get("verdict") or one["code"] for one in answers] == [
        "approve", "FACTS_INVALID", "ACTION_NOT_FOUND", "FIELD_INVALID", "escalate", "FIELD_INVALID", "FIELD_INVALID",
    ]  # fmt: skip
    assert answers[0]["correlation_id"] == "first"
    assert answers[1]["errors"][0]["pointer"] == "/decisions/1/facts/requested_discount_pct"
    assert answers[5]["errors"][0]["pointer"] == "/decisions/5/correlation_id"
    assert answers[6]["errors"][0]["pointer"] == "/decisions/6/as_of"
    assert api.ledger_size() == before + 2


def test_many_events_are_answered_with_their_ids(api: Api) -> None:
    events: list[Any] = [{"type": "Noted", "payload": n, "correlationId": f"note-{n}"} for n in range(3)]
    answer = api.client.post("/events", json=[*events, {"type": ""}, None])
    assert answer.status_code == 201
    body = answer.json()
    assert body["accepted"] == 3
    assert [UUID(one) for one in body["ids"][:3]]
    assert body["ids"][3:] == [None, None]
    assert [(one["index"], one["code"]) for one in body["rejected"]] == [(3, "FIELD_INVALID"), (4, "FIELD_INVALID")]
    assert body["rejected"][0]["errors"][0]["pointer"] == "/3/type"
    listed = api.client.get("/events", params={"type": "Noted"}).json()["items"]
    assert [(one["payload"], one["correlation_id"]) for one in listed] == [(2, "note-2"), (1, "note-1"), (0, "note-0")]


def test_an_array_of_nothing_but_refusals_is_refused(api: Api) -> None:
    before = api.ledger_size()
    assert api.client.post("/events", json=[{"type": ""}]).status_code == 422
    assert api.ledger_size() == before


def test_a_list_is_walked_by_its_cursor(api: Api) -> None:
    recorded = [api.client.post("/events", json={"type": "Walked", "actor": f"actor-{n % 2}"}).json()["id"] for n in range(5)]
    found: list[str] = []
    after = None
    for _ in range(3):
        query = {"type": "Walked", "limit": 2} | ({"after": after} if after else {})
        page = api.client.get("/events", params=query).json()
        found += [one["id"] for one in page["items"]]
        after = page["next"]
    assert after is None
    assert found == recorded[::-1]
    by_actor = api.client.get("/events", params={"type": "Walked", "actor": "actor-1"}).json()["items"]
    assert [one["id"] for one in by_actor] == [recorded[3], recorded[1]]
    since = api.client.get("/events", params={"type": "Walked", "since": by_actor[0]["ts"]}).json()["items"]
    assert [one["id"] for one in since] == [recorded[4], recorded[3]]


def test_decisions_are_listed_by_node_verdict_and_policy(api: Api) -> None:
    decision = api.decide(facts={"requested_discount_pct": 0.9})
    query = {"node": "finance", "verdict": "deny", "policy_version": "finance-constitution@1.1.0", "limit": 1}
    page = api.client.get("/decisions", params=query).json()
    (row,) = page["items"]
    assert (row["id"], row["hash"], row["verdict"]) == (decision["id"], decision["hash"], "deny")
    assert api.client.get("/decisions", params={"node": "hr"}).json() == {"items": [], "next": None}


def test_an_events_payload_is_told_as_it_came(api: Api) -> None:
    text = '{"huge": 123456789012345678901234567890, "fine": 0.12345678901234567890, "far": 1e300, "b": 1, "a": 2}'
    body = f'{{"type": "Exact", "payload": {text}}}'
    answer = api.client.post("/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 201
    assert text in answer.text
    listed = api.client.get("/events", params={"type": "Exact"})
    assert listed.status_code == 200
    assert text in listed.text


def test_a_later_correction_of_business_time_is_kept(api: Api) -> None:
    answer = api.client.post("/events", json={"type": "Dated", "ts": "2026-03-01T10:00:00+02:00"}).json()
    assert answer["ts"] == "2026-03-01T08:00:00.000000Z"
    assert from_instant(answer["recorded_at"]) > from_instant(answer["ts"])
    assert api.client.get("/events", params={"type": "Dated"}).json()["items"][0]["ts"] == answer["ts"]

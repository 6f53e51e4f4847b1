"""AuthZEN 1.0: what its clients ask becomes an ordinary decision, and what can't be decided is never true."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from in_process import Api

from api.batch_turns import BatchTurns
from api.routes.access import STOPS_AFTER

ONE, ALL = "/access/v1/evaluation", "/access/v1/evaluations"
APPROVED, TOO_MUCH, BELOW_COST = 0.08, 0.18, 0.40


def asked(discount: float = APPROVED, **others: Any) -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": "alice@example.com", "properties": {"customer_tier": "A"}},
        "action": {"name": "finance/approve_discount", "properties": {"requested_discount_pct": discount}},
        "resource": {"type": "deal", "id": "D-1", "properties": {"deal_value": 12000}},
        "context": {"base_margin_pct": 0.31},
    } | others


def discount_of(discount: float) -> dict[str, Any]:
    return {"action": asked(discount)["action"]}


def decisions_of(answer: Any) -> list[bool]:
    assert answer.status_code == 200, answer.text
    return [one["decision"] for one in answer.json()["evaluations"]]


@pytest.mark.parametrize(("discount", "permitted", "verdict"), [
    (APPROVED, True, "approve"), (TOO_MUCH, False, "escalate"), (BELOW_COST, False, "deny"),
])  # fmt: skip
def test_an_evaluation_is_a_recorded_decision_with_its_reasons(api: Api, discount: float, permitted: bool, verdict: str) -> None:
    answer = api.client.post(ONE, json=asked(discount))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert set(answer.json()) == {"decision", "context"}
    told = answer.json()["context"]
    assert (answer.json()["decision"], told["verdict"]) == (permitted, verdict)
    assert told["reasons"]
    recorded = api.client.get(f"/decisions/{told['id']}").json()
    assert {name: recorded[name] for name in told if name != "review"} == {name: said for name, said in told.items() if name != "review"}
    assert recorded["inputs"] == {
        "deal_value": 1_200_000,
        "base_margin_pct": 3100,
        "requested_discount_pct": round(discount * 10_000),
        "customer_tier": "A",
    }


def test_what_only_a_person_may_put_into_effect_is_not_permitted(api: Api) -> None:
    api.client.put("/flags/finance/approve_discount", json={"enabled": True, "max_level": 0, "reason": "r"})
    answer = api.client.post(ONE, json=asked()).json()
    api.client.put("/flags/finance/approve_discount", json={"enabled": True, "max_level": 3, "reason": "r"})
    assert (answer["decision"], answer["context"]["requires_human"]) == (False, True)


def test_a_halt_and_an_action_that_is_off_permit_nothing(api: Api) -> None:
    api.client.put("/kill-switch", json={"halted": True, "reason": "r"})
    halted = api.client.post(ONE, json=asked()).json()
    api.client.put("/kill-switch", json={"halted": False, "reason": "r"})
    api.client.put("/flags/finance/approve_discount", json={"enabled": False, "max_level": 3, "reason": "r"})
    off = api.client.post(ONE, json=asked()).json()
    api.client.put("/flags/finance/approve_discount", json={"enabled": True, "max_level": 3, "reason": "r"})
    assert [(one["decision"], one["context"]["reasons"][0]["code"]) for one in (halted, off)] == [(False, "HALTED"), (False, "NOT_ENABLED")]


def test_the_id_of_what_is_named_is_the_fact_that_finds_its_kind(api: Api) -> None:
    as_subject = asked(subject={"type": "customer", "id": "C-9", "properties": {"customer_tier": "A"}})
    as_resource = asked(resource={"type": "customer", "id": "C-9", "properties": {"deal_value": 12000}})
    as_fact = asked(context={"base_margin_pct": 0.31, "customer_id": "C-9"})
    told = [api.client.post(ONE, json=body).json()["context"]["id"] for body in (as_subject, as_resource, as_fact)]
    subjects = {api.client.get(f"/decisions/{one}").json()["subject_id"] for one in told}
    assert len(subjects) == 1
    assert None not in subjects
    for contradiction in (as_subject | {"context": {"base_margin_pct": 0.31, "customer_id": "C-8"}}, as_subject | {"resource": {
        "type": "customer", "id": "C-8", "properties": {"deal_value": 12000}}}):  # fmt: skip
        before = api.ledger_size()
        assert api.client.post(ONE, json=contradiction).status_code == 422
        assert api.ledger_size() == before


@pytest.mark.parametrize(("body", "status", "pointer"), [
    ({}, 400, "/subject"),
    (asked(subject={"type": "user"}), 400, "/subject/id"),
    (asked(subject={"type": 1, "id": "x"}), 400, "/subject/type"),
    (asked(resource="deal"), 400, "/resource"),
    (asked(action={"name": "approve_discount"}), 400, "/action/name"),
    (asked(action={"name": "/approve_discount"}), 400, "/action/name"),
    (asked(action={}), 400, "/action/name"),
    (asked(context=[]), 400, "/context"),
    (asked(subject={"type": "user", "id": "x", "properties": 7}), 400, "/subject/properties"),
    (asked(context={"base_margin_pct": 0.31, "deal_value": 12000}), 400, "/context/deal_value"),
    (asked(context={"base_margin_pct": 0.31, "time": "now"}), 422, "/context/time"),
    (asked(context={}), 422, "/context/base_margin_pct"),
    (asked(0.080_01), 422, "/action/properties/requested_discount_pct"),
])  # fmt: skip
def test_what_is_not_asked_well_is_a_problem_with_its_place_and_records_nothing(
    api: Api, body: dict[str, Any], status: int, pointer: str
) -> None:
    before = api.ledger_size()
    for path, sent, where in ((ONE, body, pointer), (ALL, body, pointer)):
        answer = api.client.post(path, json=sent)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert where in [fault["pointer"] for fault in answer.json()["errors"]]
    among = api.client.post(ALL, json={"evaluations": [body]})
    assert decisions_of(among) == [False]
    error = among.json()["evaluations"][0]["context"]["error"]
    assert (error["status"], f"/evaluations/0{pointer}" in [fault["pointer"] for fault in error["errors"]]) == (status, True)
    assert api.ledger_size() == before


@pytest.mark.parametrize("name", ["nowhere/approve_discount", "finance/nothing", "finance/approve_discount/more"])
def test_an_unknown_action_is_never_permitted(api: Api, name: str) -> None:
    answer = api.client.post(ONE, json=asked(action={"name": name, "properties": {"requested_discount_pct": 0.01}}))
    assert answer.status_code == 404
    assert "decision" not in answer.json()


def test_defaults_are_replaced_whole_by_what_an_evaluation_says(api: Api) -> None:
    body = asked() | {"evaluations": [{}, discount_of(TOO_MUCH), {"context": {}}, {"subject": asked()["subject"]}]}
    answer = api.client.post(ALL, json=body)
    assert decisions_of(answer) == [True, False, False, True]
    assert answer.json()["evaluations"][2]["context"]["error"]["code"] == "FACTS_INVALID"
    assert "decision" not in answer.json()


@pytest.mark.parametrize(("semantic", "discounts", "decisions"), [
    (None, [APPROVED, TOO_MUCH, APPROVED], [True, False, True]),
    ("execute_all", [APPROVED, TOO_MUCH, APPROVED], [True, False, True]),
    ("deny_on_first_deny", [APPROVED, TOO_MUCH, APPROVED], [True, False]),
    ("deny_on_first_deny", [APPROVED, 0.080_01, APPROVED], [True, False]),
    ("deny_on_first_deny", [APPROVED, APPROVED], [True, True]),
    ("permit_on_first_permit", [TOO_MUCH, APPROVED, TOO_MUCH], [False, True]),
    ("permit_on_first_permit", [0.080_01, TOO_MUCH], [False, False]),
])  # fmt: skip
def test_a_semantic_ends_the_list_and_what_stands_after_is_not_recorded(
    api: Api, semantic: str | None, discounts: list[float], decisions: list[bool]
) -> None:
    options = {} if semantic is None else {"options": {"evaluations_semantic": semantic, "another_option": 1}}
    before = api.ledger_size()
    answer = api.client.post(ALL, json=asked() | options | {"evaluations": [discount_of(one) for one in discounts]})
    assert decisions_of(answer) == decisions
    recorded = [one for one in answer.json()["evaluations"] if "id" in one["context"]]
    assert api.ledger_size() == before + len(recorded)


@pytest.mark.parametrize("wrong", [
    {"options": {"evaluations_semantic": "any"}, "evaluations": [{}]}, {"options": {"evaluations_semantic": 1}}, {"options": []},
    {"evaluations": {}}, {"evaluations": [7]}, {"evaluations": [{}] * 1001},
])  # fmt: skip
def test_a_list_of_another_form_is_refused_as_a_whole(api: Api, wrong: dict[str, Any]) -> None:
    before = api.ledger_size()
    assert api.client.post(ALL, json=asked() | wrong).status_code == 400
    assert api.ledger_size() == before


def test_without_a_list_it_is_one_evaluation(api: Api) -> None:
    for empty in ({}, {"evaluations": []}, {"evaluations": None}):
        answer = api.client.post(ALL, json=asked() | empty)
        assert (answer.status_code, answer.json()["decision"]) == (200, True)


def test_each_evaluation_has_the_right_of_its_node(api: Api) -> None:
    credit_alone = api.token("decisions:write", nodes=("credit",))
    assert api.client.post(ONE, json=asked(), headers=credit_alone).status_code == 403
    answer = api.client.post(ALL, json=asked() | {"evaluations": [{}]}, headers=credit_alone)
    assert decisions_of(answer) == [False]
    assert answer.json()["evaluations"][0]["context"]["error"]["code"] == "SCOPE_MISSING"


def test_a_request_that_is_sent_again_is_answered_again(api: Api) -> None:
    for path, body in ((ONE, asked()), (ALL, asked() | {"evaluations": [{}, discount_of(TOO_MUCH)]})):
        key = {"idempotency-key": str(uuid4())}
        first = api.client.post(path, json=body, headers=key)
        before = api.ledger_size()
        again = api.client.post(path, json=body, headers=key)
        assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
        assert api.ledger_size() == before
        assert "IDEMPOTENCY_KEY_REUSED" in api.client.post(path, json=body | {"context": {"base_margin_pct": 0.4}}, headers=key).text


def test_what_may_be_asked_together_takes_turns_with_batches(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_together: list[int] = []
    ask_each = BatchTurns.ask_each

    async def told(turns: BatchTurns, count: int, *rest: Any) -> None:
        asked_together.append(count)
        await ask_each(turns, count, *rest)

    monkeypatch.setattr(BatchTurns, "ask_each", told)
    for semantic in STOPS_AFTER:
        body = asked() | {"evaluations": [{}] * 3, "options": {"evaluations_semantic": semantic}}
        assert api.client.post(ALL, json=body).status_code == 200
    assert asked_together == [3], "the others ask one after another"


def test_the_record_hashes_the_words_of_each_evaluation_with_its_defaults(api: Api) -> None:
    body = b'{"subject": {"type":"user","id":"a"}, "resource": {"type":"deal","id":"1"}, "context": {"base_margin_pct": 0.310, \
"customer_tier":"A","deal_value":12000}, "evaluations": [{"action": {"name":"finance/approve_discount","properties":\
{"requested_discount_pct":0.080}}}]}'
    headers = {"content-type": "application/json"}
    told = api.client.post(ALL, content=body, headers=headers).json()["evaluations"][0]["context"]
    words = (
        '{"subject":{"type":"user","id":"a"},"resource":{"type":"deal","id":"1"},"context":{"base_margin_pct": 0.310, '
        '"customer_tier":"A","deal_value":12000},"action":{"name":"finance/approve_discount","properties":{"requested_discount_pct":0.080}}}'
    )
    core = "select convert_from(stored[1], 'UTF8')::jsonb #>> '{call,received_hash}' from ledger.section"
    ((received,),) = api.fetch(f"{core} join ledger.entry using (chain_id, seq) where entry_id = %s", told["id"])
    assert received == sha256(words.encode()).hexdigest()


@pytest.mark.parametrize(("path", "body"), [(ONE, asked()), (ALL, asked() | {"evaluations": [{}]}), (ONE, {}), ("/nowhere", {})])
def test_the_request_identifier_comes_back_as_it_was_sent(api: Api, path: str, body: dict[str, Any]) -> None:
    for sent in ("bfe9eb29-ab87-4ca3-be83-a1d5d8305716", 'any "string" at all, of ' + "x" * 300):
        assert api.client.post(path, json=body, headers={"x-request-id": sent}).headers["x-request-id"] == sent
    assert "x-request-id" not in api.client.post(path, json=body).headers


def test_a_usable_request_identifier_is_the_correlation_id(api: Api) -> None:
    told = api.client.post(ONE, json=asked(), headers={"x-request-id": "r-1"}).json()["context"]
    assert told["correlation_id"] == "r-1"
    assert api.client.post(ONE, json=asked(), headers={"x-request-id": "r-1", "x-cid": "c-1"}).json()["context"]["correlation_id"] == "c-1"
    assert api.client.post(ONE, json=asked(), headers={"x-request-id": "two words"}).status_code == 200


def test_anybody_finds_the_endpoints_under_the_host_that_was_asked(api: Api) -> None:
    answer = api.client.get("/.well-known/authzen-configuration", headers={"authorization": "", "host": "pdp.example.com:8443"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    base = "http://pdp.example.com:8443"
    assert answer.json() == {
        "policy_decision_point": base,
        "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
    }
    for host in ("a b", "evil.example/x", 'x"y', "user@evil.example"):
        assert api.client.get("/.well-known/authzen-configuration", headers={"host": host}).status_code == 400

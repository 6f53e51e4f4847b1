"""Idempotency keys: a request that is sent again is answered again, and nothing is recorded twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import httpx2
from in_process import DEAL, Api

from precedent.settings import project_root

REPLAYED = "idempotent-replayed"
NAME = "finance-constitution"
FINANCE = (project_root() / f"policies/finance/{NAME}-1.1.0.yaml").read_text()


def keyed(key: str | None = None) -> dict[str, str]:
    return {"idempotency-key": key or str(uuid4())}


def test_a_decision_sent_again_is_answered_again(api: Api) -> None:
    key = keyed()
    first = api.client.post("/decisions/finance", json=DEAL, headers=key)
    before = api.ledger_size()
    again = api.client.post("/decisions/finance", json=DEAL, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.json() == first.json()
    assert api.ledger_size() == before


def test_32_copies_at_once_make_one_decision(api: Api) -> None:
    key = keyed()
    before = api.ledger_size()
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: api.client.post("/decisions/finance", json=DEAL, headers=key), range(32)))
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert api.ledger_size() == before + 1


def test_another_body_under_the_same_key_is_refused(api: Api) -> None:
    key = keyed()
    assert api.client.post("/decisions/finance", json=DEAL, headers=key).status_code == 201
    before = api.ledger_size()
    answer = api.client.post("/decisions/finance", json=DEAL | {"deal_value": 12001}, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert api.ledger_size() == before


def test_the_key_belongs_to_principal_method_and_path(api: Api) -> None:
    key = keyed()
    first = api.client.post("/decisions/finance", json=DEAL, headers=key).json()
    other = api.token("decisions:write", "events:write")
    second = api.client.post("/decisions/finance", json=DEAL, headers=key | other)
    assert second.status_code == 201
    assert second.json()["id"] != first["id"]
    assert REPLAYED not in second.headers
    event = api.client.post("/events", json={"type": "Keyed"}, headers=key)
    assert event.status_code == 201
    assert REPLAYED not in event.headers


def test_a_refusal_keeps_no_key(api: Api) -> None:
    key = keyed()
    assert api.client.post("/decisions/finance", json=DEAL | {"deal_value": -1}, headers=key).status_code == 422
    corrected = api.client.post("/decisions/finance", json=DEAL, headers=key)
    assert corrected.status_code == 201
    assert REPLAYED not in corrected.headers


def test_events_outcomes_and_flags_keep_keys_too(api: Api) -> None:
    decision = api.decide()
    requests: list[tuple[str, str, object]] = [
        ("POST", "/events", {"type": "Keyed", "payload": [1.50]}),
        ("POST", "/events", {"type": "Keyed", "subject": "a person", "payload": {"name": "A. Person"}}),
        ("POST", f"/outcomes/{decision['id']}", {"metrics": {"won": True, "margin": 0.3}}),
        ("PUT", "/flags/finance/approve_discount", {"enabled": True, "max_level": 3, "reason": "again"}),
        ("PUT", "/kill-switch", {"halted": False, "reason": "again"}),
    ]
    for method, path, body in requests:
        key = keyed()
        first = api.client.request(method, path, json=body, headers=key)
        before = api.ledger_size()
        again = api.client.request(method, path, json=body, headers=key)
        assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true"), path
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert api.ledger_size() == before


def policy_step(api: Api, path: str, key: dict[str, str], text: str = "") -> httpx2.Response:
    return api.client.post(f"/policies/{path}", content=text, headers=key | {"content-type": "application/yaml"})


def test_a_policy_is_published_activated_and_withdrawn_once_under_a_key(api: Api) -> None:
    text = FINANCE.replace("version: 1.1.0", "version: 2.0.0")
    for path, status in (("finance/publish", 201), (f"{NAME}@2.0.0/activate", 200), (f"{NAME}@2.0.0/withdraw", 200)):
        key = keyed()
        first = policy_step(api, path, key, text if status == 201 else "")
        before = api.ledger_size()
        again = policy_step(api, path, key, text if status == 201 else "")
        assert (first.status_code, again.status_code) == (status, status), first.text
        assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true"), path
        assert again.json() == first.json()
        assert api.ledger_size() == before
    policy_step(api, f"{NAME}@1.1.0/activate", {})
    key = keyed()
    assert policy_step(api, "finance/publish", key, text.replace("2.0.0", "2.0.1")).status_code == 201
    reused = policy_step(api, "finance/publish", key, text.replace("2.0.0", "2.0.2"))
    assert (reused.status_code, reused.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_an_activation_sent_again_does_not_undo_what_came_after(api: Api) -> None:
    for version in ("3.0.0", "3.1.0"):
        policy_step(api, "finance/publish", {}, FINANCE.replace("version: 1.1.0", f"version: {version}"))
    for is_active_already in (False, True):
        key = keyed()
        if is_active_already:
            policy_step(api, f"{NAME}@3.0.0/activate", {})
        assert policy_step(api, f"{NAME}@3.0.0/activate", key).json()["status"] == "active"
        policy_step(api, f"{NAME}@3.1.0/activate", {})
        again = policy_step(api, f"{NAME}@3.0.0/activate", key)
        assert (again.status_code, again.headers[REPLAYED], again.json()["status"]) == (200, "true", "active")
        assert api.client.get(f"/policies/{NAME}").json()["version"] == "3.1.0"
    policy_step(api, f"{NAME}@1.1.0/activate", {})


def test_an_activation_sent_again_is_answered_though_the_version_was_withdrawn(api: Api) -> None:
    policy_step(api, "finance/publish", {}, FINANCE.replace("version: 1.1.0", "version: 4.0.0"))
    key = keyed()
    policy_step(api, f"{NAME}@4.0.0/activate", key)
    policy_step(api, f"{NAME}@4.0.0/withdraw", {})
    policy_step(api, f"{NAME}@1.1.0/activate", {})
    again = policy_step(api, f"{NAME}@4.0.0/activate", key)
    assert (again.status_code, again.headers[REPLAYED], again.json()["status"]) == (200, "true", "active")
    assert policy_step(api, f"{NAME}@4.0.0/activate", keyed()).status_code == 409


def test_copies_of_one_activation_at_once_are_one(api: Api) -> None:
    policy_step(api, "finance/publish", {}, FINANCE.replace("version: 1.1.0", "version: 5.0.0"))
    key = keyed()
    before = api.ledger_size()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: policy_step(api, f"{NAME}@5.0.0/activate", key), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert api.ledger_size() == before + 1
    policy_step(api, f"{NAME}@1.1.0/activate", {})


def test_a_batch_sent_again_is_answered_again(api: Api) -> None:
    key = keyed()
    questions = [{"facts": DEAL | {"deal_value": n}} for n in [*range(10), -1, *range(10, 20)]]
    first = api.client.post("/decisions/finance/batch", json={"decisions": questions}, headers=key)
    before = api.ledger_size()
    again = api.client.post("/decisions/finance/batch", json={"decisions": questions}, headers=key)
    assert [answer["status"] for answer in first.json()["answers"] if "status" in answer] == [422]
    assert first.json() == again.json()
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert api.ledger_size() == before
    changed = api.client.post("/decisions/finance/batch", json={"decisions": questions[::-1]}, headers=key)
    assert (changed.status_code, changed.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert api.ledger_size() == before


def test_a_key_that_stood_for_one_event_is_in_use_for_an_array_and_the_other_way_round(api: Api) -> None:
    one, many = {"type": "One"}, [{"type": "Many"}]
    for first, second in ((one, many), (many, one)):
        key = keyed()
        assert api.client.post("/events", json=first, headers=key).status_code == 201
        before = api.ledger_size()
        answer = api.client.post("/events", json=second, headers=key)
        assert answer.status_code == 422
        assert answer.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
        assert api.ledger_size() == before


def test_of_two_bodies_under_one_key_at_the_same_instant_one_is_recorded_whole_and_the_other_not_at_all(api: Api) -> None:
    bodies = [{"decisions": [{"facts": DEAL | {"deal_value": value + n}} for n in range(20)]} for value in (1000, 2000)]
    for path, pair in (("/decisions/finance/batch", bodies), ("/events", [[{"type": kind}] * 20 for kind in ("One", "Two")])):
        for _ in range(5):
            key, before = keyed(), api.ledger_size()
            together = Barrier(2)

            def send(body: object, path: str = path, key: dict[str, str] = key, together: Barrier = together) -> httpx2.Response:
                together.wait()
                return api.client.post(path, json=body, headers=key)

            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(send, pair))
            assert sorted(answer.is_success for answer in answers) == [False, True], [answer.text for answer in answers]
            (refused,) = [answer for answer in answers if not answer.is_success]
            assert (refused.status_code, refused.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
            assert api.ledger_size() == before + 20


def test_what_was_refused_in_a_batch_leaves_its_place_to_no_other_body(api: Api) -> None:
    for first in ([{}, {"type": "Kept"}], [{"type": "Kept"}, {}]):
        key = keyed()
        assert api.client.post("/events", json=first, headers=key).json()["accepted"] == 1
        before = api.ledger_size()
        for other in ([{"type": "Other"}] * 2, [{}, {"type": "Other"}], [{"type": "Other"}] * 3):
            answer = api.client.post("/events", json=other, headers=key)
            assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert api.ledger_size() == before


def test_a_batch_that_was_cut_short_is_completed_by_sending_it_again(api: Api) -> None:
    events = [{"type": "Cut", "payload": n} for n in range(8)]
    key = keyed()
    ids = api.client.post("/events", json=events, headers=key).json()["ids"]
    assert len(set(ids)) == 8
    again = api.client.post("/events", json=events, headers=key)
    assert again.headers[REPLAYED] == "true"
    assert again.json() == {"accepted": 8, "ids": ids, "rejected": []}


def test_without_a_key_the_same_request_is_another(api: Api) -> None:
    answers: list[httpx2.Response] = [api.client.post("/decisions/finance", json=DEAL) for _ in range(2)]
    assert answers[0].json()["id"] != answers[1].json()["id"]

"""Maker and checker over HTTP: who proposes, who may answer, and what a repeat of either is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from in_process import DEAL, Api

from precedent.settings import project_root

FINANCE = (project_root() / "policies/finance/finance-constitution-1.1.0.yaml").read_text()
FIRST = "finance-constitution@1.1.0"
YAML = {"content-type": "application/yaml"}


@pytest.fixture
def checker(api: Api) -> dict[str, str]:
    return api.token("policies:activate", "read")


@pytest.fixture
def second(api: Api, checker: dict[str, str]) -> Iterator[str]:
    """A version that is published where finance asks for a second person; afterwards one is enough, and the first is active."""
    put_rule(api, True)
    versions = [one["version"] for one in api.client.get("/policies").json()["items"] if one["node"] == "finance"]
    version = f"1.{len(versions)}.0"
    text = FINANCE.replace("version: 1.1.0", f"version: {version}")
    assert api.client.post("/policies/finance/publish", content=text, headers=YAML).status_code == 201
    yield f"finance-constitution@{version}"
    for one in api.client.get("/proposals?status=open").json()["items"]:
        assert api.client.post(f"/proposals/{one['id']}/reject", json={"reason": "cleared"}).status_code == 200
    relaxed = put_rule(api, False)
    if relaxed.status_code == 202:
        assert api.client.post(f"/proposals/{relaxed.json()['id']}/approve", headers=checker).status_code == 200
    assert api.client.post(f"/policies/{FIRST}/activate").status_code == 200


def put_rule(api: Api, is_needed: bool, **headers: str) -> Any:
    return api.client.put("/change-control/finance", json={"second_person": is_needed, "reason": "test"}, headers=headers)


def require_refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_an_activation_waits_for_the_second_person(api: Api, second: str, checker: dict[str, str]) -> None:
    asked = api.client.post(f"/policies/{second}/activate", json={"reason": "less discount"})
    assert asked.status_code == 202, asked.text
    proposal = asked.json()
    assert (proposal["ref"], proposal["replaces"], proposal["status"], proposal["proposed_by"]) == (second, FIRST, "open", "tests")
    assert proposal["reason"] == "less discount"
    assert api.decide()["policy_version"] == FIRST
    assert api.client.get("/proposals?status=open").json()["items"] == [proposal]

    path = f"/proposals/{proposal['id']}/approve"
    require_refused(api.client.post(path), 403, "SAME_PERSON")
    require_refused(api.client.post(path, headers=api.token("policies:activate", nodes=("credit",))), 403, "SCOPE_MISSING")
    require_refused(api.client.post(path, headers=api.token("policies:write")), 403, "SCOPE_MISSING")
    assert api.decide()["policy_version"] == FIRST

    done = api.client.post(path, headers=checker)
    assert (done.status_code, done.json()["status"]) == (200, "approved"), done.text
    assert api.decide()["policy_version"] == second
    require_refused(api.client.post(path, headers=checker), 409, "CONFLICT")


def test_a_repeat_of_maker_or_checker_is_told_the_same_and_does_nothing(api: Api, second: str, checker: dict[str, str]) -> None:
    maker_key, checker_key = {"idempotency-key": f"make {second}"}, checker | {"idempotency-key": f"check {second}"}
    first, again = (api.client.post(f"/policies/{second}/activate", headers=maker_key) for _ in range(2))
    assert (first.status_code, again.status_code, first.json()) == (202, 202, again.json())
    assert again.headers["idempotent-replayed"] == "true"
    path = f"/proposals/{first.json()['id']}/approve"
    approved, repeated = (api.client.post(path, headers=checker_key) for _ in range(2))
    assert (approved.status_code, repeated.status_code, approved.json()) == (200, 200, repeated.json())
    assert repeated.headers["idempotent-replayed"] == "true"


def test_a_rejection_needs_a_reason_and_is_told(api: Api, second: str, checker: dict[str, str]) -> None:
    proposal = api.client.post(f"/policies/{second}/activate").json()
    path = f"/proposals/{proposal['id']}/reject"
    for body in ({}, {"reason": ""}, {"reason": " "}, {"reason": "r", "more": 1}):
        assert api.client.post(path, json=body, headers=checker).status_code == 422
    closed = api.client.post(path, json={"reason": "not in autumn"}, headers=checker).json()
    assert (closed["status"], closed["closing_reason"]) == ("rejected", "not in autumn")
    require_refused(api.client.post(f"/proposals/{proposal['id']}/approve", headers=checker), 409, "CONFLICT")


def test_taking_authority_away_never_waits(api: Api, second: str) -> None:
    answer = api.client.post(f"/policies/{FIRST}/deactivate", json={"reason": "a complaint"})
    assert (answer.status_code, answer.json()["status"]) == (200, "deactivated"), answer.text
    for body in (DEAL, {"facts": DEAL, "policy_version": FIRST}):
        require_refused(api.client.post("/decisions/finance", json=body), 404, "ACTION_NOT_FOUND")


def test_a_pin_does_not_reach_a_deactivated_version(api: Api) -> None:
    text = FINANCE.replace("version: 1.1.0", "version: 7.0.0")
    assert api.client.post("/policies/finance/publish", content=text, headers=YAML).status_code == 201
    api.client.post(f"/policies/{FIRST}/deactivate")
    api.client.post("/policies/finance-constitution@7.0.0/activate")
    require_refused(api.client.post("/decisions/finance", json={"facts": DEAL, "policy_version": FIRST}), 404, "POLICY_NOT_FOUND")
    assert api.client.post(f"/policies/{FIRST}/activate").status_code == 200


def test_one_command_rolls_back(api: Api) -> None:
    text = FINANCE.replace("version: 1.1.0", "version: 8.0.0")
    assert api.client.post("/policies/finance/publish", content=text, headers=YAML).status_code == 201
    assert api.client.post("/policies/finance-constitution@8.0.0/activate").status_code == 200
    answer = api.client.post("/policies/finance-constitution/rollback", json={"reason": "too many denied"})
    assert (answer.status_code, answer.json()["version"], answer.json()["status"]) == (200, "1.1.0", "active"), answer.text
    assert api.decide()["policy_version"] == FIRST
    require_refused(api.client.post("/policies/nothing/rollback"), 404, "POLICY_NOT_FOUND")
    require_refused(api.client.post("/policies/credit-constitution/rollback"), 409, "CONFLICT")
    require_refused(api.client.post(f"/policies/{FIRST}/rollback"), 404, "POLICY_NOT_FOUND")


def test_the_rule_itself_is_told_and_relaxed_by_two(api: Api, second: str, checker: dict[str, str]) -> None:
    (row,) = [one for one in api.client.get("/change-control").json()["items"] if one["node"] == "finance"]
    assert (row["second_person"], row["updated_by"]) == (True, "tests")
    asked = put_rule(api, False)
    assert (asked.status_code, asked.json()["op"], asked.json()["ref"]) == (202, "relax", None)
    assert api.client.post(f"/policies/{second}/activate").status_code == 202
    require_refused(api.client.post(f"/proposals/{asked.json()['id']}/approve"), 403, "SAME_PERSON")
    assert api.client.post(f"/proposals/{asked.json()['id']}/approve", headers=checker).status_code == 200
    (row,) = [one for one in api.client.get("/change-control").json()["items"] if one["node"] == "finance"]
    assert row["second_person"] is False


def test_proposals_are_listed_by_page_and_for_the_nodes_of_the_token(api: Api, second: str) -> None:
    api.client.post(f"/policies/{second}/activate")
    whole = api.client.get("/proposals").json()
    pages, after = [], ""
    while after is not None:
        page = api.client.get(f"/proposals?limit=1{after and '&after=' + after}").json()
        pages += page["items"]
        after = page["next"]
    assert pages == whole["items"]
    assert api.client.get("/proposals", headers=api.token("read", nodes=("credit",))).json()["items"] == []
    assert api.client.get("/proposals?after=7").status_code == 422

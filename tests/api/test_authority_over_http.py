"""Policies, pins, flags, grants, the kill switch and business time, as callers see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from in_process import DEAL, Api

from precedent.settings import project_root

FINANCE = (project_root() / "policies/finance/finance-constitution-1.1.0.yaml").read_text()
AS_OF = "2026-01-02T03:04:05.000000Z"


@pytest.fixture(autouse=True)
def restored(api: Api) -> Iterator[None]:
    """Every test ends as it began: resumed, and enabled up to AL3."""
    yield
    api.client.put("/kill-switch", json={"halted": False, "reason": "restored"})
    set_flag(api, enabled=True, max_level=3)


def set_flag(api: Api, **members: Any) -> dict[str, Any]:
    answer = api.client.put("/flags/finance/approve_discount", json={"reason": "test"} | members)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def publish(api: Api, version: str, *changes: tuple[str, str]) -> Any:
    text = FINANCE.replace("version: 1.1.0", f"version: {version}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return api.client.post("/policies/finance/publish", content=text, headers={"content-type": "application/yaml"})


def test_while_halted_everything_escalates_and_is_recorded(api: Api) -> None:
    answer = api.client.put("/kill-switch", json={"halted": True, "reason": "an incident"})
    assert answer.json()["halted"] is True
    decision = api.decide()
    assert (decision["verdict"], decision["effective"], decision["reasons"][0]["code"]) == ("escalate", False, "HALTED")
    assert api.client.get("/ready").json()["checks"]["policies"]["halted"] is True
    assert api.client.get("/metrics").json()["authority"]["halted"] is True
    assert api.client.put("/kill-switch", json={"halted": False, "reason": "over"}).json()["halted"] is False
    assert api.decide()["verdict"] == "approve"


def test_a_disabled_action_is_denied(api: Api) -> None:
    set_flag(api, enabled=False)
    decision = api.decide()
    assert (decision["verdict"], decision["reasons"][0]["code"]) == ("deny", "NOT_ENABLED")


@pytest.mark.parametrize(("grant", "discount", "verdict", "code"), [
    (1, 0.05, "approve", "WITHIN_TIGHT"), (1, 0.08, "escalate", "ABOVE_GRANT"), (2, 0.08, "approve", "WITHIN_BROAD"),
    (2, 0.15, "escalate", "ABOVE_GRANT"), (0, 0.01, "escalate", "ABOVE_GRANT"),
])  # fmt: skip
def test_a_band_above_the_grant_escalates_with_its_recommendation(api: Api, grant: int, discount: float, verdict: str, code: str) -> None:
    set_flag(api, enabled=True, max_level=grant)
    decision = api.decide(facts={"requested_discount_pct": discount})
    assert (decision["verdict"], decision["reasons"][0]["code"]) == (verdict, code)
    assert (decision["recommendation"] or {}).get("verdict") == ("approve" if verdict == "escalate" else None)


def test_flags_are_told_with_who_set_them(api: Api) -> None:
    told = set_flag(api, enabled=True, max_level=2)
    (flag,) = [one for one in api.client.get("/flags").json()["items"] if one["action"] == "approve_discount"]
    assert told.items() >= flag.items()
    assert told["receipt"]["seq"] == api.ledger_size() - 1
    assert (flag["enabled"], flag["max_level"], flag["reason"], flag["updated_by"]) == (True, 2, "test", "tests")


def test_publishing_changes_no_decision_until_it_is_activated(api: Api) -> None:
    answer = publish(api, "1.5.0", ("max_discount: 0.05", "max_discount: 0.09"))
    assert (answer.status_code, answer.json()["ref"]) == (201, "finance-constitution@1.5.0")
    assert publish(api, "1.5.0", ("max_discount: 0.05", "max_discount: 0.09")).status_code == 200
    changed = publish(api, "1.5.0")
    assert (changed.status_code, changed.json()["code"]) == (409, "POLICY_VERSION_EXISTS")
    assert api.decide()["autonomy_level"] == 2

    pinned = api.client.post("/decisions/finance", json={"facts": DEAL, "policy_version": "finance-constitution@1.5.0"})
    assert (pinned.status_code, pinned.json()["code"]) == (404, "POLICY_NOT_FOUND")

    activated = api.client.post("/policies/finance-constitution@1.5.0/activate")
    assert (activated.status_code, activated.json()["status"]) == (200, "active")
    now = api.decide()
    assert (now["autonomy_level"], now["policy_version"]) == (1, "finance-constitution@1.5.0")

    pinned_to_earlier = api.decide(policy_version="finance-constitution@1.1.0")
    assert (pinned_to_earlier["autonomy_level"], pinned_to_earlier["policy_version"]) == (2, "finance-constitution@1.1.0")
    assert api.decide(policy_version="finance-constitution")["policy_version"] == "finance-constitution@1.5.0"

    withdrawn = api.client.post("/policies/finance-constitution@1.5.0/withdraw")
    assert withdrawn.json()["status"] == "withdrawn"
    for body in ({"facts": DEAL, "policy_version": "finance-constitution@1.5.0"}, DEAL):
        refused = api.client.post("/decisions/finance", json=body)
        assert (refused.status_code, refused.json()["code"][-9:]) == (404, "NOT_FOUND"), refused.text
    again = api.client.post("/policies/finance-constitution@1.5.0/activate")
    assert (again.status_code, again.json()["code"]) == (409, "CONFLICT")

    assert api.client.post("/policies/finance-constitution@1.1.0/activate").json()["status"] == "active"
    assert api.decide()["policy_version"] == "finance-constitution@1.1.0"
    states = {one["version"]: one["status"] for one in api.client.get("/policies").json()["items"] if one["name"] == "finance-constitution"}
    assert states == {"1.0.0": "superseded", "1.1.0": "active", "1.5.0": "withdrawn"}


def test_an_outcome_is_judged_by_the_policy_that_decided(api: Api) -> None:
    decision = api.decide(facts={"requested_discount_pct": 0.05})
    assert publish(api, "1.6.0", ("min_margin: 0.25", "min_margin: 0.5")).status_code == 201
    api.client.post("/policies/finance-constitution@1.6.0/activate")
    outcome = api.client.post(f"/outcomes/{decision['id']}", json={"metrics": {"won": True, "margin": 0.25}}).json()
    assert outcome["reward"] == 1.0
    api.client.post("/policies/finance-constitution@1.1.0/activate")


def test_a_policy_of_another_node_is_not_published_here(api: Api) -> None:
    answer = api.client.post("/policies/credit/publish", content=FINANCE, headers={"content-type": "application/yaml"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/node")


def test_a_policy_is_told_with_its_source(api: Api) -> None:
    one = api.client.get("/policies/finance-constitution@1.1.0").json()
    assert (one["source"], one["node"], one["status"]) == (FINANCE, "finance", "active")
    assert api.client.get("/policies/finance-constitution").json() == one
    validated = api.client.post("/policies/validate", content=FINANCE, headers={"content-type": "application/yaml"}).json()
    assert (validated["ref"], validated["digest"]) == ("finance-constitution@1.1.0", one["digest"])


def test_history_is_imported_under_its_own_time(api: Api) -> None:
    decision = api.decide(as_of=AS_OF, facts={"requested_discount_pct": 0.18})
    assert (decision["ts"], decision["imported"], decision["verdict"], decision["review"]) == (AS_OF, True, "escalate", None)
    rows = api.fetch(
        "select imported, ts = %s, known_at = %s, recorded_at > ts from precedent.decisions where id = %s", AS_OF, AS_OF, decision["id"]
    )
    assert rows == [(True, True, True, True)]
    assert api.fetch("select count(*) from precedent.reviews where decision_id = %s", decision["id"]) == [(0,)]
    assert api.fetch("select count(*) from precedent.outbox where entry_id = %s", decision["id"]) == [(0,)]
    event = api.client.post("/events", json={"type": "History", "as_of": AS_OF}).json()
    assert (event["imported"], event["ts"]) == (True, AS_OF)
    outcome = api.client.post(f"/outcomes/{decision['id']}", json={"metrics": {"won": True, "margin": 0.3}, "as_of": AS_OF}).json()
    assert (outcome["imported"], outcome["observed_at"], outcome["counted"]) == (True, AS_OF, False)


def test_history_is_decided_by_the_hour_and_day_it_had(api: Api) -> None:
    def verdict(as_of: str) -> str:
        return str(api.decide("credit", facts={"amount_requested": 6000}, as_of=as_of)["rule"])

    assert verdict("2026-11-17T12:00:00+01:00") == "medium"
    assert verdict("2026-11-17T22:00:00+01:00") == "night"
    assert verdict("2026-11-17T21:59:59.999999+01:00") == "medium"

"""Who may do what: every scope on every route, nodes, revoked and expired tokens, the internal token."""

from __future__ import annotations

from uuid import uuid4

import httpx2
import psycopg
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from in_process import DEAL, Api
from running_api import INTERNAL_TOKEN
from starlette.routing import Match

from precedent.guard.access import CACHE_SECONDS, SCOPES, create_token, revoke_token

EVENT = {"type": "Asked"}
FLAG = {"enabled": True, "max_level": 3, "reason": "r"}

ROUTES: list[tuple[str, str, object, str]] = [
    ("POST", "/events", EVENT, "events:write"),
    ("GET", "/events", None, "read"),
    ("POST", "/decisions/finance", DEAL, "decisions:write"),
    ("POST", "/decisions/finance/batch", {"decisions": [DEAL]}, "decisions:write"),
    ("GET", "/decisions", None, "read"),
    ("GET", f"/decisions/{uuid4()}", None, "read"),
    ("POST", f"/outcomes/{uuid4()}", {"metrics": {}}, "outcomes:write"),
    ("POST", "/outcomes", {"outcomes": [{"decision_id": str(uuid4()), "metrics": {}}]}, "outcomes:write"),
    ("GET", f"/outcomes/{uuid4()}", None, "read"),
    ("GET", "/reviews", None, "reviews:write"),
    ("POST", f"/decisions/{uuid4()}/review", {"answer": "approve", "reason": "r", "digest": "00"}, "reviews:write"),
    ("GET", "/policies", None, "read"),
    ("GET", "/policies/finance-constitution", None, "read"),
    ("POST", "/policies/validate", {}, "policies:write"),
    ("POST", "/policies/finance/publish", {}, "policies:write"),
    ("POST", "/policies/finance-constitution/rollback", None, "policies:activate"),
    ("POST", "/policies/finance-constitution@1.1.0/activate", None, "policies:activate"),
    ("POST", "/policies/finance-constitution@9.9.9/withdraw", None, "policies:activate"),
    ("POST", "/policies/finance-constitution@9.9.9/deactivate", None, "policies:activate"),
    ("GET", "/proposals", None, "read"),
    ("POST", f"/proposals/{uuid4()}/approve", None, "policies:activate"),
    ("POST", f"/proposals/{uuid4()}/reject", {"reason": "r"}, "policies:activate"),
    ("GET", "/change-control", None, "read"),
    ("PUT", "/change-control/hr", {"second_person": True, "reason": "r"}, "policies:activate"),
    ("GET", "/flags", None, "read"),
    ("PUT", "/flags/finance/approve_discount", FLAG, "flags:write"),
    ("PUT", "/kill-switch", {"halted": False, "reason": "r"}, "flags:write"),
    ("POST", "/replays", {"policy": "finance-constitution@1.0.0", "last": 1}, "read"),
    ("GET", f"/replays/{uuid4()}", None, "read"),
    ("GET", "/ledger/head", None, "read"),
    ("GET", "/ledger/checkpoint", None, "read"),
    ("GET", "/ledger/keys", None, "read"),
    ("GET", "/ledger/tile/0/000.p/1", None, "read"),
    ("GET", f"/decisions/{uuid4()}/proof", None, "read"),
    ("GET", f"/decisions/{uuid4()}/explanation", None, "read"),
    ("POST", "/access/v1/evaluation", {}, "decisions:write"),
    ("POST", "/access/v1/evaluations", {"evaluations": [{}]}, "decisions:write"),
]
# What anybody is told; what signing in is for; and what a page's form sends, with the session that it has.
OPEN = ("/.well-known/authzen-configuration", "/health", "/ready", "/metrics", "/", "/problems", "/problems/{code}",
        "/docs", "/docs/oauth2-redirect", "/redoc")  # fmt: skip
SIGN_IN = {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out"), ("POST", "/reviews/{decision_id}")}
NEED_NO_TOKEN = {("GET", path) for path in OPEN} | SIGN_IN
INTERNAL = [("POST", "/jobs/aggregator/run"), ("GET", f"/jobs/runs/{uuid4()}")]


def require_problem(answer: httpx2.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"


def routes_of(api: Api) -> list[APIRoute]:
    application = api.client.app
    assert isinstance(application, FastAPI)
    return [route for route in application.routes if isinstance(route, APIRoute)]


def route_of(api: Api, method: str, path: str) -> str:
    """The route that answers, as the application names it."""
    scope = {"type": "http", "method": method, "path": path.partition("?")[0], "root_path": "", "headers": []}
    return next(route.path for route in routes_of(api) if route.matches(scope)[0] is Match.FULL)


def test_every_route_is_in_the_table_once(api: Api) -> None:
    known = sorted((method, route.path) for route in routes_of(api) for method in route.methods)
    listed = [(method, route_of(api, method, path)) for method, path, *_ in [*ROUTES, *INTERNAL]]
    assert sorted(listed) == [one for one in known if one not in NEED_NO_TOKEN]
    assert set(known) >= NEED_NO_TOKEN


@pytest.mark.parametrize(("method", "path", "body", "scope"), ROUTES, ids=[f"{method} {path}" for method, path, _, _ in ROUTES])
def test_a_route_needs_its_scope_and_no_other(api: Api, method: str, path: str, body: object, scope: str) -> None:
    without = api.token(*sorted(SCOPES - {scope}))
    before = api.ledger_size()
    require_problem(api.client.request(method, path, json=body, headers=without), 403, "SCOPE_MISSING")
    require_problem(api.client.request(method, path, json=body, headers={"authorization": ""}), 401, "TOKEN_UNKNOWN")
    assert api.ledger_size() == before
    answer = api.client.request(method, path, json=body, headers=api.token(scope))
    assert answer.status_code not in {401, 403}, answer.text
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer prc_unknown", "Bearer \u00fc", "Token x", "prc_x"]
)
def test_without_a_valid_token_nothing_is_told(api: Api, header: str) -> None:
    headers = [(b"authorization", header.encode("latin-1"))]
    require_problem(api.client.get("/events", headers=headers), 401, "TOKEN_UNKNOWN")


def test_a_revoked_token_stops_within_the_time_it_is_remembered(api: Api) -> None:
    token = {"authorization": f"Bearer {create_token(api.database_url, 'to-revoke', ['read'])}"}
    assert api.client.get("/events", headers=token).status_code == 200
    assert revoke_token(api.database_url, "to-revoke") == 1
    api.clock.ahead_seconds += CACHE_SECONDS + 0.1
    require_problem(api.client.get("/events", headers=token), 401, "TOKEN_UNKNOWN")


def test_an_expired_token_stops_within_the_time_it_is_remembered(api: Api) -> None:
    token = {"authorization": f"Bearer {create_token(api.database_url, 'to-expire', ['read'], expires_in_days=1)}"}
    assert api.client.get("/events", headers=token).status_code == 200
    with psycopg.connect(api.database_url) as connection:
        connection.execute("update precedent.api_tokens set expires_at = now() - interval '1 second' where name = 'to-expire'")
    api.clock.ahead_seconds += CACHE_SECONDS + 0.1
    require_problem(api.client.get("/events", headers=token), 401, "TOKEN_UNKNOWN")


def test_a_token_expired_before_its_first_use_is_refused(api: Api) -> None:
    token = create_token(api.database_url, "expired", ["read"], expires_in_days=-1)
    require_problem(api.client.get("/events", headers={"authorization": f"Bearer {token}"}), 401, "TOKEN_UNKNOWN")


def test_a_token_for_one_node_is_for_that_node_alone(api: Api) -> None:
    finance, credit = api.decide(), api.decide("credit", action="accept_application", facts={"amount_requested": 700})
    finance_id, credit_id = finance["id"], credit["id"]
    token = api.token(*sorted(SCOPES), nodes=("finance",))
    metrics = {"metrics": {"won": True, "margin": 0.3}}
    before = api.ledger_size()
    refused = [
        ("POST", "/decisions/credit", {"amount_requested": 700}),
        ("POST", "/decisions/credit/batch", {"decisions": [{"amount_requested": 700}]}),
        ("GET", f"/decisions/{credit_id}", None),
        ("GET", "/decisions?node=credit", None),
        ("POST", f"/outcomes/{credit_id}", metrics),
        ("GET", f"/outcomes/{credit_id}", None),
        ("PUT", "/flags/credit/accept_application", FLAG),
        ("PUT", "/kill-switch", {"halted": True, "reason": "r"}),
        ("POST", "/policies/credit/publish", {}),
        ("POST", "/policies/credit-constitution@1.0.0/activate", None),
        ("POST", "/policies/credit-constitution@1.0.0/withdraw", None),
    ]
    for method, path, body in refused:
        require_problem(api.client.request(method, path, json=body, headers=token), 403, "SCOPE_MISSING")
    in_batch = {"outcomes": [{"decision_id": credit_id} | metrics]}
    (answer,) = api.client.post("/outcomes", json=in_batch, headers=token).json()["answers"]
    assert answer["code"] == "SCOPE_MISSING"
    assert api.ledger_size() == before
    assert api.client.get(f"/decisions/{finance_id}", headers=token).status_code == 200
    assert api.client.post(f"/outcomes/{finance_id}", json=metrics, headers=token).status_code == 201
    listed = api.client.get("/decisions", headers=token).json()["items"]
    assert {one["node"] for one in listed} == {"finance"}
    assert api.client.post("/decisions/finance", json=DEAL, headers=token).status_code == 201


def test_a_token_for_one_node_is_told_of_that_node_alone(api: Api) -> None:
    api.decide()
    api.decide("credit", action="accept_application", facts={"amount_requested": 700})
    for node in ("credit", "finance"):
        api.client.put(f"/change-control/{node}", json={"second_person": True, "reason": "r"})
    told = api.token("read", nodes=("credit",))
    for path in ("/policies", "/flags", "/change-control"):
        assert {one["node"] for one in api.client.get(path, headers=told).json()["items"]} == {"credit"}, path
    assert api.client.get("/policies/credit-constitution", headers=told).status_code == 200
    require_problem(api.client.get("/policies/finance-constitution", headers=told), 403, "SCOPE_MISSING")


def test_a_token_sees_the_reviews_of_its_nodes_alone(api: Api) -> None:
    decision = api.decide(facts={"requested_discount_pct": 0.2})
    assert decision["requires_human"]
    for nodes, is_seen in ((("finance",), True), (("credit", "finance"), True), (("credit",), False), (("*",), True)):
        items = api.client.get("/reviews?limit=100", headers=api.token("reviews:write", nodes=nodes)).json()["items"]
        assert (decision["id"] in [item["decision_id"] for item in items]) is is_seen, nodes


def test_a_token_for_two_nodes_lists_one_at_a_time(api: Api) -> None:
    token = api.token("read", nodes=("finance", "credit"))
    require_problem(api.client.get("/decisions", headers=token), 403, "SCOPE_MISSING")
    assert api.client.get("/decisions?node=credit", headers=token).status_code == 200


@pytest.mark.parametrize(("method", "path"), INTERNAL)
@pytest.mark.parametrize("sent", [None, "", "wrong", INTERNAL_TOKEN[:-1], INTERNAL_TOKEN + "x"])
def test_jobs_need_the_internal_token_whatever_else_is_sent(api: Api, method: str, path: str, sent: str | None) -> None:
    headers = {} if sent is None else {"x-internal-token": sent}
    require_problem(api.client.request(method, path, headers=headers), 401, "TOKEN_UNKNOWN")


@pytest.mark.parametrize(("method", "path"), INTERNAL)
def test_jobs_behind_the_internal_token_say_when_dagster_is_away(api: Api, method: str, path: str) -> None:
    answer = api.client.request(method, path, headers={"x-internal-token": INTERNAL_TOKEN, "authorization": ""})
    require_problem(answer, 503, "PIPELINE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1


def test_the_internal_token_opens_nothing_else(api: Api) -> None:
    headers = {"x-internal-token": INTERNAL_TOKEN, "authorization": f"Bearer {INTERNAL_TOKEN}"}
    require_problem(api.client.get("/events", headers=headers), 401, "TOKEN_UNKNOWN")


def test_business_time_needs_the_right_to_import(api: Api) -> None:
    decision = api.decide()
    token = api.token(*sorted(SCOPES - {"import"}))
    as_of = {"as_of": "2026-01-02T03:04:05Z"}
    before = api.ledger_size()
    for path, body in [
        ("/events", EVENT | as_of),
        ("/decisions/finance", {"facts": DEAL} | as_of),
        (f"/outcomes/{decision['id']}", {"metrics": {"won": True, "margin": 0.3}} | as_of),
    ]:
        require_problem(api.client.post(path, json=body, headers=token), 403, "SCOPE_MISSING")
    assert api.ledger_size() == before


def test_a_pin_needs_its_right(api: Api) -> None:
    token = api.token("decisions:write")
    before = api.ledger_size()
    body = {"facts": DEAL, "policy_version": "finance-constitution@1.1.0"}
    require_problem(api.client.post("/decisions/finance", json=body, headers=token), 403, "SCOPE_MISSING")
    assert api.ledger_size() == before


def test_personal_facts_need_their_right(api: Api) -> None:
    decision = api.decide(facts={"customer_id": "C-77", "note": "call at noon"})
    path = f"/decisions/{decision['id']}"
    assert api.client.get(path).json()["personal"] == {"customer_id": "C-77", "note": "call at noon"}
    told = api.client.get(path, headers=api.token("read"))
    assert told.json()["personal"] is None
    assert "C-77" not in told.text
    assert "noon" not in told.text


def test_measurements_are_told_to_this_machine_or_to_readers(api: Api) -> None:
    assert api.client.get("/metrics", headers={"authorization": ""}).status_code == 200
    through_a_proxy = {"authorization": "", "x-forwarded-for": "203.0.113.7"}
    require_problem(api.client.get("/metrics", headers=through_a_proxy), 401, "TOKEN_UNKNOWN")
    assert api.client.get("/metrics", headers={"x-forwarded-for": "203.0.113.7"}).status_code == 200

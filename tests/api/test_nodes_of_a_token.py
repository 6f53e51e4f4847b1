"""A token for some nodes is held to them on every route; and the tables of the documentation say what the application does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from in_process import DEAL, Api
from test_rights import INTERNAL, NEED_NO_TOKEN, ROUTES, route_of

from precedent.guard.access import SCOPES
from precedent.settings import project_root

NAME = "finance-constitution"
REASON = {"reason": "r"}
WON = {"metrics": {"won": True, "margin": 0.3}}
ANSWER = {"answer": "approve", "reason": "r", "digest": "00"}
QUESTION = {
    "subject": {"type": "user", "id": "a"},
    "action": {"name": "finance/approve_discount"},
    "resource": {"type": "deal", "id": "D-1"},
    "context": DEAL,
}
FINANCE = (project_root() / f"policies/finance/{NAME}-1.1.0.yaml").read_text()
SWITCH = {"halted": False, "reason": "r"}
REPLAY = {"policy": f"{NAME}@1.1.0", "last": 1}

# Each of these asks for something of finance; {…} is what `found` made.
OWN: list[tuple[str, str, Any]] = [
    ("POST", "/decisions/finance", DEAL),
    ("POST", "/decisions/finance/batch", {"decisions": [DEAL]}),
    ("POST", "/access/v1/evaluation", QUESTION),
    ("POST", "/outcomes/{decision}", WON),
    ("POST", "/decisions/{decision}/review", ANSWER),
    ("POST", "/policies/finance/publish", FINANCE),
    ("POST", f"/policies/{NAME}@1.0.0/activate", None),
    ("POST", f"/policies/{NAME}@1.0.0/deactivate", None),
    ("POST", f"/policies/{NAME}@1.0.0/withdraw", None),
    ("POST", f"/policies/{NAME}/rollback", None),
    ("POST", "/proposals/{proposal}/approve", None),
    ("POST", "/proposals/{proposal}/reject", REASON),
    ("PUT", "/change-control/finance", {"second_person": True, "reason": "r"}),
    ("PUT", "/flags/finance/approve_discount", {"enabled": True, "max_level": 3, "reason": "r"}),
    ("GET", "/decisions/{decision}", None),
    ("GET", "/decisions/{decision}/explanation", None),
    ("GET", "/decisions/{decision}/proof", None),
    ("GET", "/outcomes/{decision}", None),
    ("GET", f"/policies/{NAME}", None),
    ("POST", "/replays", REPLAY),
    ("GET", "/replays/{replay}", None),
]
IN_PLACE: list[tuple[str, str, Any]] = [
    ("POST", "/access/v1/evaluations", QUESTION | {"evaluations": [{}]}),
    ("POST", "/outcomes", {"outcomes": [{"decision_id": "{decision}"} | WON]}),
]
ROWS = ["/decisions", "/reviews", "/policies", "/proposals", "/change-control", "/flags", "/metrics"]
EVERY: list[tuple[str, str, Any]] = [
    ("GET", "/events", None),
    ("GET", "/ledger/head", None),
    ("GET", "/ledger/tile/0/000.p/1", None),
    ("GET", "/ledger/tile/entries/000.p/1", None),
    ("PUT", "/kill-switch", SWITCH),
]
ANY: list[tuple[str, str, Any]] = [
    ("POST", "/events", {"type": "Asked"}),
    ("POST", "/policies/validate", FINANCE),
    ("GET", "/ledger/checkpoint", None),
    ("GET", "/ledger/keys", None),
]
RULES = {
    "is refused (403) what is of another node; in a batch, in its place": [*OWN, *IN_PLACE],
    "is told of its nodes alone": [("GET", path, None) for path in ROWS],
    "is refused (403): what has no node is for tokens of every node": EVERY,
    "may as any other: nothing of another node is told or changed": ANY,
}
EVERYTHING = tuple(sorted(SCOPES))


@pytest.fixture(scope="module")
def found(api: Api) -> dict[str, str]:
    """Something of finance for each route that asks for one thing, and rows of two nodes for those that list."""
    for node in ("credit", "finance"):
        assert api.client.put(f"/change-control/{node}", json={"second_person": True, "reason": "r"}).is_success
    proposals = []
    for node in ("credit", "finance"):
        path = f"/policies/{node}-constitution@{api.client.get(f'/policies/{node}-constitution').json()['version']}/activate"
        newer = republished(api, node)
        answer = api.client.post(f"/policies/{newer}/activate")
        assert answer.status_code == 202, (path, answer.text)
        proposals.append(answer.json()["id"])
    api.decide("credit", action="accept_application", facts={"amount_requested": 700})
    decision = api.decide(facts={"requested_discount_pct": 0.2})["id"]
    replay = api.client.post("/replays?wait=30", json=REPLAY).json()["id"]
    return {"decision": decision, "proposal": proposals[-1], "replay": replay}


def republished(api: Api, node: str) -> str:
    """A version that is not active yet."""
    whole = api.client.get(f"/policies/{node}-constitution").json()
    text = re.sub(r"(?m)^version: .*$", "version: 9.0.0", whole["source"])
    answer = api.client.post(f"/policies/{node}/publish", content=text, headers={"content-type": "application/yaml"})
    assert answer.is_success, answer.text
    return str(answer.json()["ref"])


def ask(api: Api, found: dict[str, str], asked: tuple[str, str, Any], nodes: tuple[str, ...]) -> httpx2.Response:
    method, path, body = asked
    for name, value in found.items():
        path = path.replace("{" + name + "}", value)
    if path == "/outcomes":
        body = {"outcomes": [{"decision_id": found["decision"]} | WON]}
    headers = api.token(*EVERYTHING, nodes=nodes)
    if isinstance(body, str):
        return api.client.request(method, path, content=body, headers=headers | {"content-type": "application/yaml"})
    return api.client.request(method, path, json=body, headers=headers)


def names(asked: list[tuple[str, str, Any]]) -> list[str]:
    return [f"{method} {path}" for method, path, _ in asked]


@pytest.mark.parametrize("asked", OWN, ids=names(OWN))
def test_what_is_of_a_node_is_for_tokens_of_that_node(api: Api, found: dict[str, str], asked: tuple[str, str, Any]) -> None:
    before = api.ledger_size()
    for nodes in (("credit",), ("credit", "hr")):
        answer = ask(api, found, asked, nodes)
        assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_MISSING"), answer.text
        assert "finance" in answer.json()["detail"]
    assert api.ledger_size() == before
    for nodes in (("finance",), ("credit", "finance"), ("*",)):
        answer = ask(api, found, asked, nodes)
        assert answer.status_code < 500, answer.text
        assert answer.status_code not in {401, 404}, answer.text
        assert answer.json().get("code") != "SCOPE_MISSING", answer.text


@pytest.mark.parametrize("asked", IN_PLACE, ids=names(IN_PLACE))
def test_in_a_batch_it_is_refused_in_its_place(api: Api, found: dict[str, str], asked: tuple[str, str, Any]) -> None:
    before = api.ledger_size()
    assert "SCOPE_MISSING" in ask(api, found, asked, ("credit",)).text
    assert api.ledger_size() == before
    assert "SCOPE_MISSING" not in ask(api, found, asked, ("finance",)).text


@pytest.mark.parametrize("path", ROWS)
def test_what_lists_tells_of_the_tokens_nodes_alone(api: Api, found: dict[str, str], path: str) -> None:
    def told(*nodes: str) -> set[str]:
        answer = ask(api, found, ("GET", path, None), nodes)
        assert answer.status_code == 200, answer.text
        return set(nodes_in(answer.json()))

    everything = told("*")
    assert everything >= ({"finance"} if path == "/reviews" else {"finance", "credit"})
    for node in ("finance", "credit", "hr"):
        assert told(node) == everything & {node}


def nodes_in(value: Any) -> Iterator[str]:
    """Every `node` anywhere in an answer."""
    if isinstance(value, dict):
        if isinstance(value.get("node"), str):
            yield value["node"]
        for member in value.values():
            yield from nodes_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from nodes_in(member)


def test_measurements_for_some_nodes_tell_nothing_of_ledger_and_outbox(api: Api, found: dict[str, str]) -> None:
    def told(node: str, accept: str) -> httpx2.Response:
        return api.client.get("/metrics", headers=api.token("read", nodes=(node,)) | {"accept": accept})

    for words in ("finance-constitution", "precedent_ledger_size", "precedent_outbox_waiting"):
        assert (words in told("*", "text/plain").text, words in told("credit", "text/plain").text) == (True, False), words
    assert "credit-constitution" in told("credit", "text/plain").text
    every, some = told("*", "application/json").json(), told("credit", "application/json").json()
    assert every["ledger"]["size"] > 0
    assert every["outbox"]["dead"] == 0
    assert (some["ledger"], some["outbox"]) == ({"size": None, "head": None}, None)


@pytest.mark.parametrize("asked", EVERY, ids=names(EVERY))
def test_what_has_no_node_is_for_tokens_of_every_node(api: Api, found: dict[str, str], asked: tuple[str, str, Any]) -> None:
    answer = ask(api, found, asked, ("credit", "finance", "hr", "support"))
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_MISSING")
    assert "every node" in answer.json()["detail"]
    assert ask(api, found, asked, ("*",)).status_code not in {401, 403}


@pytest.mark.parametrize("asked", ANY, ids=names(ANY))
def test_what_tells_of_no_node_is_for_every_token_with_the_scope(api: Api, found: dict[str, str], asked: tuple[str, str, Any]) -> None:
    assert ask(api, found, asked, ("credit",)).status_code in {200, 201, 404}


def tables() -> tuple[dict[str, set[tuple[str, str]]], dict[str, set[tuple[str, str]]]]:
    """Both of docs/operations.md: the first cell of each row, and the routes in its second."""
    text = (project_root() / "docs/operations.md").read_text()
    part = text.partition("<!-- table of scopes -->")[2].partition("<!-- end of the table of scopes -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line.startswith("| ")]
    routes = {first: set(re.findall(r"`(GET|POST|PUT) (/[^`]*)`", second)) for first, second in rows if not first.startswith("---")}
    scopes = {first.strip("`"): found for first, found in routes.items() if first.startswith(("`", "("))}
    return scopes, {first: found for first, found in routes.items() if first in RULES}


def known(api: Api, asked: list[tuple[str, str, Any]]) -> set[tuple[str, str]]:
    """As the application names them, and the documentation after it."""
    ids = {name: str(uuid4()) for name in ("decision", "proposal", "replay")}
    found = {(method, route_of(api, method, path.format(**ids))) for method, path, _ in asked}
    return {(method, path.replace("{tile:path}", "{tile}")) for method, path in found}


def test_the_documented_scopes_are_those_of_the_routes(api: Api) -> None:
    scopes, _ = tables()
    assert {name for name in scopes if not name.startswith("(")} == SCOPES
    for scope in SCOPES:
        asked: list[tuple[str, str, Any]] = [(method, path, body) for method, path, body, needed in ROUTES if needed == scope]
        assert scopes[scope] == known(api, asked) | ({("GET", "/metrics")} if scope == "read" else set()), scope
    assert scopes["(internal token)"] == known(api, [(method, path, None) for method, path in INTERNAL])
    assert scopes["(none)"] == NEED_NO_TOKEN - {("GET", "/metrics")}
    application = api.client.app
    assert isinstance(application, FastAPI)
    every = {(method, route.path) for route in application.routes if isinstance(route, APIRoute) for method in route.methods}
    documented = set().union(*scopes.values())
    assert documented == {(method, path.replace("{tile:path}", "{tile}")) for method, path in every}


def test_the_documented_rules_for_nodes_are_those_that_are_tested_and_leave_no_route_out(api: Api) -> None:
    scopes, rules = tables()
    assert rules == {rule: known(api, asked) for rule, asked in RULES.items()}
    needing = set().union(*(routes for scope, routes in scopes.items() if not scope.startswith("(")))
    assert set().union(*rules.values()) == needing

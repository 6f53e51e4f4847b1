"""A right that the database does not give is told as a problem with a page: never a bare 500, and never with the database's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from in_process import DEAL, Api

from precedent.guard.access import CACHE_SECONDS

FLAG = {"enabled": True, "max_level": 3, "reason": "r"}
# What is revoked of the API's role, and what can't be answered without it.
TABLE: list[tuple[str, str, str, Any]] = [
    ("select on precedent.api_tokens", "GET", "/flags", None),
    ("select on precedent.decisions", "GET", "/decisions", None),
    ("select on precedent.events", "GET", "/events", None),
    ("select on precedent.reviews", "GET", "/reviews", None),
    ("select on precedent.policy_versions", "GET", "/policies", None),
    ("select on precedent.policy_proposals", "GET", "/proposals", None),
    ("select on precedent.node_flags", "GET", "/flags", None),
    ("select on ledger.entry", "GET", "/decisions/{decision}", None),
    ("select on ledger.section", "GET", "/decisions/{decision}/explanation", None),
    ("select on precedent.outcomes", "GET", "/outcomes/{decision}", None),
    ("select on ledger.checkpoint", "GET", "/ledger/checkpoint", None),
    ("usage on schema ledger", "GET", "/ledger/keys", None),
    ("execute on all functions in schema ledger", "POST", "/decisions/finance", DEAL),
    ("execute on all functions in schema ledger", "POST", "/events", {"type": "Asked"}),
    ("execute on all functions in schema ledger", "PUT", "/flags/finance/approve_discount", FLAG),
]


@contextmanager
def without(api: Api, right: str) -> Iterator[None]:
    """As an operator's slip would leave it; every process that reads anew asks again."""
    api.clock.ahead_seconds += CACHE_SECONDS + 0.1
    with psycopg.connect(api.database_url, autocommit=True) as owner:
        owner.execute(f"revoke {right} from precedent_api".encode())
        try:
            yield
        finally:
            owner.execute(f"grant {right} to precedent_api".encode())


@pytest.mark.parametrize(("right", "method", "path", "body"), TABLE, ids=[f"{right}: {method} {path}" for right, method, path, _ in TABLE])
def test_a_missing_right_is_a_problem_with_a_page(api: Api, right: str, method: str, path: str, body: Any) -> None:
    asked = path.replace("{decision}", api.decide()["id"])
    before = api.ledger_size()
    with without(api, right):
        answer = api.client.request(method, asked, json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_REFUSED"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert "permission" not in answer.text
    assert api.client.get(answer.json()["type"]).status_code == 200
    assert api.ledger_size() == before
    assert api.client.request(method, asked, json=body).is_success  # once it is mended, without a restart


def test_what_is_not_migrated_is_a_problem_too(api: Api) -> None:
    with psycopg.connect(api.database_url, autocommit=True) as owner:
        owner.execute("alter table precedent.events rename to events_of_another_version")
        try:
            answer = api.client.get("/events")
        finally:
            owner.execute("alter table precedent.events_of_another_version rename to events")
    assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_REFUSED")


def test_whoever_asks_whether_a_process_is_ready_is_told_that_it_is_not(api: Api) -> None:
    with without(api, "select on precedent.ledger_heads"):
        answer = api.client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == {"ok": False, "why": "the database refuses what this service asks of it"}
    assert api.client.get("/ready").status_code == 200

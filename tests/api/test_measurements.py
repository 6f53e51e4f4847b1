"""Metrics: JSON for people, Prometheus' text for machines, and both of what really happened."""

from __future__ import annotations

import psycopg
import pytest
from in_process import DEAL, Api
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import BUCKETS_SECONDS, Measurements


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = list(text_string_to_metric_families(text))
    assert families
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def test_the_json_counts_requests_by_route_and_status(api: Api) -> None:
    def counts() -> dict[str, int]:
        rows = api.client.get("/metrics").json()["requests"]
        found = [one["by_status"] for one in rows if (one["method"], one["route"]) == ("POST", "/decisions/{node}")]
        return found[0] if found else {}

    before = counts()
    for body in (DEAL, DEAL, {}):
        api.client.post("/decisions/finance", json=body)
    after = counts()
    assert after["201"] - before.get("201", 0) == 2
    assert after["422"] - before.get("422", 0) == 1


def test_the_json_tells_decisions_ledger_and_process(api: Api) -> None:
    api.decide()
    told = api.client.get("/metrics").json()
    (row,) = [
        one for one in told["decisions_last_day"] if (one["node"], one["verdict"], one["autonomy_level"]) == ("finance", "approve", 2)
    ]
    assert row["count"] == api.fetch("select count(*) from precedent.decisions where autonomy_level = 2")[0][0]
    assert told["ledger"]["size"] == api.ledger_size()
    assert told["writer"]["queue_depth"] == 0
    assert told["process"]["memory_bytes"] > 10_000_000


@pytest.mark.parametrize("accept", ["text/plain", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text"])
def test_the_text_is_prometheus(api: Api, accept: str) -> None:
    api.decide()
    answer = api.client.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    labels = frozenset({"method": "POST", "route": "/decisions/{node}", "status": "201"}.items())
    assert found["precedent_request_seconds_count", labels] >= 1
    assert found["precedent_request_seconds_bucket", labels | {("le", "+Inf")}] == found["precedent_request_seconds_count", labels]
    assert found["precedent_ledger_size", frozenset()] == api.ledger_size()
    decisions = frozenset({"node": "finance", "verdict": "approve", "autonomy_level": "2"}.items())
    assert found["precedent_decisions_last_day", decisions] >= 1


def test_a_gauge_whose_cause_is_gone_is_told_no_more(api: Api) -> None:
    api.decide(facts={"requested_discount_pct": 0.9})
    denied = ("precedent_decisions_last_day", frozenset({"node": "finance", "verdict": "deny", "autonomy_level": "0"}.items()))
    assert denied in samples(api.client.get("/metrics", headers={"accept": "text/plain"}).text)
    with psycopg.connect(api.database_url) as connection:
        connection.execute("update precedent.decisions set recorded_at = recorded_at - interval '2 days' where verdict = 'deny'")
    assert denied not in samples(api.client.get("/metrics", headers={"accept": "text/plain"}).text)


def test_unknown_paths_share_one_label(api: Api) -> None:
    for n in range(5):
        api.client.get(f"/nowhere/{n}")
    routes = {one["route"] for one in api.client.get("/metrics").json()["requests"]}
    assert not {route for route in routes if "nowhere" in route}


def test_quantiles_are_the_upper_bounds_of_their_buckets() -> None:
    measured = Measurements()
    assert isinstance(measured.registry, CollectorRegistry)
    for _ in range(98):
        measured.observe("GET", "/x", 200, 0.0015)
    measured.observe("GET", "/x", 200, 0.04)
    measured.observe("GET", "/x", 500, BUCKETS_SECONDS[-1] + 1)
    (row,) = measured.summary()
    assert (row["count"], row["by_status"]) == (100, {"200": 99, "500": 1})
    assert (row["p50_ms"], row["p95_ms"], row["p99_ms"]) == (2.0, 2.0, 50.0)
    assert Measurements().summary() == []


def test_reviews_are_measured_by_node_and_kind(api: Api) -> None:
    api.decide(facts={"requested_discount_pct": 0.18})
    [row] = [one for one in api.client.get("/metrics").json()["reviews"] if (one["node"], one["kind"]) == ("finance", "escalation")]
    assert row["waiting"] >= 1
    text = api.client.get("/metrics", headers={"accept": "text/plain"}).text
    assert f'precedent_reviews_waiting{{kind="escalation",node="finance"}} {float(row["waiting"])}' in text
    assert "precedent_review_override_rate" not in text, "a share of nothing is not told"

"""Metrics: JSON for people, Prometheus' text for machines, and both of what really happened."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from in_process import DEAL, Api
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import BUCKETS_SECONDS, Measurements
from api.scrape import Scrape


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


def test_problems_are_counted_by_route_and_code(api: Api) -> None:
    def count() -> float:
        key = ("precedent_problems_total", frozenset({"route": "/decisions/{node}", "code": "FACTS_INVALID"}.items()))
        return samples(api.client.get("/metrics", headers={"accept": "text/plain"}).text).get(key, 0.0)

    before = count()
    assert api.client.post("/decisions/finance", json={}).json()["code"] == "FACTS_INVALID"
    told = {(one["route"], one["code"]): one["count"] for one in api.client.get("/metrics").json()["problems"]}
    assert (count(), told["/decisions/{node}", "FACTS_INVALID"]) == (before + 1, before + 1)


def test_the_share_of_each_version_is_told_and_adds_up(api: Api) -> None:
    version = api.decide()["policy_version"]
    told = [one for one in api.client.get("/metrics").json()["variants_last_day"] if one["node"] == "finance"]
    assert version in {one["policy_version"] for one in told}
    assert sum(one["share"] for one in told) == pytest.approx(1.0)


def test_an_approval_of_a_day_ago_without_an_outcome_is_unknown(api: Api) -> None:
    first, second = api.decide(), api.decide()
    with psycopg.connect(api.database_url) as connection:
        connection.execute(
            "update precedent.decisions set recorded_at = recorded_at - interval '3 days' where id = any(%s::uuid[])",
            ([first["id"], second["id"]],),
        )
    assert api.client.post(f"/outcomes/{first['id']}", json={"metrics": {"won": True, "margin": 0.3}}).status_code == 201
    [row] = [one for one in api.client.get("/metrics").json()["outcomes_last_week"] if one["node"] == "finance"]
    assert (row["approved"], row["unknown"]) == (2, 1)
    found = samples(api.client.get("/metrics", headers={"accept": "text/plain"}).text)
    assert found["precedent_outcome_unknown_ratio", frozenset({("node", "finance")})] == 0.5


def test_a_place_without_an_entry_is_counted_as_a_gap(api: Api) -> None:
    decision = api.decide()
    api.decide()
    assert api.client.get(f"/decisions/{decision['id']}/proof", params={"wait": "proof"}).status_code == 200  # the tree has passed it
    whole = api.client.get("/metrics").json()["ledger"]
    assert (whole["gaps"], whole["looked_at"]) == (0, api.ledger_size())
    with psycopg.connect(api.database_url, autocommit=True) as connection:  # what an owner can do, who switches the triggers off
        connection.execute("alter table ledger.entry disable trigger user")
        kept = connection.execute("delete from ledger.entry where seq = %s returning *", (decision["receipt"]["seq"],)).fetchone()
        assert kept is not None
        try:
            app: Any = api.client.app
            app.state.scrape = Scrape()  # as a process that has just been started
            assert api.client.get("/metrics").json()["ledger"]["gaps"] == 1
            assert "precedent_ledger_gaps 1.0" in api.client.get("/metrics", headers={"accept": "text/plain"}).text
        finally:
            connection.execute(f"insert into ledger.entry values ({', '.join(['%s'] * len(kept))})".encode(), kept)
            for (name,) in connection.execute(
                "select tgname from pg_trigger where tgrelid = 'ledger.entry'::regclass and not tgisinternal"
            ).fetchall():
                connection.execute(f"alter table ledger.entry enable always trigger {name}".encode())
            app.state.scrape = Scrape()


def test_how_far_the_tree_is_behind_is_told(api: Api) -> None:
    api.decide()
    ledger = api.client.get("/metrics").json()["ledger"]
    assert 0 <= ledger["checkpoint_size"] <= ledger["size"]
    assert ledger["lag_seconds"] >= 0.0


def test_a_part_that_cannot_be_read_is_named_and_the_rest_is_told(api: Api) -> None:
    with psycopg.connect(api.database_url) as connection:
        connection.execute("alter table precedent.outbox rename to outbox_away")
        connection.commit()
        try:
            told = api.client.get("/metrics").json()
            text = api.client.get("/metrics", headers={"accept": "text/plain"}).text
        finally:
            connection.execute("alter table precedent.outbox_away rename to outbox")
    assert (told["failed"], told["outbox"]) == (["outbox"], None)
    assert told["ledger"]["size"] == api.ledger_size()
    assert 'precedent_scrape_failed{part="outbox"} 1.0' in text
    assert "precedent_outbox_waiting" not in text


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

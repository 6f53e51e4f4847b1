"""Traces: the caller's goes on, steps stand inside their request, many at once are one span a step and a commit, what a decision
sets off later is linked to it, nothing personal and no words of errors leave, and off means off.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import orjson
import pytest
from collecting import collecting
from in_process import DEAL
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from running_api import Installation, install
from starlette.testclient import TestClient

from api.app import create_app
from precedent import spans
from precedent.clock import SystemClock
from precedent.db.engine import API, connect
from precedent.guard.access import create_token
from precedent.ledger.store import chain_id_of
from precedent.people.notify import drain
from precedent.tracing import TRACE_ID as TRACE_FORM
from precedent.tracing import provider_of, provider_with

ESCALATING = DEAL | {"requested_discount_pct": 0.18}
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def installation(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install(module_database_url, tmp_path_factory.mktemp("home"))


@pytest.fixture
def traced(installation: Installation) -> Iterator[tuple[TestClient, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    app = create_app(installation.settings, traces=provider_with(SimpleSpanProcessor(exporter)))
    with TestClient(app, headers={"authorization": f"Bearer {installation.token}"}) as client:
        yield client, exporter


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def all_named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def told(span: ReadableSpan) -> dict[str, Any]:
    return {name.removeprefix("precedent."): value for name, value in (span.attributes or {}).items()}


def inside(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and span.parent.span_id == parent.context.span_id


def test_a_decision_is_one_trace_with_its_steps_under_the_callers(traced: tuple[TestClient, InMemorySpanExporter]) -> None:
    client, exporter = traced
    answer = client.post("/decisions/finance", json=DEAL, headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}).json()
    found = by_name(exporter)
    request = found["POST /decisions/{node}"]
    assert {"memory", "policy", "append"} <= set(found)
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {TRACE_ID}
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == PARENT_ID
    for name in ("memory", "policy", "append"):
        parent = found[name].parent
        assert parent is not None
        assert parent.span_id == request.context.span_id
    assert told(found["append"]) == {"seq": answer["receipt"]["seq"], "decision_id": answer["id"]}
    assert told(found["policy"]) == {"node": "finance", "action": "approve_discount", "verdict": answer["verdict"]}
    assert inside(found["commit"], found["append"])
    assert told(found["commit"])["last_seq"] == answer["receipt"]["seq"]
    assert dict(request.attributes or {})["precedent.correlation_id"] == answer["correlation_id"] == TRACE_ID


def test_a_trace_has_the_id_that_the_record_has(traced: tuple[TestClient, InMemorySpanExporter]) -> None:
    client, exporter = traced
    answer = client.post("/decisions/finance", json=DEAL).json()
    assert TRACE_FORM.fullmatch(answer["correlation_id"])
    assert {f"{span.context.trace_id:032x}" for span in exporter.get_finished_spans()} == {answer["correlation_id"]}


def test_a_batch_is_one_span_a_step_however_many_it_holds(traced: tuple[TestClient, InMemorySpanExporter]) -> None:
    client, exporter = traced
    asked = [DEAL, ESCALATING, DEAL, DEAL | {"deal_value": "ada@example.org"}]
    answers = client.post("/decisions/finance/batch", json={"decisions": asked}).json()["answers"]
    (batch,) = all_named(exporter, "batch")
    assert told(batch) == {"count": 4, "refused": 1}
    (memory,), (policy,), (append,) = (all_named(exporter, name) for name in ("memory", "policy", "append"))
    assert all(inside(step, batch) for step in (memory, policy, append))
    assert [told(step)["count"] for step in (memory, policy, append)] == [3, 3, 3]
    assert set(told(append)) == {"count", "failed", "spent_us"}
    assert {name: value for name, value in told(policy).items() if "verdict" in name} == {"verdict.approve": 2, "verdict.escalate": 1}
    commits = all_named(exporter, "commit")
    assert all(inside(commit, batch) for commit in commits)
    assert sum(told(commit)["count"] for commit in commits) == 3
    assert max(told(commit)["last_seq"] for commit in commits) == max(answer["receipt"]["seq"] for answer in answers[:3])
    assert memory.start_time is not None
    assert append.end_time is not None
    assert memory.start_time < append.end_time


@pytest.mark.parametrize("form", ["one", "list", "stream"])
def test_events_are_one_span_a_commit(traced: tuple[TestClient, InMemorySpanExporter], form: str) -> None:
    client, exporter = traced
    events = [{"type": "Planted", "payload": {"who": "ada@example.org"}}] * (1 if form == "one" else 600)
    if form == "stream":
        lines = b"\n".join(orjson.dumps(event) for event in events)
        answer = client.post("/events", content=lines, headers={"content-type": "application/x-ndjson"})
    else:
        answer = client.post("/events", json=events[0] if form == "one" else events)
    assert answer.status_code == 201
    commits = all_named(exporter, "commit")
    (within,) = all_named(exporter, {"one": "POST /events", "list": "batch", "stream": "stream"}[form])
    assert all(inside(commit, within) for commit in commits)
    assert sum(told(commit)["appended"] for commit in commits) == len(events)
    assert len(exporter.get_finished_spans()) < 20
    assert "ada@" not in "".join(span.to_json() for span in exporter.get_finished_spans())
    if form == "stream":
        assert told(within) == {"lines": 600, "accepted": 600, "refused": 0}


def test_an_outcome_and_an_answer_are_judged_and_appended(
    traced: tuple[TestClient, InMemorySpanExporter], installation: Installation
) -> None:
    client, exporter = traced
    decision = client.post("/decisions/finance", json=ESCALATING).json()
    exporter.clear()
    outcome = client.post(f"/outcomes/{decision['id']}", json={"metrics": {"won": True, "margin": 0.3}}).json()
    found = by_name(exporter)
    request = found["POST /outcomes/{decision_id}"]
    assert inside(found["judge"], request)
    assert inside(found["append"], request)
    assert told(found["judge"]) == {"node": "finance", "action": "approve_discount"}
    assert told(found["append"]) == {"seq": outcome["receipt"]["seq"]}
    exporter.clear()
    said = {"answer": "approve", "reason": "to ada@example.org", "digest": decision["hash"]}
    anna = {"authorization": f"Bearer {create_token(installation.database_url, 'anna', ['reviews:write'])}"}
    answer = client.post(f"/decisions/{decision['id']}/review", json=said, headers=anna).json()
    found = by_name(exporter)
    assert told(found["judge"]) == {"node": "finance", "action": "approve_discount", "answer": "approve"}
    assert told(found["append"]) == {"seq": answer["receipt"]["seq"]}
    assert inside(found["append"], found["POST /decisions/{decision_id}/review"])
    assert "ada@" not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_a_commit_that_requests_share_is_part_of_one_and_linked_to_the_others(
    traced: tuple[TestClient, InMemorySpanExporter],
) -> None:
    client, exporter = traced
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post("/events", json={"type": "Planted"}).status_code, range(64)))
    assert set(answers) == {201}
    requests = {span.context.span_id for span in all_named(exporter, "POST /events")}
    commits = all_named(exporter, "commit")
    waiting = [span_id for commit in commits for span_id in (parent_of(commit), *(link.context.span_id for link in commit.links))]
    assert sorted(waiting) == sorted(requests)


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def test_a_message_is_linked_to_the_request_that_left_it(
    traced: tuple[TestClient, InMemorySpanExporter], installation: Installation
) -> None:
    client, exporter = traced
    clock = SystemClock()
    connector = partial(connect, installation.database_url, API, autocommit=True)
    with connector() as connection:
        chain_id = chain_id_of(connection, "main")
    drain(connector, chain_id, lambda claimed: None, clock)
    exporter.clear()
    decision = client.post("/decisions/finance", json=ESCALATING).json()
    assert drain(connector, chain_id, lambda claimed: None, clock).delivered == 1
    (delivery,) = all_named(exporter, "deliver")
    assert told(delivery) == {"topic": "review.opened", "attempt": 1}
    (link,) = delivery.links
    assert f"{link.context.trace_id:032x}" == decision["correlation_id"]
    assert dict(link.attributes or {}) == {"precedent.correlation_id": decision["correlation_id"]}
    assert delivery.context.trace_id != link.context.trace_id


def test_a_caller_who_does_not_sample_is_followed(traced: tuple[TestClient, InMemorySpanExporter]) -> None:
    client, exporter = traced
    assert client.post("/decisions/finance", json=DEAL, headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}).status_code == 201
    assert exporter.get_finished_spans() == ()


def test_a_refusal_is_told_by_its_code_and_in_no_other_word(traced: tuple[TestClient, InMemorySpanExporter]) -> None:
    client, exporter = traced
    client.post("/decisions/finance", json=DEAL | {"deal_value": "ada@example.org"}, headers={"x-cid": "of:ada@example.org"})
    [request] = [span for name, span in by_name(exporter).items() if name.startswith("POST")]
    assert dict(request.attributes or {})["error.type"] == "FACTS_INVALID"
    assert "ada@" not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_without_an_address_nobody_listens(installation: Installation) -> None:
    with TestClient(create_app(installation.settings), headers={"authorization": f"Bearer {installation.token}"}) as client:
        assert client.post("/decisions/finance", json=DEAL).status_code == 201
        with spans.span("memory") as told:
            assert told is None


def test_spans_reach_a_collector_by_otlp(installation: Installation) -> None:
    with collecting() as collector:
        app = create_app(installation.settings, traces=provider_of(collector.address))
        with TestClient(app, headers={"authorization": f"Bearer {installation.token}"}) as client:
            client.post("/decisions/finance", json=DEAL)
        assert {"POST /decisions/{node}", "memory", "policy", "append", "commit"} <= collector.next_names()

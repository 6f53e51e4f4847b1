"""Traces: the caller's goes on, a decision's steps stand inside its request, no words of errors leave, and off means off."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
from in_process import DEAL
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from running_api import Installation, install
from starlette.testclient import TestClient

from api.app import create_app
from api.tracing import provider_of, provider_with
from precedent import spans

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
    assert dict(found["append"].attributes or {})["precedent.decision_id"] == answer["id"]
    assert dict(request.attributes or {})["precedent.correlation_id"] == answer["correlation_id"] == TRACE_ID


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


def test_spans_reach_a_collector_by_otlp(installation: Installation, tmp_path: Path) -> None:
    received: Queue[tuple[str, bytes]] = Queue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            provider = provider_of(f"http://127.0.0.1:{server.server_port}/v1/traces")
            with TestClient(
                create_app(installation.settings, traces=provider), headers={"authorization": f"Bearer {installation.token}"}
            ) as client:
                client.post("/decisions/finance", json=DEAL)
            path, body = received.get(timeout=20)
        finally:
            server.shutdown()
            thread.join()
    sent = ExportTraceServiceRequest.FromString(body)
    names = {span.name for resource in sent.resource_spans for scope in resource.scope_spans for span in scope.spans}
    assert path == "/v1/traces"
    assert {"POST /decisions/{node}", "memory", "policy", "append"} <= names

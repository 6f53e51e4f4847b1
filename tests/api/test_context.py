"""Correlation: one id on the answer, on the row and on every log line, wherever it came from; and what a log never holds."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest
from in_process import DEAL, Api
from running_api import ApiProcess, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("headers", "member", "expected"),
    [
        ({"x-cid": "deal-1"}, None, "deal-1"),
        ({"traceparent": TRACEPARENT}, None, TRACE),
        ({"x-cid": "deal-2", "traceparent": TRACEPARENT}, None, "deal-2"),
        ({}, "deal-3", "deal-3"),
        ({"x-cid": "deal-4"}, "deal-5", "deal-5"),
        ({"traceparent": "00-zz-01"}, None, None),
        ({}, None, None),
    ],
)
def test_the_correlation_id_is_the_callers_or_made(api: Api, headers: dict[str, str], member: str | None, expected: str | None) -> None:
    beside = {} if member is None else {"correlation_id": member}
    for path, body in (("/decisions/finance", {"facts": DEAL}), ("/events", {"type": "Traced"})):
        answer = api.client.post(path, json=body | beside, headers=headers)
        told = answer.json()["correlation_id"]
        assert told == answer.headers["x-cid"]
        assert told == (expected or told)
        assert len(told) == 32 or told == expected
        table = "decisions" if "facts" in body else "events"
        assert api.fetch(f"select correlation_id from precedent.{table} where id = %s", answer.json()["id"]) == [(told,)]


def test_two_requests_never_share_a_made_id(api: Api) -> None:
    ids = {api.client.get("/health").headers["x-cid"] for _ in range(20)}
    assert len(ids) == 20


def test_an_error_carries_the_correlation_id_too(client: httpx2.Client) -> None:
    assert client.post("/decisions/nowhere", json={}, headers={"x-cid": "lost"}).headers["x-cid"] == "lost"


def line_of(server: ApiProcess, correlation_id: str) -> list[dict[str, Any]]:
    return [line for line in server.log_lines() if line.get("correlation_id") == correlation_id]


def test_the_log_carries_each_requests_id_and_never_what_it_said(api_server: ApiProcess) -> None:
    secret = "meet behind the mill"
    facts = DEAL | {"customer_id": "C-planted-4711", "note": secret}
    with api_server.client() as client:
        assert client.get("/health", headers={"x-cid": "by-header"}).status_code == 200
        client.post("/events", json={"type": "T", "correlationId": "by-body", "subject": "C-planted-4711", "payload": {"note": secret}})
        assert client.post("/decisions/finance", json={"facts": facts}, headers={"x-cid": "decided"}).status_code == 201
        refused = {"facts": facts | {"deal_value": "x"}}
        assert client.post("/decisions/finance", json=refused, headers={"x-cid": "refused"}).status_code == 422
        with psycopg.connect(api_server.database_url) as connection:
            connection.execute("alter table precedent.subjects rename to elsewhere")
        broken = {"facts": facts | {"customer_id": "C-planted-4712"}, "correlation_id": "broken"}
        answer = client.post("/decisions/finance", json=broken)
    assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_REFUSED")
    assert "subjects" not in answer.text
    api_server.drain()  # a line is written after its answer is sent
    for name, status in (("by-header", 200), ("by-body", 201), ("decided", 201), ("refused", 422), ("broken", 503)):
        assert [line["status"] for line in line_of(api_server, name) if line["event"] == "request"] == [status], name
    (refusal,) = [line for line in line_of(api_server, "broken") if line["event"] == "refused"]
    assert "UndefinedTable" in refusal["error"], "the log says what the answer does not"
    text = api_server.log.read_text()
    for planted in ("C-planted", secret, api_server.token):
        assert planted not in text


def test_a_path_in_the_log_is_redacted(api_server: ApiProcess) -> None:
    with api_server.client() as client:
        client.get("/decisions/ann.example@example.org", headers={"x-cid": "ann.example@example.org"})
    api_server.drain()
    assert "[e-mail]" in api_server.log.read_text()
    assert "ann.example" not in api_server.log.read_text()


def test_a_caller_who_hangs_up_is_not_our_fault(api_server: ApiProcess) -> None:
    parts = urlsplit(api_server.url)
    head = f"POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api_server.token}\r\ncontent-type: application/json\r\n"
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as caller:
        caller.sendall(head.encode() + b"x-cid: hung-up\r\ncontent-length: 100\r\n\r\n{")
    wait_until(lambda: bool(line_of(api_server, "hung-up")), 10, "the log line of the request")
    (line,) = line_of(api_server, "hung-up")
    assert (line["event"], line["status"]) == ("request", 400)


def test_the_log_is_one_object_a_line(api_server: ApiProcess) -> None:
    with api_server.client() as client:
        client.get("/nowhere")
    api_server.drain()
    assert all({"event", "level", "timestamp"} <= set(line) for line in api_server.log_lines())

"""Whatever is sent, in facts, events, bytes, headers and queries: an answer or a problem, and never our fault."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import DEAL, Api

from api.models import ProblemAnswer

FINANCE = "/decisions/finance"
ASKED = json.dumps({"action": "approve_discount", "facts": DEAL}).encode()
JSON = {"content-type": "application/json"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary().map(bytes.hex),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from([*DEAL, "customer_id", "note", "action", "facts", "as_of", "event_id", "correlation_id", "policy_version"])
ORDERLY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def require_answered(answer: httpx2.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        ProblemAnswer.model_validate_json(answer.content)


@ORDERLY
@given(facts=st.dictionaries(names | st.text(max_size=8), anything, max_size=5), is_flat=st.booleans())
def test_whatever_the_facts_are_it_is_never_our_fault(api: Api, facts: dict[str, Any], is_flat: bool) -> None:
    body = json.dumps(DEAL | facts if is_flat else {"facts": DEAL | facts})
    require_answered(api.client.post(FINANCE, content=body.encode("utf-8", "surrogatepass"), headers=JSON))


@ORDERLY
@given(
    members=st.dictionaries(st.sampled_from(["type", "actor", "ts", "as_of", "source", "subject", "payload", "correlationId"]), anything)
)
def test_whatever_an_event_holds_it_is_never_our_fault(api: Api, members: dict[str, Any]) -> None:
    body = json.dumps({"type": "Anything"} | members)
    require_answered(api.client.post("/events", content=body.encode("utf-8", "surrogatepass"), headers=JSON))
    require_answered(api.client.get("/events", params={"limit": 1}))


@ORDERLY
@given(body=st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_the_bytes_are_it_is_never_our_fault(api: Api, body: bytes) -> None:
    for path in (FINANCE, "/events", "/decisions/finance/batch"):
        require_answered(api.client.post(path, content=body, headers=JSON))


@ORDERLY
@given(
    name=st.sampled_from(
        ["x-cid", "traceparent", "idempotency-key", "authorization", "content-type", "accept", "content-length", "x-internal-token"]
    ),
    value=st.binary(max_size=80),
)
def test_whatever_a_header_holds_it_is_never_our_fault(api: Api, name: str, value: bytes) -> None:
    headers = [(b"content-type", b"application/json")] * (name != "content-type") + [(name.encode(), value)]
    require_answered(api.client.post(FINANCE, content=iter([ASKED]), headers=headers))
    require_answered(api.client.get("/metrics", headers=[(name.encode(), value)]))
    require_answered(api.client.post("/jobs/aggregator/run?wait=nan", headers=[(name.encode(), value)]))


attributes = st.dictionaries(
    st.sampled_from(
        ["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "datasubject", "data_base64"]
    )
    | st.text(max_size=8),
    anything,
    max_size=6,
)


@ORDERLY
@given(attributes=attributes, data=anything, media_type=st.sampled_from(["cloudevents+json", "cloudevents-batch+json", "x-ndjson"]))
def test_whatever_a_cloudevent_holds_it_is_never_our_fault(api: Api, attributes: dict[str, Any], data: Any, media_type: str) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "T", "data": data} | attributes
    body = json.dumps([event] if "batch" in media_type else event).encode("utf-8", "surrogatepass")
    require_answered(api.client.post("/events", content=body, headers={"content-type": f"application/{media_type}"}))


@ORDERLY
@given(
    headers=st.lists(st.tuples(st.sampled_from([b"id", b"source", b"type", b"time", b"x", b"datasubject"]), st.binary(max_size=40))),
    media_type=st.sampled_from([b"application/json", b"text/plain", b"application/octet-stream"]) | st.binary(max_size=20),
    body=st.binary(max_size=40),
)
def test_whatever_a_binary_cloudevent_holds_it_is_never_our_fault(
    api: Api, headers: list[tuple[bytes, bytes]], media_type: bytes, body: bytes
) -> None:
    usual = [(b"ce-specversion", b"1.0"), (b"content-type", media_type)]
    sent = [*usual, *((b"ce-" + name, value) for name, value in headers)]
    require_answered(api.client.post("/events", content=iter([body]), headers=sent))


@ORDERLY
@given(
    path=st.sampled_from(["/events", "/decisions", "/reviews", "/policies", "/proposals", "/explanations"]),
    query=st.dictionaries(st.sampled_from(["after", "limit", "since", "type", "node", "verdict", "status"]), st.text(max_size=30)),
)
def test_whatever_a_query_holds_it_is_never_our_fault(api: Api, path: str, query: dict[str, str]) -> None:
    sent = {name: value.encode("utf-8", "surrogatepass") for name, value in query.items()}
    require_answered(api.client.get(f"{path}?{urlencode(sent)}"))


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00-23:59", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z"]
)
def test_the_ends_of_the_calendar_are_no_fault_of_ours(api: Api, since: str) -> None:
    require_answered(api.client.get("/events", params={"since": since}))

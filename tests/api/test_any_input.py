"""Whatever is sent, in facts, events, answers, switches, policies, bytes, headers, queries: an answer or a problem, never our fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import DEAL, Api

from api.models import ProblemAnswer
from precedent.settings import project_root

FINANCE = "/decisions/finance"
ASKED = json.dumps({"action": "approve_discount", "facts": DEAL}).encode()
JSON = {"content-type": "application/json"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary().map(bytes.hex),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from([*DEAL, "customer_id", "note", "action", "facts", "as_of", "event_id", "correlation_id", "policy_version"])
FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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
    for path in (FINANCE, "/events", "/decisions/finance/batch", "/outcomes", "/access/v1/evaluations", "/policies/validate"):
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


@st.composite
def of(draw: st.DrawFn, /, **usual: st.SearchStrategy[Any]) -> dict[str, Any]:
    """A body whose members are mostly what they should be, so that what lies behind the first look at it is met too; up to two are
    anything, or have no meaning here, and one may be left out."""
    body = {name: draw(one) for name, one in usual.items()}
    known = st.sampled_from(sorted(usual))
    body |= {name: draw(anything) for name in draw(st.lists(known | st.text(max_size=8), max_size=2))}
    left_out = draw(st.none() | known)
    return {name: value for name, value in body.items() if name != left_out}


reasons = st.text(min_size=1, max_size=20)
instants = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
metrics = of(won=st.booleans(), margin=st.floats(0, 1), time_to_close_days=st.integers(0, 99))
entities = of(type=reasons, id=st.just("D-1"), properties=st.dictionaries(names, anything, max_size=3))
actions = of(name=st.just("finance/approve_discount"), properties=st.dictionaries(names, anything, max_size=3))
DECISION, DIGEST = "{decision}", "{digest}"  # of one that waits for a person
ACCESS = {"subject": entities, "action": actions, "resource": entities, "context": st.just(DEAL)}
OUTCOME = {"metrics": metrics, "observed_at": instants, "as_of": instants, "correlation_id": st.just("c-1")}
REVIEW = {"answer": st.sampled_from(["approve", "deny", "reverse", "confirm"]), "reason": reasons, "digest": st.just(DIGEST)}
FLAG = {"enabled": st.booleans(), "max_level": st.integers(0, 3), "reason": reasons}
CHANGES: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("POST", f"/outcomes/{DECISION}"): of(**OUTCOME),
    ("POST", "/outcomes"): of(outcomes=st.lists(of(decision_id=st.just(DECISION), **OUTCOME) | anything, max_size=3)),
    ("POST", f"/decisions/{DECISION}/review"): of(**REVIEW),
    ("PUT", "/flags/finance/approve_discount"): of(**FLAG),
    ("PUT", "/kill-switch"): of(halted=st.booleans(), reason=reasons),
    ("PUT", "/change-control/hr"): of(second_person=st.booleans(), reason=reasons),
    ("POST", "/access/v1/evaluation"): of(**ACCESS),
    ("POST", "/access/v1/evaluations"): of(
        **ACCESS,
        evaluations=st.lists(of(**ACCESS) | anything, max_size=3),
        options=of(evaluations_semantic=st.sampled_from(["execute_all", "deny_on_first_deny", "permit_on_first_permit"])),
    ),
}


@pytest.mark.parametrize(("method", "path"), CHANGES, ids=[" ".join(one) for one in CHANGES])
@FEW
@given(data=st.data())
def test_whatever_is_said_of_what_was_decided_or_shall_be_it_is_never_our_fault(
    api: Api, method: str, path: str, data: st.DataObject
) -> None:
    asker = api.token("decisions:write")  # who asks for a decision may not answer its review
    decision = api.decide(facts={"requested_discount_pct": 0.18}, headers=asker)
    body = json.dumps(data.draw(CHANGES[method, path])).replace(DECISION, decision["id"]).replace(DIGEST, decision["hash"])
    path = path.replace(DECISION, decision["id"])
    answer = api.client.request(method, path, content=body.encode("utf-8", "surrogatepass"), headers=JSON)
    require_answered(answer)


POLICY = yaml.safe_load((project_root() / "policies/finance/finance-constitution-1.1.0.yaml").read_text())


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a document."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, name)
        yield from places(inner, (*at, name))


@FEW
@given(place=st.sampled_from(list(places(POLICY))), value=anything, path=st.sampled_from(["finance/publish", "validate"]))
def test_whatever_stands_in_a_policy_it_is_never_our_fault(api: Api, place: tuple[Any, ...], value: Any, path: str) -> None:
    document = deepcopy(POLICY)
    holder = document
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    require_answered(api.client.post(f"/policies/{path}", content=json.dumps(document).encode("utf-8", "surrogatepass"), headers=JSON))


@FEW
@given(body=st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40))
def test_whatever_claims_to_be_a_policy_it_is_never_our_fault(api: Api, body: bytes) -> None:
    require_answered(api.client.post("/policies/validate", content=body, headers={"content-type": "application/yaml"}))


@ORDERLY
@given(
    path=st.sampled_from(["/events", "/decisions", "/reviews", "/policies", "/proposals", "/replays/7", "/ledger/head"]),
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

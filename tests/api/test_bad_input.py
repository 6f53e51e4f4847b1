"""Bad input: the right refusal, in words that lead to the fault, and nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest
from in_process import DEAL, Api

from api.models import ProblemAnswer

FINANCE = "/decisions/finance"
FLAG = "/flags/finance/approve_discount"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def decision_id(api: Api) -> str:
    return str(api.decide()["id"])


def asked(**facts: Any) -> bytes:
    """The usual question with some facts changed; None leaves one out."""
    changed = {name: value for name, value in (DEAL | facts).items() if value is not None}
    return orjson.dumps({"action": "approve_discount", "facts": changed})


def written(fact: str, text: str) -> bytes:
    """The usual question with one fact as this very text."""
    return asked(**{fact: "@"}).replace(b'"@"', text.encode())


def beside(**members: Any) -> bytes:
    return orjson.dumps({"action": "approve_discount", "facts": DEAL} | members)


def require_refused(api: Api, answer: httpx2.Response, status: int, code: str, pointer: str | None, before: int) -> None:
    """The answer is this problem, in its form, and the ledger has not grown."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = ProblemAnswer.model_validate_json(answer.content)
    assert (problem.code, problem.status, problem.type) == (code, status, f"/problems/{code}")
    assert problem.instance == answer.request.url.path
    if pointer is not None:
        assert pointer in [fault.pointer for fault in problem.errors], answer.text
    assert answer.headers["x-cid"]
    assert api.ledger_size() == before


FACTS = [
    ("unknown fact", asked(requested_discount=0.08), "UNKNOWN_FACT", "requested_discount"),
    ("fact with a slash and a tilde", asked(**{"a/b~c": 1}), "UNKNOWN_FACT", "a~1b~0c"),
    ("missing fact", asked(customer_tier=None), "MISSING_FACT", "customer_tier"),
    ("text for a number", asked(deal_value="much"), "WRONG_TYPE", "deal_value"),
    ("bool for a number", asked(deal_value=True), "WRONG_TYPE", "deal_value"),
    ("list for a number", asked(deal_value=[12000]), "WRONG_TYPE", "deal_value"),
    ("object for a number", asked(deal_value={"amount": 1}), "WRONG_TYPE", "deal_value"),
    ("null for a number", written("deal_value", "null"), "WRONG_TYPE", "deal_value"),
    ("number for a text", asked(customer_id=7), "WRONG_TYPE", "customer_id"),
    ("unknown value", asked(customer_tier="D"), "NOT_ALLOWED", "customer_tier"),
    ("below the range", asked(deal_value=-0.01), "OUT_OF_RANGE", "deal_value"),
    ("above the range", asked(requested_discount_pct=1.0001), "OUT_OF_RANGE", "requested_discount_pct"),
    ("beyond every integer", written("deal_value", "9" * 300), "OUT_OF_RANGE", "deal_value"),
    ("off the grid", asked(requested_discount_pct=0.08001), "NOT_ON_GRID", "requested_discount_pct"),
    ("half a cent", asked(deal_value=0.005), "NOT_ON_GRID", "deal_value"),
    ("NaN as a text", asked(deal_value="NaN"), "WRONG_TYPE", "deal_value"),
    ("empty pseudonym", asked(customer_id=""), "OUT_OF_RANGE", "customer_id"),
    ("long pseudonym", asked(customer_id="c" * 257), "OUT_OF_RANGE", "customer_id"),
    ("long note", asked(note="n" * 10_001), "OUT_OF_RANGE", "note"),
    ("text for an integer", asked(requested_discount_pct=" 0.08"), "WRONG_TYPE", "requested_discount_pct"),
]


@pytest.mark.parametrize(("body", "code", "fact"), [one[1:] for one in FACTS], ids=[one[0] for one in FACTS])
def test_a_fact_that_breaks_the_contract_is_named(api: Api, body: bytes, code: str, fact: str) -> None:
    before = api.ledger_size()
    answer = api.client.post(FINANCE, content=body, headers=JSON)
    require_refused(api, answer, 422, "FACTS_INVALID", f"/facts/{fact}", before)
    assert (code, f"/facts/{fact}") in [(fault["code"], fault["pointer"]) for fault in answer.json()["errors"]]


def test_a_flat_fact_is_named_without_a_prefix(api: Api) -> None:
    before = api.ledger_size()
    require_refused(api, api.client.post(FINANCE, json=DEAL | {"deal_value": "x"}), 422, "FACTS_INVALID", "/deal_value", before)


def test_an_error_in_the_name_of_a_fact_suggests_the_nearest(api: Api) -> None:
    answer = api.client.post(FINANCE, content=asked(requested_discount_pc=0.08), headers=JSON)
    assert "requested_discount_pct" in answer.json()["errors"][0]["message"]


def deep(levels: int) -> bytes:
    return asked(note="@").replace(b'"@"', b"[" * levels + b"]" * levels)


BODIES = [
    ("NaN", written("deal_value", "NaN"), 400, "NOT_JSON", None),
    ("Infinity", written("deal_value", "Infinity"), 400, "NOT_JSON", None),
    ("-Infinity", written("deal_value", "-Infinity"), 400, "NOT_JSON", None),
    ("1e999999", written("deal_value", "1e999999"), 400, "NOT_JSON", None),
    ("1e-999999", written("deal_value", "1e-999999"), 400, "NOT_JSON", None),
    ("1e9999999999999999999999", written("deal_value", "1e9999999999999999999999"), 400, "NOT_JSON", None),
    ("an integer of 5,000 digits", written("deal_value", "9" * 5000), 400, "NOT_JSON", None),
    ("an octal number", written("deal_value", "0123"), 400, "NOT_JSON", None),
    ("a key twice", asked().replace(b'"facts":{', b'"facts":{"deal_value":1,'), 400, "NOT_JSON", None),
    ("a key twice outside", b'{"facts":{},' + beside()[1:], 400, "NOT_JSON", None),
    ("33 levels", deep(31), 400, "NOT_JSON", None),
    ("32 levels", deep(30), 422, "FACTS_INVALID", "/facts/note"),
    ("30,000 levels", deep(30_000), 400, "NOT_JSON", None),
    ("broken", asked()[:-1], 400, "NOT_JSON", None),
    ("trailing text", asked() + b"x", 400, "NOT_JSON", None),
    ("a trailing comma", asked()[:-1] + b",}", 400, "NOT_JSON", None),
    ("empty", b"", 400, "NOT_JSON", None),
    ("a byte order mark", b"\xef\xbb\xbf" + asked(), 400, "NOT_JSON", None),
    ("not UTF-8", asked(note="@").replace(b"@", b"\xff"), 400, "NOT_JSON", None),
    ("UTF-16", asked().decode().encode("utf-16"), 400, "NOT_JSON", None),
    ("an overlong form", asked(note="@").replace(b"@", b"\xc0\x80"), 400, "NOT_JSON", None),
    ("NUL, escaped", written("note", '"a\\u0000b"'), 400, "NOT_JSON", None),
    ("NUL, raw", written("note", '"a\x00b"'), 400, "NOT_JSON", None),
    ("half a surrogate pair", written("note", '"\\ud800"'), 400, "NOT_JSON", None),
    ("half a surrogate pair in a name", asked(note="@").replace(b'"note"', b'"\\udfff"'), 400, "NOT_JSON", None),
    ("null", b"null", 422, "FIELD_INVALID", ""),
    ("an array", b"[]", 422, "FIELD_INVALID", ""),
    ("a number", b"7", 422, "FIELD_INVALID", ""),
    ("null facts", beside(facts=None), 422, "FIELD_INVALID", "/facts"),
    ("facts as a list", beside(facts=[]), 422, "FIELD_INVALID", "/facts"),
    ("an unknown member", beside(level=3), 422, "FIELD_INVALID", "/level"),
    ("a verdict", beside(verdict="approve"), 422, "FIELD_INVALID", "/verdict"),
    ("an action that is no text", beside(action=7), 422, "FIELD_INVALID", "/action"),
    ("an unknown action", beside(action="approve_marriage"), 404, "ACTION_NOT_FOUND", None),
    ("a wrong event id", beside(event_id="7"), 422, "FIELD_INVALID", "/event_id"),
    ("an event id with an underscore", beside(event_id="1_345678-1234-1234-1234-123456789012"), 422, "FIELD_INVALID", "/event_id"),
    ("an event id that is a number", beside(event_id=7), 422, "FIELD_INVALID", "/event_id"),
    ("an unknown pin", beside(policy_version="finance-constitution@9.0.0"), 404, "POLICY_NOT_FOUND", None),
    ("a pin of another node", beside(policy_version="credit-constitution@1.0.0"), 404, "POLICY_NOT_FOUND", None),
    ("as_of to come", beside(as_of="2099-01-01T00:00:00Z"), 422, "FIELD_INVALID", "/as_of"),
    ("as_of without a zone", beside(as_of="2026-01-01T00:00:00"), 422, "FIELD_INVALID", "/as_of"),
    ("as_of with a digit too many", beside(as_of="2026-01-01T00:00:00.0000001Z"), 422, "FIELD_INVALID", "/as_of"),
    ("as_of by its week", beside(as_of="2026-W01-1T00:00:00Z"), 422, "FIELD_INVALID", "/as_of"),
    ("as_of before 1970", beside(as_of="1969-12-31T23:59:59Z"), 422, "FIELD_INVALID", "/as_of"),
    ("as_of of no day", beside(as_of="2026-02-30T00:00:00Z"), 422, "FIELD_INVALID", "/as_of"),
    ("as_of as a number", beside(as_of=1_700_000_000), 422, "FIELD_INVALID", "/as_of"),
    ("as_of in no calendar", beside(as_of="9999-12-31T23:59:59-23:59"), 422, "FIELD_INVALID", "/as_of"),
    ("a correlation id with a space", beside(correlation_id="two words"), 422, "FIELD_INVALID", "/correlation_id"),
    ("a long correlation id", beside(correlation_id="c" * 129), 422, "FIELD_INVALID", "/correlation_id"),
    ("a correlation id that is a number", beside(correlation_id=7), 422, "FIELD_INVALID", "/correlation_id"),
    ("1 MB", asked(note="n" * 1_000_000), 413, "BODY_TOO_LARGE", None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "code", "pointer"), [one[1:] for one in BODIES], ids=[one[0] for one in BODIES])
def test_a_bad_question_is_refused_and_leaves_nothing(api: Api, body: bytes, status: int, code: str, pointer: str | None) -> None:
    before = api.ledger_size()
    require_refused(api, api.client.post(FINANCE, content=body, headers=JSON), status, code, pointer, before)


def in_pieces(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), 10_000):
        yield body[at : at + 10_000]


@pytest.mark.parametrize("path", [FINANCE, "/events"])
def test_a_body_without_a_declared_length_stops_at_the_limit(api: Api, path: str) -> None:
    before = api.ledger_size()
    answer = api.client.post(path, content=in_pieces(b'{"type": "' + b"n" * 5_000_000 + b'"}'), headers=JSON)
    assert "content-length" not in answer.request.headers
    require_refused(api, answer, 413, "BODY_TOO_LARGE", None, before)


@pytest.mark.parametrize("length", ["²", "-1", "1e3", "9" * 30])
def test_a_declared_length_that_is_no_length_is_refused(api: Api, length: str) -> None:
    before = api.ledger_size()
    headers = [(b"content-type", b"application/json"), (b"content-length", length.encode("latin-1"))]
    require_refused(api, api.client.post(FINANCE, content=in_pieces(asked()), headers=headers), 413, "BODY_TOO_LARGE", None, before)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", "", "application/xml", None]
)
@pytest.mark.parametrize("path", [FINANCE, "/events", f"/outcomes/{uuid4()}", "/decisions/finance/batch", "/outcomes"])
def test_a_body_that_does_not_say_it_is_json_is_refused(api: Api, path: str, media_type: str | None) -> None:
    before = api.ledger_size()
    headers = {} if media_type is None else {"content-type": media_type}
    require_refused(api, api.client.post(path, content=asked(), headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE", None, before)


OTHERS = [
    ("unknown node", "POST", "/decisions/marketing", b"{}", 404, "NODE_NOT_FOUND", None),
    ("unknown node with a NUL", "POST", "/decisions/fin%00ance", b"{}", 422, "FIELD_INVALID", ""),
    ("unknown node, not UTF-8", "POST", "/decisions/%ff%fe", b"{}", 404, "NODE_NOT_FOUND", None),
    ("unknown route", "POST", "/decide", b"{}", 404, "NOT_FOUND", None),
    ("another method", "DELETE", FINANCE, b"", 405, "METHOD_NOT_ALLOWED", None),
    ("batch without decisions", "POST", f"{FINANCE}/batch", b"{}", 422, "FIELD_INVALID", "/decisions"),
    ("empty batch", "POST", f"{FINANCE}/batch", b'{"decisions": []}', 422, "FIELD_INVALID", "/decisions"),
    ("1,001 in a batch", "POST", f"{FINANCE}/batch", orjson.dumps({"decisions": [DEAL] * 1001}), 422, "FIELD_INVALID", "/decisions"),
    ("batch of 4 MiB and more", "POST", f"{FINANCE}/batch", b" " * (4 * 1024 * 1024 + 1), 413, "BODY_TOO_LARGE", None),
    ("event without a type", "POST", "/events", b"{}", 422, "FIELD_INVALID", "/type"),
    ("event with an empty type", "POST", "/events", b'{"type": ""}', 422, "FIELD_INVALID", "/type"),
    ("event with a long type", "POST", "/events", orjson.dumps({"type": "t" * 257}), 422, "FIELD_INVALID", "/type"),
    ("event with an unknown member", "POST", "/events", b'{"type": "T", "sequence": 7}', 422, "FIELD_INVALID", "/sequence"),
    ("event with a wrong instant", "POST", "/events", b'{"type": "T", "ts": "yesterday"}', 422, "FIELD_INVALID", "/ts"),
    ("event in no calendar", "POST", "/events", b'{"type": "T", "ts": "9999-12-31T23:59:59-23:59"}', 422, "FIELD_INVALID", "/ts"),
    ("event at an hour alone", "POST", "/events", b'{"type": "T", "ts": "20260101T00Z"}', 422, "FIELD_INVALID", "/ts"),
    ("event to come", "POST", "/events", b'{"type": "T", "as_of": "2099-01-01T00:00:00Z"}', 422, "FIELD_INVALID", "/as_of"),
    ("event of 1 MB", "POST", "/events", orjson.dumps({"type": "T", "payload": "n" * 1_000_000}), 413, "BODY_TOO_LARGE", None),
    ("event with a bad correlation id", "POST", "/events", b'{"type": "T", "correlationId": ""}', 422, "FIELD_INVALID", "/correlation_id"),
    ("events without any", "POST", "/events", b"[]", 422, "FIELD_INVALID", ""),
    ("events, 1,001", "POST", "/events", orjson.dumps([{"type": "T"}] * 1001), 422, "FIELD_INVALID", ""),
    ("outcome of no decision", "POST", f"/outcomes/{uuid4()}", b'{"metrics": {}}', 404, "DECISION_NOT_FOUND", None),
    ("outcome of a wrong id", "POST", "/outcomes/7", b'{"metrics": {}}', 422, "FIELD_INVALID", "/decision_id"),
    ("outcome of an id with a NUL", "POST", "/outcomes/%00", b'{"metrics": {}}', 422, "FIELD_INVALID", ""),
    ("outcome of 1 MB", "POST", f"/outcomes/{uuid4()}", b" " * 1_000_000, 413, "BODY_TOO_LARGE", None),
    ("decision of a wrong id", "GET", "/decisions/7", b"", 422, "FIELD_INVALID", "/decision_id"),
    ("no such decision", "GET", f"/decisions/{uuid4()}", b"", 404, "DECISION_NOT_FOUND", None),
    ("a negative limit", "GET", "/events?limit=-1", b"", 422, "FIELD_INVALID", "/query/limit"),
    ("a limit beyond 100", "GET", "/decisions?limit=101", b"", 422, "FIELD_INVALID", "/query/limit"),
    ("a limit that is no number", "GET", "/events?limit=all", b"", 422, "FIELD_INVALID", "/query/limit"),
    ("a wrong cursor", "GET", "/events?after=x", b"", 422, "FIELD_INVALID", "/query/after"),
    ("a cursor beyond every place", "GET", "/events?after=9223372036854775808", b"", 422, "FIELD_INVALID", "/query/after"),
    ("a cursor below every place", "GET", "/decisions?after=-1", b"", 422, "FIELD_INVALID", "/query/after"),
    ("a wrong verdict", "GET", "/decisions?verdict=maybe", b"", 422, "FIELD_INVALID", "/query/verdict"),
    ("a wrong since", "GET", "/events?since=yesterday", b"", 422, "FIELD_INVALID", "/query/since"),
    ("a limit twice", "GET", "/events?limit=1&limit=2", b"", 422, "FIELD_INVALID", "/query/limit"),
    ("a NUL in a query", "GET", "/events?type=%00", b"", 422, "FIELD_INVALID", ""),
    ("a NUL in a reference", "GET", "/policies/a%00b", b"", 422, "FIELD_INVALID", ""),
    ("no such policy", "GET", "/policies/finance-constitution@9.9.9", b"", 404, "POLICY_NOT_FOUND", None),
    ("nothing of that name", "POST", "/policies/nothing@1.0.0/activate", b"", 404, "POLICY_NOT_FOUND", None),
    ("reviews of no state", "GET", "/reviews?status=lost", b"", 422, "FIELD_INVALID", "/query/status"),
    ("reviews after nothing", "GET", "/reviews?after=x", b"", 422, "FIELD_INVALID", "/after"),
    ("a flag for everything", "PUT", "/flags/*/*", b'{"enabled": true, "reason": "r"}', 422, "FIELD_INVALID", "/node"),
    ("a flag of no name", "PUT", "/flags/finance/Approve!", b'{"enabled": true, "reason": "r"}', 422, "FIELD_INVALID", "/action"),
    ("a flag without a reason", "PUT", FLAG, b'{"enabled": true}', 422, "FIELD_INVALID", "/reason"),
    ("a flag with a blank reason", "PUT", FLAG, b'{"enabled": true, "reason": " "}', 422, "FIELD_INVALID", "/reason"),
    ("a flag that is neither", "PUT", FLAG, b'{"enabled": 1, "reason": "r"}', 422, "FIELD_INVALID", "/enabled"),
    ("a grant beyond AL3", "PUT", FLAG, b'{"enabled": true, "max_level": 4, "reason": "r"}', 422, "FIELD_INVALID", "/max_level"),
    ("a grant of true", "PUT", FLAG, b'{"enabled": true, "max_level": true, "reason": "r"}', 422, "FIELD_INVALID", "/max_level"),
    ("a switch that is neither", "PUT", "/kill-switch", b'{"halted": "yes", "reason": "r"}', 422, "FIELD_INVALID", "/halted"),
    ("a switch with more", "PUT", "/kill-switch", b'{"halted": false, "until": 1, "reason": "r"}', 422, "FIELD_INVALID", "/until"),
    ("a policy that is none", "POST", "/policies/validate", b"{}", 422, "POLICY_INVALID", None),
    ("a policy, 5 MB", "POST", "/policies/validate", b" " * 5_000_000, 413, "BODY_TOO_LARGE", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "pointer"), [one[1:] for one in OTHERS], ids=[one[0] for one in OTHERS]
)
def test_a_bad_request_is_refused_and_leaves_nothing(
    api: Api, method: str, path: str, body: bytes, status: int, code: str, pointer: str | None
) -> None:
    before = api.ledger_size()
    require_refused(api, api.client.request(method, path, content=body, headers=JSON), status, code, pointer, before)


METRICS: list[tuple[str, Any, str, str]] = [
    ("unknown", {"won": True, "margin": 0.2, "profit": 7}, "UNKNOWN_METRIC", "/metrics/profit"),
    ("missing", {"won": True}, "MISSING_METRIC", "/metrics/margin"),
    ("null", {"won": True, "margin": None}, "WRONG_TYPE", "/metrics/margin"),
    ("number for a bool", {"won": 1, "margin": 0.2}, "WRONG_TYPE", "/metrics/won"),
    ("fraction for an integer", {"won": True, "margin": 0.2, "time_to_close_days": 2.5}, "NOT_ON_GRID", "/metrics/time_to_close_days"),
]


@pytest.mark.parametrize(("metrics", "code", "pointer"), [one[1:] for one in METRICS], ids=[one[0] for one in METRICS])
def test_a_metric_that_breaks_the_contract_is_named(api: Api, decision_id: str, metrics: Any, code: str, pointer: str) -> None:
    before = api.ledger_size()
    answer = api.client.post(f"/outcomes/{decision_id}", json={"metrics": metrics})
    require_refused(api, answer, 422, "FACTS_INVALID", pointer, before)
    assert code in [fault["code"] for fault in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({}, "/metrics"),
        ({"metrics": []}, "/metrics"),
        ({"metrics": {"won": True, "margin": 0.2}, "reward": 1}, "/reward"),
        ({"metrics": {"won": True, "margin": 0.2}, "observed_at": "2099-01-01T00:00:00Z"}, "/observed_at"),
        ({"metrics": {"won": True, "margin": 0.2}, "as_of": "2099-01-01T00:00:00Z"}, "/as_of"),
    ],
)
def test_a_bad_member_of_an_outcome_is_named(api: Api, decision_id: str, members: dict[str, Any], pointer: str) -> None:
    before = api.ledger_size()
    require_refused(api, api.client.post(f"/outcomes/{decision_id}", json=members), 422, "FIELD_INVALID", pointer, before)


HEADERS = [
    ("idempotency-key", "k" * 256),
    ("idempotency-key", "k" * 100_000),
    ("idempotency-key", ""),
    ("idempotency-key", "schlüssel"),
    ("idempotency-key", "a\tb"),
    ("x-cid", "two words"),
    ("x-cid", "c" * 129),
    ("x-cid", ""),
    ("x-cid", "grüße"),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_a_bad_header_is_named(api: Api, name: str, value: str) -> None:
    before = api.ledger_size()
    headers = [(b"content-type", b"application/json"), (name.encode(), value.encode("latin-1"))]
    require_refused(api, api.client.post(FINANCE, content=asked(), headers=headers), 422, "FIELD_INVALID", f"/header/{name}", before)


def test_a_payload_that_the_database_could_not_hold_is_refused(api: Api) -> None:
    before = api.ledger_size()
    body = b'{"type": "T", "payload": 1.' + b"1" * 20_000 + b"}"
    answer = api.client.post("/events", content=body, headers=JSON)
    require_refused(api, answer, 400, "NOT_JSON", None, before)


def test_policy_problems_have_line_and_column(api: Api) -> None:
    before = api.ledger_size()
    text = "policy: p\nversion: 1.0.0\nnode: n\nowner: o\ndescription: d\nactions:\n  a:\n    facts: {x: {type: intt}}\n"
    answer = api.client.post("/policies/validate", content=text, headers={"content-type": "application/yaml"})
    require_refused(api, answer, 422, "POLICY_INVALID", None, before)
    assert all({"code", "message", "line", "column"} <= fault.keys() for fault in answer.json()["errors"])


def test_a_policy_in_a_broken_body_is_refused(api: Api) -> None:
    before = api.ledger_size()
    for body in (b"\xff", b"a: [", b"policy: p\npolicy: q\n", b"\x00", b"&a [*a]"):
        answer = api.client.post("/policies/validate", content=body, headers={"content-type": "application/yaml"})
        assert answer.status_code in {400, 422}, answer.text
        assert api.ledger_size() == before

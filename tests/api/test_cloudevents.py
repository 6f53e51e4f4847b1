"""CloudEvents 1.0, as their own package sends them: each form is read, each event is recorded once, each fault is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from in_process import Api
from running_api import install, serve

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
REPLAYED = "idempotent-replayed"
FORMS: dict[str, Callable[[CloudEvent, JSONFormat], HTTPMessage]] = {"structured": to_structured, "binary": to_binary}

each_form = pytest.mark.parametrize("form", FORMS)


def event_of(data: Any = None, **attributes: Any) -> CloudEvent:
    usual = {"type": "com.example.won", "source": "/sales", "id": str(uuid4()), "datacontenttype": "application/json"}
    given = {name: value for name, value in (usual | attributes).items() if value is not None}
    return CloudEvent(attributes=given, data={"deal": 4711} if data is None else data)


def send(client: httpx2.Client, form: str, event: CloudEvent, **headers: str) -> httpx2.Response:
    message = FORMS[form](event, JSONFormat())
    return client.post("/events", content=message.body, headers=message.headers | headers)


def send_json(api: Api, event: Any, media_type: str = STRUCTURED, **headers: str) -> httpx2.Response:
    return api.client.post("/events", content=orjson.dumps(event), headers={"content-type": media_type} | headers)


def plain(**attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(uuid4()), "source": "/sales", "type": "T"} | attributes


@each_form
def test_an_event_is_recorded_with_all_that_it_says(api: Api, form: str) -> None:
    at = datetime(2026, 11, 22, 19, 34, 12, 123456, UTC)
    event = event_of({"deal": 4711, "név": ["ő", None]}, time=at, subject="deals/4711", partitionkey="a b%\u00e9", actor="desk")
    answer = send(api.client, form, event)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["type"], told["source"], told["actor"], told["ts"]) == ("com.example.won", "/sales", "desk", "2026-11-22T19:34:12.123456Z")
    assert told["payload"] == {"deal": 4711, "név": ["ő", None]}
    assert (told["subject_id"], told["imported"]) == (None, False)
    assert told["cloudevent"].items() >= {"specversion": "1.0", "id": event.get_id(), "subject": "deals/4711"}.items()
    assert told["cloudevent"]["partitionkey"] == "a b%\u00e9"
    listed = api.client.get("/events", params={"type": "com.example.won", "limit": 1}).json()["items"][0]
    assert {name: listed[name] for name in ("id", "payload", "cloudevent")} == {
        name: told[name] for name in ("id", "payload", "cloudevent")
    }


@each_form
@pytest.mark.parametrize("other_form", FORMS)
def test_an_event_sent_again_in_any_form_by_anybody_is_recorded_once(api: Api, form: str, other_form: str) -> None:
    event = event_of({"b": 1.5, "a": [True, 10**30]}, time=datetime(2026, 1, 2, tzinfo=UTC), comexampleflag="true")
    first = send(api.client, form, event)
    before = api.ledger_size()
    again = send(api.client, other_form, event, **api.token("events:write"))
    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert again.json() == first.json()
    assert api.ledger_size() == before


def test_how_a_relay_writes_numbers_and_members_does_not_make_another_event(api: Api) -> None:
    event = plain()
    texts = ('{"data":{"a":1.50,"b":2.0,"c":1e2},', '{"data": {"c": 100, "b": 2, "a": 1.5},')
    answers = [
        api.client.post("/events", content=text + orjson.dumps(event).decode()[1:], headers={"content-type": STRUCTURED}) for text in texts
    ]
    assert answers[0].json() == answers[1].json()
    assert REPLAYED in answers[1].headers


@pytest.mark.parametrize(
    "change", [{"data": {"deal": 1}}, {"type": "com.example.lost"}, {"time": datetime(2026, 1, 1, tzinfo=UTC)}, {"x": "1"}]
)
@each_form
def test_another_event_under_the_same_source_and_id_is_refused(api: Api, form: str, change: dict[str, Any]) -> None:
    event_id = str(uuid4())
    assert send(api.client, form, event_of(id=event_id)).status_code == 201
    before = api.ledger_size()
    answer = send(api.client, form, event_of(id=event_id, **change))
    assert (answer.status_code, answer.json()["code"]) == (409, "EVENT_ID_REUSED")
    assert send(api.client, form, event_of(id=event_id, source="/elsewhere", **change)).status_code == 201
    assert api.ledger_size() == before + 1


def test_an_event_is_known_after_a_restart_and_by_every_process(database_url: str, tmp_path: Path) -> None:
    installation, event, answers = install(database_url, tmp_path / "home"), event_of(), []
    for _ in range(2):
        with serve(installation, tmp_path, count=2) as servers:
            for server in servers:
                with server.client() as client:
                    answers.append(send(client, "binary", event))
    assert {answer.status_code for answer in answers} == {201}
    assert [REPLAYED in answer.headers for answer in answers] == [False, True, True, True]
    assert all(answer.json() == answers[0].json() for answer in answers)


def test_a_batch_records_each_event_once_and_says_what_is_wrong_in_its_place(api: Api) -> None:
    one, two, known = plain(data=1), plain(data=2), plain(data=3)
    send_json(api, known)
    before = api.ledger_size()
    answer = send_json(api, [one, two, one, plain(specversion="0.3"), known | {"data": 4}], BATCH)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["ids"][0] == told["ids"][2]
    assert [(one["index"], one["status"], one["code"]) for one in told["rejected"]] == [
        (3, 422, "FIELD_INVALID"),
        (4, 409, "EVENT_ID_REUSED"),
    ]
    assert told["rejected"][0]["errors"][0]["pointer"] == "/3/specversion"
    assert (told["accepted"], api.ledger_size()) == (3, before + 2)
    again = send_json(api, [two, known], BATCH)
    assert (again.headers[REPLAYED], again.json()["ids"][0]) == ("true", told["ids"][1])
    nothing = send_json(api, [], BATCH)
    assert (nothing.status_code, nothing.json()) == (200, {"accepted": 0, "ids": [], "rejected": []})
    assert api.ledger_size() == before + 2


def test_a_batch_in_which_nothing_can_be_recorded_is_a_problem(api: Api) -> None:
    before = api.ledger_size()
    answer = send_json(api, [plain(id=""), 7], BATCH)
    assert (answer.status_code, answer.json()["code"], len(answer.json()["rejected"])) == (422, "EVENTS_REFUSED", 2)
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.ledger_size() == before


@each_form
def test_what_concerns_a_person_is_stored_encrypted(api: Api, form: str) -> None:
    event = event_of({"name": "Anna Muster"}, datasubject="C-4711", subject="people/anna-muster")
    first, again = send(api.client, form, event), send(api.client, form, event)
    told = first.json()
    assert (first.status_code, told["payload"], told["cloudevent"]) == (201, None, None)
    assert told["subject_id"] is not None
    assert again.json() == told
    stored = api.fetch("select encode(string_agg(b, ''), 'escape') from ledger.section, unnest(stored) b")[0][0]
    assert all(secret not in stored for secret in ("Anna Muster", "anna-muster", "C-4711"))


DATA: list[tuple[str, bytes, Any, str | None]] = [
    ("text/plain; charset=utf-8", "grüße\n".encode(), "grüße\n", None),
    ("text/plain", b"\xff\xfe", None, "//4="),
    ("application/octet-stream", b"\x00\x01", None, "AAE="),
    ("application/vnd.deal+json", b'{"a": 1.50}\n', {"a": 1.5}, None),
    ("application/json", b"", None, None),
]


@pytest.mark.parametrize(("media_type", "body", "payload", "encoded"), DATA)
def test_data_of_any_type_is_kept(api: Api, media_type: str, body: bytes, payload: Any, encoded: str | None) -> None:
    headers = {f"ce-{name}": value for name, value in plain().items()} | {"content-type": media_type}
    answer = api.client.post("/events", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["payload"] == payload
    assert (answer.json()["cloudevent"].get("data_base64"), answer.json()["cloudevent"]["datacontenttype"]) == (encoded, media_type)


def test_binary_data_comes_in_json_too(api: Api) -> None:
    answer = send_json(api, plain(data_base64="AAE=", datacontenttype="application/octet-stream"))
    assert (answer.json()["payload"], answer.json()["cloudevent"]["data_base64"]) == (None, "AAE=")


def test_a_quoted_header_and_a_time_to_the_nanosecond_are_read(api: Api) -> None:
    headers = {f"ce-{name}": value for name, value in plain(time="2026-01-02T03:04:05.123456789+01:00").items()}
    answer = api.client.post("/events", headers=headers | {"ce-note": '"say \\"hi\\" %E2%82%AC"'})
    assert answer.status_code == 201, answer.text
    assert answer.json()["ts"] == "2026-01-02T02:04:05.123456Z"
    assert answer.json()["cloudevent"].items() >= {"note": 'say "hi" €', "time": "2026-01-02T03:04:05.123456789+01:00"}.items()


def test_the_extensions_for_it_carry_the_correlation_id(api: Api) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert send_json(api, plain(correlationid="c-1", traceparent=trace)).json()["correlation_id"] == "c-1"
    assert send_json(api, plain(traceparent=trace)).json()["correlation_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert send_json(api, plain(correlationid="two words"), **{"x-cid": "c-2"}).json()["correlation_id"] == "c-2"


FAULTS: list[tuple[str, Any]] = [
    ("specversion", "0.3"), ("specversion", None), ("specversion", 1), ("id", None), ("id", ""), ("id", 7), ("source", None),
    ("source", ""), ("source", "two words"), ("source", "/%zz"), ("source", "s" * 1025), ("type", None), ("type", ""), ("type", "t" * 257),
    ("time", "yesterday"), ("time", "2026-01-02"), ("time", "1969-12-31T23:59:59Z"), ("time", 7), ("subject", ""), ("subject", 7),
    ("datacontenttype", "json"), ("dataschema", "/relative"), ("dataschema", ""), ("note", ""), ("note", 1.5), ("note", 2**31),
    ("note", {"a": 1}), ("note", ["a"]), ("note", "a\nb"), ("note", "\ufffe"), ("Note", "a"), ("a_b", "a"), ("\u00e9", "a"),
    ("n" * 21, "a"), ("actor", 7), ("datasubject", 7), ("data_base64", "###"), ("data_base64", 7),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), FAULTS, ids=[f"{name[:21]}={str(value)[:20]}" for name, value in FAULTS])
def test_an_attribute_that_breaks_the_specification_is_named(api: Api, name: str, value: Any) -> None:
    before = api.ledger_size()
    answer = send_json(api, plain(**{name: value}))
    assert (answer.status_code, answer.json()["code"]) == (422, "FIELD_INVALID"), answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/{name}"]
    assert api.ledger_size() == before


def test_both_kinds_of_data_are_refused(api: Api) -> None:
    answer = send_json(api, plain(data=1, data_base64="AAE="))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/data_base64")


HEADERS: list[tuple[list[tuple[str, str]], str]] = [
    ([("ce-id", "1")], "/header/ce-specversion"),
    ([("ce-id", "2")], "/header/ce-id"),
    ([("ce-datacontenttype", "text/plain")], "/header/ce-datacontenttype"),
    ([("ce-data", "7")], "/header/ce-data"),
    ([("ce-a_b", "7")], "/header/ce-a_b"),
    ([("ce-note", "%ff")], "/header/ce-note"),
    ([("ce-time", "now")], "/header/ce-time"),
    ([("content-type", "json")], "/header/content-type"),
]


@pytest.mark.parametrize(("headers", "pointer"), HEADERS)
def test_a_header_that_breaks_the_specification_is_named(api: Api, headers: list[tuple[str, str]], pointer: str) -> None:
    usual = [] if pointer == "/header/ce-specversion" else [(f"ce-{name}", value) for name, value in plain().items()]
    before = api.ledger_size()
    answer = api.client.post("/events", headers=[*usual, *headers])
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
    assert api.ledger_size() == before


def test_a_key_beside_the_events_own_is_refused(api: Api) -> None:
    before = api.ledger_size()
    for form in FORMS:
        answer = send(api.client, form, event_of(), **{"idempotency-key": "k"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/header/idempotency-key")
    assert send_json(api, [plain()], BATCH, **{"idempotency-key": "k"}).status_code == 422
    assert api.ledger_size() == before


@pytest.mark.parametrize("media_type", ["application/cloudevents+xml", "application/cloudevents", "application/xml"])
def test_a_form_that_is_not_read_is_said_to_be_none(api: Api, media_type: str) -> None:
    answer = api.client.post("/events", content=b"x", headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_limits_hold_for_each_form(api: Api) -> None:
    big = "n" * 70_000
    assert send_json(api, plain(data=big)).status_code == 413
    headers = {f"ce-{name}": value for name, value in plain().items()} | {"content-type": "text/plain"}
    assert api.client.post("/events", content=big, headers=headers).status_code == 413
    (told,) = send_json(api, [plain(), plain(data=big)], BATCH).json()["rejected"]
    assert (told["index"], told["status"]) == (1, 413)

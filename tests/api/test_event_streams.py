"""Streams of events: each line is judged by itself, and recorded once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest
from in_process import Api
from starlette.requests import Request
from streaming import STREAM, line_of, numbers_of

from api.event_stream import lines_of
from precedent.guard.access import CACHE_SECONDS, create_token, revoke_token

REPLAYED = "idempotent-replayed"
LIMIT_BYTES = 64 * 1024


def stream(api: Api, body: bytes, **headers: str) -> httpx2.Response:
    return api.client.post("/events", content=body, headers=STREAM | headers)


async def pieces_read(pieces: list[bytes], limit_bytes: int) -> list[bytes | None]:
    left = [{"type": "http.request", "body": piece, "more_body": place < len(pieces) - 1} for place, piece in enumerate(pieces)]

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return [line async for lines in lines_of(Request({"type": "http"}, receive), limit_bytes) for line in lines]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(("body", "lines"), [
    (b"a\nbb\n\nccc\n", [b"a", b"bb", b"", b"ccc"]),
    (b"a\nbb", [b"a", b"bb"]),
    (b"aaaa\naaaaa\nb\n", [b"aaaa", None, b"b"]),
    (b"aaaaaaaaaaaaaaaaa\naaaaaaaaaa", [None, None]),
    (b"aaaaa\n\nb", [None, b"", b"b"]),
    (b"", []),
])  # fmt: skip
def test_lines_are_the_same_however_they_are_cut(body: bytes, lines: list[bytes | None], size: int) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    assert asyncio.run(pieces_read(pieces, 4)) == lines
    assert asyncio.run(pieces_read([*pieces, b""], 4)) == lines


def test_every_line_is_judged_by_itself(api: Api) -> None:
    bad = [b"{", b"[]", b'{"payload": 1}', b'{"type": "T", "more": 1}', b'{"type": "T", "as_of": "2099-01-01T00:00:00Z"}', b"\xff"]
    bad.append(orjson.dumps({"type": "T", "payload": "n" * LIMIT_BYTES}))
    good = [line_of(n) for n in range(600)]
    body = b"".join([*good[:300], b"\r\n\n", *(one + b"\n" for one in bad), *good[300:]])
    before = api.ledger_size()
    answer = stream(api, body)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["lines"], told["accepted"], told["refused"]) == (607, 600, 7)
    assert [one["line"] for one in told["rejected"]] == list(range(303, 310))
    assert [(one["status"], one["code"]) for one in told["rejected"]] == [
        (400, "NOT_JSON"), *[(422, "FIELD_INVALID")] * 4, (400, "NOT_JSON"), (413, "BODY_TOO_LARGE")
    ]  # fmt: skip
    assert told["rejected"][3]["errors"][0]["pointer"] == "/more"
    assert numbers_of(api.database_url)[-600:] == list(range(600))
    assert api.ledger_size() == before + 600
    assert told["last"]["receipt"]["seq"] == before + 599
    last = api.client.get("/events", params={"limit": 1}).json()["items"][0]
    assert last["id"] == told["last"]["id"]


def test_of_many_problems_the_first_hundred_are_told(api: Api) -> None:
    before = api.ledger_size()
    answer = stream(api, b"{}\n" * 500)
    assert (answer.status_code, answer.json()["code"]) == (422, "EVENTS_REFUSED")
    assert (answer.json()["refused"], [one["line"] for one in answer.json()["rejected"]]) == (500, list(range(1, 101)))
    assert answer.headers["content-type"] == "application/problem+json"
    for nothing in (b"", b"\n\n"):
        assert (stream(api, nothing).status_code, stream(api, nothing).json()["code"]) == (422, "FIELD_INVALID")
    assert api.ledger_size() == before


def test_under_a_key_each_line_is_recorded_once(api: Api) -> None:
    key = {"idempotency-key": str(uuid4())}
    lines = [line_of(n) for n in range(400)]
    first = stream(api, b"".join(lines[:250]), **key)
    before = api.ledger_size()
    again = stream(api, b"".join(lines), **key)
    assert (REPLAYED in first.headers, REPLAYED in again.headers, again.json()["accepted"]) == (False, False, 400)
    assert api.ledger_size() == before + 150
    whole = stream(api, b"".join(lines), **key)
    assert (whole.headers[REPLAYED], whole.json()) == ("true", again.json())
    changed = stream(api, b"".join([line_of(7), *lines[1:]]), **key)
    assert [(one["line"], one["code"]) for one in changed.json()["rejected"]] == [(1, "IDEMPOTENCY_KEY_REUSED")]
    assert api.ledger_size() == before + 150


def test_a_line_may_be_a_cloudevent_that_is_known_by_source_and_id(api: Api) -> None:
    event = {"specversion": "1.0", "source": "/s", "id": str(uuid4()), "type": "Streamed", "data": {"number": -1}}
    body = orjson.dumps(event) + b"\n" + line_of(-2) + orjson.dumps(event | {"data": 8}) + b"\n"
    answer = stream(api, body)
    assert (answer.json()["accepted"], answer.json()["rejected"][0]["code"]) == (2, "EVENT_ID_REUSED")
    assert stream(api, orjson.dumps(event)).headers[REPLAYED] == "true"


def test_a_token_revoked_while_its_stream_lasts_ends_it(api: Api) -> None:
    token = create_token(api.database_url, "streaming", ["events:write"])

    def lines() -> Iterator[bytes]:
        for number in range(1024):
            if number == 700:
                revoke_token(api.database_url, "streaming")
                api.clock.ahead_seconds += CACHE_SECONDS + 0.1
            yield line_of(number)

    before = api.ledger_size()
    answer = api.client.post("/events", content=lines(), headers=STREAM | {"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_UNKNOWN")
    assert api.ledger_size() == before + answer.json()["accepted"]

"""What a large batch leaves to the others."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from in_process import Api

from api.batches import LARGE_BYTES, Elements, read_elements
from precedent.ledger.canonical import element_texts, parse_strict


def read(body: bytes) -> Elements:
    return parse_strict(body), element_texts(body.decode())


def turns_while_reading(body: bytes) -> int:
    """How often the event loop came round before the body was read."""

    async def run() -> int:
        task = asyncio.ensure_future(read_elements(body, read))
        turns = 0
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        assert task.result() == read(body)
        return turns

    return asyncio.run(run())


def test_the_loop_turns_while_a_large_body_is_read() -> None:
    """A small one is read at once: between the two turns that it takes to start a task and to see its end."""
    assert turns_while_reading(orjson.dumps([{"type": "T", "payload": list(range(900))}] * 1000)) > 10
    assert turns_while_reading(orjson.dumps([{"type": "T"}])) <= 2


@pytest.mark.parametrize(("path", "body"), [("/events", b"[%s1,]"), ("/decisions/finance/batch", b'{"decisions": [%s1,]}')])
def test_what_is_wrong_in_a_large_body_is_said_as_in_a_small_one(api: Api, path: str, body: bytes) -> None:
    for padding in (b"", b"0," * LARGE_BYTES):
        answer = api.client.post(path, content=body % padding, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (400, "NOT_JSON")

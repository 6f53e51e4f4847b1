"""What a large batch leaves to the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import orjson
import pytest
from in_process import Api

from api.batch_turns import BEGUN_AT_ONCE, BatchTurns
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


@dataclass
class Room:
    """What batches share, for two elements at once; and what became of those."""

    turns: BatchTurns = field(default_factory=lambda: BatchTurns(2))
    begun: list[str] = field(default_factory=list)
    ended: int = 0
    most: int = 0

    async def ask(self, name: str) -> None:
        self.begun.append(name)
        self.most = max(self.most, len(self.begun) - self.ended)
        for _ in range(3):
            await asyncio.sleep(0)
        self.ended += 1

    async def batch(self, name: str, count: int) -> None:
        await self.turns.ask_each(count, lambda _: self.ask(name), lambda: True)


def test_batches_begin_one_after_the_other_and_share_the_room_of_one() -> None:
    async def run() -> Room:
        room = Room()
        await asyncio.gather(room.batch("first", 7), room.batch("second", 5))
        return room

    room = asyncio.run(run())
    assert room.begun == ["first"] * 7 + ["second"] * 5
    assert room.most == 2


def test_a_batch_that_is_given_up_leaves_its_room_to_the_next() -> None:
    async def run() -> Room:
        room = Room()
        given_up = asyncio.ensure_future(room.batch("first", 100))
        while len(room.begun) < 10:
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        after = Room(room.turns)
        await after.batch("second", 5)
        return after

    after = asyncio.run(run())
    assert after.begun == ["second"] * 5
    assert after.most == 2


def test_others_are_answered_between_elements_that_wait_for_nothing() -> None:
    """A thousand that are refused at once would hold up everybody else."""
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    async def refuse(_: int) -> None:
        asked_in.append(turns)

    async def run() -> None:
        turn()
        await BatchTurns().ask_each(1_000, refuse, lambda: True)

    asked_in: list[int] = []
    asyncio.run(run())
    assert len(asked_in) == 1_000
    assert max(Counter(asked_in).values()) <= BEGUN_AT_ONCE


def test_a_batch_that_is_over_once_it_is_led_waits_for_no_turn() -> None:
    async def run() -> list[str]:
        room = Room()
        other = asyncio.ensure_future(room.batch("other", 100))
        while not room.begun:
            await asyncio.sleep(0)
        alone = Room(room.turns)
        await room.turns.ask_each(1, lambda _: alone.ask("alone"), lambda: bool(alone.begun))
        assert not other.done()
        await other
        return alone.begun

    assert asyncio.run(run()) == ["alone"]

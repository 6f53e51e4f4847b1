"""How the elements of batches go on: one batch after the other, and so many elements of all batches at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from precedent.ledger.writer import MAX_BATCH_ENTRIES

# What is being committed, and half a commit that is made ready meanwhile. Were all elements of a batch made ready first, nothing would be
# committed until the last one is, and nobody else answered.
ELEMENTS_AT_ONCE = MAX_BATCH_ENTRIES * 3 // 2

# So many begin without a pause: a few milliseconds in which this process does nothing else.
BEGUN_AT_ONCE = 32


class BatchTurns:
    """One an API process: all its batches share the room for `size` elements; who has a place in it goes on from one to the next."""

    def __init__(self, size: int = ELEMENTS_AT_ONCE) -> None:
        self._size = size
        self._turn = asyncio.Lock()
        self._room = asyncio.Semaphore(size)

    @property
    def is_full(self) -> bool:
        return self._room.locked()

    async def ask_each(self, count: int, ask: Callable[[int], Coroutine[Any, Any, None]], is_led: Callable[[], bool]) -> None:
        """`ask` of each place: one alone after another until `is_led`, the rest together when it is this batch's turn.

        Under a key a batch is led once its first element is recorded: of two bodies at the same instant, the one whose first came first
        goes on, and nothing of the other stands. Batches begin one after the other, so that they end one after the other too: what is read
        and answered of one goes on beside the commits of the next.
        """
        places = iter(range(count))
        while not is_led() and (place := next(places, None)) is not None:
            await ask(place)

        async def ask_on() -> None:
            async with self._room:
                for place in places:
                    await ask(place)

        async with asyncio.TaskGroup() as group, self._turn:
            for begun in range(1, min(count, self._size) + 1):
                group.create_task(ask_on())
                if begun % BEGUN_AT_ONCE == 0:
                    await asyncio.sleep(0)

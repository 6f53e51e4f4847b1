"""How the elements of batches go on: one batch after the other, and so many elements of all batches at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from precedent.ledger.writer import MAX_BATCH_ENTRIES

# What is being committed, and half a commit that is made ready meanwhile. Were all elements of a batch made ready first, nothing would be
# committed until the last one is, and nobody else answered.
ELEMENTS_AT_ONCE = MAX_BATCH_ENTRIES * 3 // 2

# So many begin without a pause: a few milliseconds in which this process does nothing else.
BEGUN_AT_ONCE = 32


class BatchTurns:
    """One an API process: its batches take turns, and all of them have the room for `size` elements."""

    def __init__(self, size: int = ELEMENTS_AT_ONCE) -> None:
        self._turn = asyncio.Lock()
        self._room = asyncio.Semaphore(size)

    async def ask_each(self, count: int, ask: Callable[[int], Coroutine[Any, Any, None]], is_led: Callable[[], bool]) -> None:
        """`ask` of each place: one alone after another until `is_led`, the rest together when it is this batch's turn.

        Under a key a batch is led once its first element is recorded: of two bodies at the same instant, the one whose first came first
        goes on, and nothing of the other stands. Batches begin one after the other, so that they end one after the other too: what is read
        and answered of one goes on beside the commits of the next.
        """
        places = deque(range(count))
        while places and not is_led():
            await ask(places.popleft())
        if not places:
            return
        async with asyncio.TaskGroup() as group, self._turn:
            for begun, place in enumerate(places, 1):
                await self._room.acquire()
                # Also where it is cancelled before it began.
                group.create_task(ask(place)).add_done_callback(lambda _: self._room.release())
                # Also where none of them waits for anything: what is refused at once is asked in one go.
                if begun % BEGUN_AT_ONCE == 0:
                    await asyncio.sleep(0)

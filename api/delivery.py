"""Messages go out beside the requests: the outbox is drained by this process, unless another one is to do it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.services import Services
from precedent.people.channels import open_loops


@asynccontextmanager
async def delivering(services: Services) -> AsyncIterator[None]:
    """Deliver while the block runs; at its end, the message under way is settled and no other begun."""
    if services.settings.outbox == "process":
        yield
        return
    with open_loops(services.settings, services.url, services.chain_id, services.clock, services.keyring) as loops:
        for loop in loops:
            loop.start()
        try:
            yield
        finally:
            await asyncio.gather(*(asyncio.to_thread(loop.stop) for loop in loops))

"""What a scrape reads from the database: each part on its own, and never more than a small share of the database's time.

A part that fails is told as failed, and the others stand: metrics are wanted most when something is wrong. One that was dear is kept for
`KEPT_FOR` times as long as it took, so that scrapes, however many, take at most a twentieth of one connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
import structlog

from api.services import Services
from precedent.adapters.costs import read_book
from precedent.adapters.spend import DAYS_BEFORE, standings, today_and_before
from precedent.adapters.spend_store import SPENT, Spent
from precedent.errors import PrecedentError
from precedent.ledger.entry import Envelope
from precedent.ledger.projections import HEAD
from precedent.ledger.watch_store import COVERED, DECIDED, TAKEN, UNKNOWN
from precedent.people.reviews import review_rates
from precedent.people.store import BACKLOG

log = structlog.get_logger("api")

CHEAP_SECONDS = 0.5  # asked again each time, up to here
KEPT_FOR = 20
GAP_STEP_PLACES = 100_000  # looked at in one scrape: a long ledger is caught up with in many

Read = Callable[[Services], Awaitable[Any]]


@dataclass(slots=True)
class _Part:
    read: Read
    value: Any = None
    is_failed: bool = False
    ask_after: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Scrape:
    """The parts of one process, and how far it has looked for gaps."""

    def __init__(self) -> None:
        self._gaps = 0
        self._looked_at = 0
        reads = {
            "head": _head, "covered": _covered, "gaps": self._look_for_gaps, "decided": _decided, "reviews": _reviews,
            "outbox": _outbox, "unknown": _unknown, "models": _models,
        }  # fmt: skip
        self._parts: dict[str, _Part] = {name: _Part(read) for name, read in reads.items()}

    async def read(self, services: Services) -> tuple[dict[str, Any], list[str]]:
        """Values by part, None for what could not be read; and the names of those parts."""
        for name, part in self._parts.items():
            async with part.turn:
                await _refresh(name, part, services)
        failed = [name for name, part in self._parts.items() if part.is_failed]
        return {name: None if part.is_failed else part.value for name, part in self._parts.items()}, failed

    async def _look_for_gaps(self, services: Services) -> dict[str, int]:
        """Places without an entry, among those looked at: the append gives each the next, so that any is a sign of tampering or loss.

        What stands below the place reached is not looked at again; `precedent ledger verify` does.
        """
        head = (await _head(services))["size"]
        last = min(head, self._looked_at + GAP_STEP_PLACES)
        if last > self._looked_at:
            bounds = {"chain": services.chain_id, "first": self._looked_at, "last": last}
            [(taken,)] = await services.reads.fetch(TAKEN, bounds)
            self._gaps += last - self._looked_at - taken
            self._looked_at = last
        return {"gaps": self._gaps, "looked_at": self._looked_at}


async def _refresh(name: str, part: _Part, services: Services) -> None:
    now = asyncio.get_running_loop().time
    began = now()
    if began < part.ask_after:
        return
    try:
        part.value = await part.read(services)
        part.is_failed = False
    except (PrecedentError, psycopg.Error) as error:
        log.warning("not_measured", part=name, error=str(error))
        part.is_failed = True
    took = now() - began
    part.ask_after = now() + KEPT_FOR * took if took > CHEAP_SECONDS else 0.0


async def _head(services: Services) -> dict[str, Any]:
    row = await services.reads.fetch_one(HEAD, (services.chain_id,))
    return {"size": row[0] if row else 0, "head": row[1] if row else None}


async def _covered(services: Services) -> dict[str, Any]:
    [(size, envelope)] = await services.reads.fetch(COVERED, {"chain": services.chain_id})
    waits_us = services.clock.now_us() - Envelope.unpack(bytes(envelope)).recorded_at_us if envelope is not None else 0
    return {"checkpoint_size": size, "lag_seconds": max(0, waits_us) / 1e6}


async def _decided(services: Services) -> list[tuple[Any, ...]]:
    return await services.reads.fetch(DECIDED, {"chain": services.chain_id})


async def _reviews(services: Services) -> list[dict[str, Any]]:
    return list(await review_rates(services.reads, services.chain_id, services.clock.now_us()))


async def _outbox(services: Services) -> dict[str, Any]:
    [(waiting, dead, oldest)] = await services.reads.fetch(BACKLOG, {"chain": services.chain_id})
    return {"waiting": waiting, "dead": dead, "oldest_seconds": oldest or 0.0}


async def _unknown(services: Services) -> list[dict[str, Any]]:
    rows = await services.reads.fetch(UNKNOWN, {"chain": services.chain_id})
    return [{"node": node, "approved": count, "unknown": unknown} for node, count, unknown in rows]


async def _models(services: Services) -> dict[str, Any]:
    """What models cost, and their budgets. A file of costs that can't be read is told as a part that failed: decisions need none."""
    book = read_book(services.settings.model_costs_file)
    rows = await services.reads.fetch(SPENT, {"chain": services.chain_id, "days": DAYS_BEFORE})
    spent = [Spent(*row) for row in rows]
    budgets = [asdict(one) for one in standings(book, spent)]
    return {"today": today_and_before(spent), "budgets": budgets}

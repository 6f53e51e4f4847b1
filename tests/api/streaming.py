"""Lines of a stream of events, and what was recorded of them."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg

STREAM = {"content-type": "application/x-ndjson"}


def line_of(number: int, **others: Any) -> bytes:
    return orjson.dumps({"type": "Streamed", "payload": {"number": number, "words": "x" * 100}} | others) + b"\n"


def numbers_of(url: str, actor: str | None = None) -> list[int]:
    """What the events of the actor say that were recorded, in the ledger's order."""
    statement = "select payload -> 'number' from precedent.events where type = 'Streamed' and actor is not distinct from %s order by seq"
    with psycopg.connect(url) as connection:
        return [number for (number,) in connection.execute(statement, (actor,))]

"""SQL of the endpoints of webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

_ENDPOINT = """
select id, name, url, topics, status, status_reason, secret_version, previous_until, paused_until, created_at
from precedent.webhook_endpoints where chain_id = %s
"""
ENDPOINTS = _ENDPOINT + "order by name"
ENDPOINT_NAMED = _ENDPOINT + "and name = %s"
ENDPOINT = _ENDPOINT + "and id = %s"

INSERT = "insert into precedent.webhook_endpoints (chain_id, id, name, url, topics) values (%s, %s, %s, %s, %s)"

ROTATE = """
update precedent.webhook_endpoints set secret_version = secret_version + 1, previous_until = %s where chain_id = %s and id = %s
"""

ENABLE = """
update precedent.webhook_endpoints set status = 'active', status_reason = null, paused_until = null where chain_id = %s and id = %s
"""

# What waits for it is given up with it: shown as dead, and sent after all when it is enabled and replayed.
DISABLE = """
with disabled as (
    update precedent.webhook_endpoints set status = 'disabled', status_reason = %(reason)s where chain_id = %(chain)s and id = %(id)s
)
update precedent.outbox set dead_at = %(now)s, last_error = coalesce(last_error, 'its endpoint was disabled: ' || %(reason)s)
where chain_id = %(chain)s and endpoint_id = %(id)s and delivered_at is null and dead_at is null
"""

PAUSE = """
update precedent.webhook_endpoints set paused_until = greatest(paused_until, %s::timestamptz) where chain_id = %s and id = %s
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks go. Its secret is no part of the row."""

    id: UUID
    name: str
    url: str
    topics: list[str]
    status: str
    status_reason: str | None
    secret_version: int
    previous_until: datetime | None
    paused_until: datetime | None
    created_at: datetime


def read_endpoints(connection: psycopg.Connection[Any], chain_id: UUID) -> list[Endpoint]:
    with connection.cursor(row_factory=class_row(Endpoint)) as cursor:
        return cursor.execute(ENDPOINTS, (chain_id,)).fetchall()


def find_endpoint(connection: psycopg.Connection[Any], chain_id: UUID, by: str | UUID) -> Endpoint | None:
    """By name, or by id."""
    with connection.cursor(row_factory=class_row(Endpoint)) as cursor:
        return cursor.execute(ENDPOINT_NAMED if isinstance(by, str) else ENDPOINT, (chain_id, by)).fetchone()


def disable(connection: psycopg.Connection[Any], chain_id: UUID, endpoint_id: UUID, reason: str, now: datetime) -> int:
    """Send nothing there any more; how many messages were given up."""
    return connection.execute(DISABLE, {"chain": chain_id, "id": endpoint_id, "reason": reason, "now": now}).rowcount

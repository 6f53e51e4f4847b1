"""SQL of the outbox. The append writes the rows of entries; here they are read, and messages settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

# The claim books the next attempt before this one is made: no transaction stays open while another company's server answers,
# and if we crash before it is settled, the message is simply due again.
_CLAIM = """
update precedent.outbox set attempts = attempts + 1,
       next_attempt_at = %(now)s
           + least(%(longest_pause_seconds)s, %(first_pause_seconds)s * power(2, least(attempts, 30))) * %(stretch)s * interval '1 second'
where id = (
    select o.id from precedent.outbox o
    where o.chain_id = %(chain_id)s and o.delivered_at is null and o.dead_at is null and o.next_attempt_at <= %(now)s
      and {of_queue}
    order by o.next_attempt_at, o.id
    limit 1
    for update of o skip locked
)
returning id, entry_id, topic, payload, attempts, endpoint_id
"""


class Queue(StrEnum):
    """Messages to people, and webhooks: apart, so that neither waits for the other's receivers."""

    PEOPLE = "people"
    WEBHOOKS = "webhooks"


# An endpoint that is paused holds up its own messages alone.
_OF_QUEUE = {
    Queue.PEOPLE: "o.endpoint_id is null",
    Queue.WEBHOOKS: """o.endpoint_id is not null and exists (
          select 1 from precedent.webhook_endpoints w
          where w.chain_id = o.chain_id and w.id = o.endpoint_id and w.status = 'active'
            and (w.paused_until is null or w.paused_until <= %(now)s))""",
}
CLAIM = {queue: _CLAIM.format(of_queue=condition) for queue, condition in _OF_QUEUE.items()}
# The core is the first of an entry's sections.
CORRELATION = """
select coalesce(c.core ->> 'correlation_id', c.core -> 'call' ->> 'correlation_id')
from ledger.entry e
join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal
cross join lateral (select convert_from(s.stored[1], 'utf8')::jsonb as core) c
where e.chain_id = %s and e.entry_id = %s
"""

# A message about something that is no entry; about one run, one of its topic.
ADD = """
insert into precedent.outbox (chain_id, topic, payload, created_at, next_attempt_at)
values (%(chain_id)s, %(topic)s, %(payload)s, %(now)s, %(now)s)
on conflict do nothing
"""

ADD_TO_ENDPOINTS = """
insert into precedent.outbox (chain_id, endpoint_id, topic, payload, created_at, next_attempt_at)
select w.chain_id, w.id, %(topic)s, %(payload)s, %(now)s, %(now)s
from precedent.webhook_endpoints w
where w.chain_id = %(chain_id)s and w.status = 'active' and %(topic)s = any (w.topics)
on conflict do nothing
"""

DELIVERED = "update precedent.outbox set delivered_at = %s, last_error = null where id = %s"

# `next_attempt_at` was booked by the claim; the other side may have asked for more patience.
FAILED = """
update precedent.outbox set last_error = %s, next_attempt_at = greatest(next_attempt_at, %s::timestamptz), dead_at = coalesce(dead_at, %s)
where id = %s
"""

# What killed it stays to be read until an attempt succeeds.
REPLAY = """
update precedent.outbox set dead_at = null, attempts = 0, next_attempt_at = %(now)s
where chain_id = %(chain_id)s and dead_at is not null and (%(ids)s::bigint[] is null or id = any(%(ids)s))
returning id
"""

WAITING = """
select o.id, o.topic, coalesce(w.name, o.payload ->> 'to') as recipient, o.created_at, o.attempts, o.next_attempt_at, o.dead_at,
       o.last_error
from precedent.outbox o left join precedent.webhook_endpoints w on w.chain_id = o.chain_id and w.id = o.endpoint_id
where o.chain_id = %(chain_id)s and o.delivered_at is null and (%(is_dead)s::boolean is null or (o.dead_at is not null) = %(is_dead)s)
order by o.id
limit %(limit)s
"""

# By a function that removes nothing else (forget_delivered.sql).
FORGET = "select precedent.forget_delivered(%s, %s, %s)"

COUNTS = """
select count(*) filter (where delivered_at is null and dead_at is null), count(*) filter (where dead_at is not null),
       count(*) filter (where delivered_at is not null)
from precedent.outbox where chain_id = %s
"""

# For metrics: both counts from partial indexes, whatever was delivered before.
BACKLOG = """
select (select count(*) from precedent.outbox where chain_id = %(chain)s and delivered_at is null and dead_at is null),
       (select count(*) from precedent.outbox where chain_id = %(chain)s and dead_at is not null),
       (select extract(epoch from now() - min(created_at))::float8 from precedent.outbox
        where chain_id = %(chain)s and delivered_at is null and dead_at is null)
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message whose delivery was just begun for the `attempts`-th time."""

    id: int
    entry_id: UUID | None
    topic: str
    payload: dict[str, Any]
    attempts: int
    endpoint_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that waits, or is dead where `dead_at` is set."""

    id: int
    topic: str
    recipient: str | None
    created_at: datetime
    attempts: int
    next_attempt_at: datetime
    dead_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    waiting: int
    dead: int
    delivered: int


def add_message(connection: psycopg.Connection[Any], chain_id: UUID, topic: str, payload: Mapping[str, Any], now: datetime) -> None:
    """A message to people that is due at once; none where they were told that of its `run_id` before."""
    connection.execute(ADD, {"chain_id": chain_id, "topic": topic, "payload": Jsonb(payload), "now": now})


def add_webhooks(connection: psycopg.Connection[Any], chain_id: UUID, topic: str, payload: Mapping[str, Any], now: datetime) -> None:
    """As `add_message`, to each endpoint that asked for the topic."""
    connection.execute(ADD_TO_ENDPOINTS, {"chain_id": chain_id, "topic": topic, "payload": Jsonb(payload), "now": now})


def claim_message(
    connection: psycopg.Connection[Any],
    chain_id: UUID,
    now: datetime,
    queue: Queue = Queue.PEOPLE,
    *,
    first_pause_seconds: float,
    longest_pause_seconds: float,
    stretch: float = 1.0,
) -> Claimed | None:
    """The message that has been due longest and that no other process is just claiming; None when none is due.

    Its next attempt is booked after a pause that doubles up to the longest, times `stretch`.
    """
    with connection.cursor(row_factory=class_row(Claimed)) as cursor:
        cursor.execute(
            CLAIM[queue],
            {
                "chain_id": chain_id,
                "now": now,
                "first_pause_seconds": first_pause_seconds,
                "longest_pause_seconds": longest_pause_seconds,
                "stretch": stretch,
            },
        )
        return cursor.fetchone()


def correlation_of(connection: psycopg.Connection[Any], chain_id: UUID, entry_id: UUID) -> str | None:
    """The correlation id of the request that an entry came from; None where there was none."""
    row = connection.execute(CORRELATION, (chain_id, entry_id)).fetchone()
    return row[0] if row else None


def mark_delivered(connection: psycopg.Connection[Any], message_id: int, at: datetime) -> None:
    connection.execute(DELIVERED, (at, message_id))


def mark_failed(
    connection: psycopg.Connection[Any], message_id: int, error: str, *, not_before: datetime | None, dead_at: datetime | None
) -> None:
    """Keep the error, and the pause that the claim booked unless `not_before` is later; with `dead_at` it was the last attempt."""
    connection.execute(FAILED, (error, not_before, dead_at, message_id))


def forget_delivered(connection: psycopg.Connection[Any], chain_id: UUID, before: datetime, limit: int) -> int:
    """Remove up to so many messages that were delivered before the moment, and more than a day ago; how many. None is dead or waits."""
    row = connection.execute(FORGET, (chain_id, before, limit)).fetchone()
    return int(row[0]) if row else 0


def replay_dead(connection: psycopg.Connection[Any], chain_id: UUID, now: datetime, ids: list[int] | None) -> list[int]:
    """Make dead messages due at once, as new: those of `ids`, or all where it is None. The ids of those that were dead."""
    rows = connection.execute(REPLAY, {"chain_id": chain_id, "now": now, "ids": ids}).fetchall()
    return sorted(row[0] for row in rows)


def read_undelivered(connection: psycopg.Connection[Any], chain_id: UUID, *, is_dead: bool | None, limit: int) -> list[Undelivered]:
    """Oldest first; only the dead, only the waiting, or both where `is_dead` is None."""
    with connection.cursor(row_factory=class_row(Undelivered)) as cursor:
        return cursor.execute(WAITING, {"chain_id": chain_id, "is_dead": is_dead, "limit": limit}).fetchall()


def count_messages(connection: psycopg.Connection[Any], chain_id: UUID) -> Counts:
    """Cost: a scan of the chain's outbox."""
    row = connection.execute(COUNTS, (chain_id,)).fetchone()
    return Counts(*row) if row else Counts(0, 0, 0)

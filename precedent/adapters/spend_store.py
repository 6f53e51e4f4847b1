"""SQL of what calls of models used. Rows are added and never changed: of a call's two, the final one counts where it is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

# Callers of one chain reserve one after another: what is read below cannot change before the row of its reader is committed.
ONE_AT_A_TIME = "select pg_advisory_xact_lock(hashtextextended('model_calls ' || %s::text, 0))"

# The clock is the database's, which all processes share, and is read behind the lock: the day that is looked at is the row's.
BEGIN = """
insert into precedent.model_calls (chain_id, id, is_final, began_at, model, purpose, node, attempt, outcome, why, counted,
    tokens_in, tokens_cached, tokens_out, cost_micros, currency)
values (%(chain)s, %(id)s, %(is_final)s, statement_timestamp(), %(model)s, %(purpose)s, %(node)s, %(attempt)s, %(outcome)s, %(why)s,
    %(counted)s, %(tokens_in)s, %(tokens_cached)s, %(tokens_out)s, %(cost_micros)s, %(currency)s)
"""
END = """
insert into precedent.model_calls (chain_id, id, is_final, began_at, model, purpose, node, attempt, outcome, why, counted,
    tokens_in, tokens_cached, tokens_out, cost_micros, currency, duration_ms)
select chain_id, id, true, began_at, model, purpose, node, attempt, %(outcome)s, %(why)s,
    %(counted)s, %(tokens_in)s, %(tokens_cached)s, %(tokens_out)s, %(cost_micros)s, %(currency)s, %(duration_ms)s
from precedent.model_calls where chain_id = %(chain)s and id = %(id)s and not is_final
"""

# Of the UTC day that is under way, and of `days` before it. A session's zone is UTC.
SPENT = """
with counted as (
    select c.* from precedent.model_calls c
    where c.chain_id = %(chain)s and c.began_at >= date_trunc('day', statement_timestamp()) - %(days)s * interval '1 day'
      and (c.is_final or not exists (
          select from precedent.model_calls e where e.chain_id = c.chain_id and e.id = c.id and e.is_final))
)
select began_at::date as day, began_at >= date_trunc('day', statement_timestamp()) as is_today, model, purpose, node, currency,
    case when outcome = 'refused' then why end as refused_by,
    count(*) filter (where outcome = 'open') as open, count(*) filter (where outcome = 'done') as done,
    count(*) filter (where outcome = 'failed') as failed, count(*) filter (where outcome = 'refused') as refused,
    count(*) filter (where attempt > 1 and outcome <> 'refused') as retries,
    sum(tokens_in)::bigint as tokens_in, sum(tokens_cached)::bigint as tokens_cached, sum(tokens_out)::bigint as tokens_out,
    coalesce(sum(tokens_in + tokens_out) filter (where counted = 'bound'), 0)::bigint as tokens_untold,
    coalesce(sum(cost_micros), 0)::bigint as cost_micros,
    coalesce(sum(tokens_in + tokens_out) filter (where cost_micros is null), 0)::bigint as tokens_unpriced,
    coalesce(sum(duration_ms), 0)::bigint as duration_ms
from counted
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 3, 4, 5, 6, 7
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the calls of one day, model, purpose, node and currency came to; `refused_by` names a budget where they were refused."""

    day: date
    is_today: bool
    model: str
    purpose: str
    node: str | None
    currency: str | None
    refused_by: str | None
    open: int
    done: int
    failed: int
    refused: int
    retries: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    tokens_untold: int
    cost_micros: int
    tokens_unpriced: int
    duration_ms: int

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


def take_turn(connection: psycopg.Connection, chain_id: UUID) -> None:
    """No other process of the chain passes here before this transaction ends."""
    connection.execute(ONE_AT_A_TIME, (chain_id,))


def read_spent(connection: psycopg.Connection, chain_id: UUID, days: int = 0) -> list[Spent]:
    """Of today, in UTC, and so many `days` before it."""
    with connection.cursor(row_factory=class_row(Spent)) as cursor:
        return cursor.execute(SPENT, {"chain": chain_id, "days": days}).fetchall()


def begin_call(connection: psycopg.Connection, row: dict[str, Any]) -> None:
    connection.execute(BEGIN, row)


def end_call(connection: psycopg.Connection, row: dict[str, Any]) -> None:
    connection.execute(END, row)

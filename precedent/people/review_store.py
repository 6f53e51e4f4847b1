"""SQL of reviews: the queue, one review, what deadlines have to act on, and how it all goes. The append writes the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
from psycopg.rows import class_row

Row: TypeAlias = tuple[Any, ...]

_COLUMNS = """
r.decision_id, r.kind, r.node, r.action, r.status, r.assigned_to, r.raised_to, r.due_at, r.on_timeout, r.opened_at, r.reminded_at,
r.raised_at, r.timed_out_at, r.closed_at, r.reviewer, r.answer, r.reason, r.answer_id
"""

# What has no deadline comes last. Decision ids sort by creation, so that they break ties by age. Each kind is read by its own
# stretch of the index: what can be reversed no more stands before all others, and is never read.
QUEUE = f"""
select {_COLUMNS}, encode(d.hash, 'hex') as digest, d.verdict, d.autonomy_level, d.rule, d.output -> 'reasons' -> 0 ->> 'text' as why,
       d.output -> 'recommendation' ->> 'verdict' as recommended, d.principal as asked_by, d.policy_version
from unnest(%(kinds)s::text[]) k (kind)
cross join lateral (
    select case when x.is_behind then %(now)s else %(after_due)s::timestamptz end as due_at,
           case when x.is_behind then 'ffffffff-ffff-ffff-ffff-ffffffffffff' else %(after_id)s::uuid end as decision_id
    from (select k.kind = 'reversible' and %(is_open)s and %(now)s >= %(after_due)s::timestamptz as is_behind) x
) b
cross join lateral (
    select * from precedent.reviews r
    where r.chain_id = %(chain_id)s and r.kind = k.kind and r.status = %(status)s
      and (%(nodes)s::text[] is null or r.node = any(%(nodes)s)) and (not %(is_overdue)s or r.due_at <= %(now)s)
      and (coalesce(r.due_at, 'infinity'::timestamptz), r.decision_id) > (b.due_at, b.decision_id)
    order by coalesce(r.due_at, 'infinity'::timestamptz), r.decision_id
    limit %(limit)s
) r
left join precedent.decisions d on d.chain_id = r.chain_id and d.id = r.decision_id
order by coalesce(r.due_at, 'infinity'::timestamptz), r.decision_id
limit %(limit)s
"""
QUEUE_COLUMNS = (
    "decision_id", "kind", "node", "action", "status", "assigned_to", "raised_to", "due_at", "on_timeout", "opened_at", "reminded_at",
    "raised_at", "timed_out_at", "closed_at", "reviewer", "answer", "reason", "answer_id", "digest", "verdict", "autonomy_level", "rule",
    "why", "recommended", "asked_by", "policy_version",
)  # fmt: skip

REVIEW_OF = f"select {_COLUMNS} from precedent.reviews r where r.chain_id = %s and r.decision_id = %s"

# Of each waiting escalation the last step that is due: a process that was away for long reminds nobody of what is over. Half of
# the time is the assigned person's; after three quarters the policy's owner is told too.
DUE = """
select r.decision_id, r.kind, r.node, r.action, r.assigned_to, r.raised_to, r.opened_at, r.due_at, r.on_timeout, s.step, d.policy_version,
       d.rule, d.correlation_id, v.document ->> 'owner' as owner
from precedent.reviews r
join precedent.decisions d on d.chain_id = r.chain_id and d.id = r.decision_id
left join precedent.policy_versions v on v.chain_id = d.chain_id and v.name = split_part(d.policy_version, '@', 1)
                                     and v.version = split_part(d.policy_version, '@', 2)
cross join lateral (
    select case when r.due_at <= %(now)s then 'time_out'
                when r.raised_at is not null then null
                when r.opened_at + (r.due_at - r.opened_at) * 0.75 <= %(now)s
                     and lower(v.document ->> 'owner') is distinct from lower(r.assigned_to) and v.document ->> 'owner' is not null
                then 'raise'
                when r.reminded_at is null and r.opened_at + (r.due_at - r.opened_at) * 0.5 <= %(now)s then 'remind' end as step
) s
where r.chain_id = %(chain_id)s and r.status = 'open' and r.kind = 'escalation' and r.timed_out_at is null and s.step is not null
order by r.due_at, r.decision_id
limit %(limit)s
"""

TRY_TO_LEAD = "select pg_try_advisory_lock(%s, %s)"

# By node and kind: what waits, what is late, the oldest one's age; and of the last days what was answered, by whom, and how.
# Overridden is an escalation that a person answered otherwise than the policy recommended. By indexes alone: what can be reversed
# no more is most of the table.
RATES = """
select r.node, r.kind,
       count(*) filter (where r.is_waiting) as waiting,
       count(*) filter (where r.is_waiting and r.kind = 'escalation' and r.due_at <= %(now)s) as overdue,
       coalesce(extract(epoch from %(now)s - min(r.opened_at) filter (where r.is_waiting)), 0)::float8 as oldest_seconds,
       count(*) filter (where r.closed_at is not null and r.reviewer is not null) as answered,
       count(*) filter (where r.closed_at is not null and r.reviewer is null) as timed_out,
       count(*) filter (where r.reviewer is not null and a.recommended is not null) as advised,
       count(*) filter (where r.reviewer is not null and a.recommended <> r.answer) as overridden,
       count(*) filter (where r.status = 'reversed') as reversed,
       (percentile_cont(0.5) within group (order by extract(epoch from r.closed_at - r.opened_at)))::float8 as answer_seconds_p50
from (
    select *, true as is_waiting from precedent.reviews
    where chain_id = %(chain_id)s and kind in ('escalation', 'audit') and status = 'open'
    union all
    select *, true from precedent.reviews
    where chain_id = %(chain_id)s and kind = 'reversible' and status = 'open' and coalesce(due_at, 'infinity'::timestamptz) > %(now)s
    union all
    select *, false from precedent.reviews where chain_id = %(chain_id)s and closed_at > %(since)s
) r
left join lateral (
    select d.output -> 'recommendation' ->> 'verdict' as recommended from precedent.decisions d
    where d.chain_id = r.chain_id and d.id = r.decision_id and r.kind = 'escalation' and r.reviewer is not null
) a on true
group by r.node, r.kind order by r.node, r.kind
"""
RATE_COLUMNS = (
    "node", "kind", "waiting", "overdue", "oldest_seconds", "answered", "timed_out", "advised", "overridden", "reversed",
    "answer_seconds_p50",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Due:
    """A waiting escalation, the step that its deadline takes next, and what of its decision that step tells."""

    decision_id: UUID
    kind: str
    node: str
    action: str
    assigned_to: str | None
    raised_to: str | None
    opened_at: datetime
    due_at: datetime
    on_timeout: str | None
    step: str
    policy_version: str
    rule: str
    correlation_id: str
    owner: str | None


def read_due(connection: psycopg.Connection[Any], chain_id: UUID, now: datetime, limit: int) -> list[Due]:
    """Those due first, first."""
    with connection.cursor(row_factory=class_row(Due)) as cursor:
        return cursor.execute(DUE, {"chain_id": chain_id, "now": now, "limit": limit}).fetchall()


def try_to_lead(connection: psycopg.Connection[Any], chain_id: UUID) -> bool:
    """Whether this session is the one that acts on the chain's deadlines, from now on until it ends."""
    row = connection.execute(TRY_TO_LEAD, (0x72657669, int.from_bytes(chain_id.bytes[:4], signed=True))).fetchone()
    return bool(row and row[0])

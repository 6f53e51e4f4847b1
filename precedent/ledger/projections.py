"""SQL of the lists that the API answers: newest first, by cursor, from the projections."""

from __future__ import annotations

from typing import Any

EVENTS = """
select id, seq, type, ts, actor, correlation_id, source, subject_id, principal, imported, payload, recorded_at
from precedent.events
where chain_id = %(chain)s
  and (%(type)s::text is null or type = %(type)s)
  and (%(actor)s::text is null or actor = %(actor)s)
  and (%(since)s::timestamptz is null or ts >= %(since)s)
  and (%(after)s::int8 is null or seq < %(after)s)
order by seq desc limit %(limit)s
"""
EVENT_COLUMNS = (
    "id", "seq", "type", "ts", "actor", "correlation_id", "source", "subject_id", "principal", "imported", "payload", "recorded_at",
)  # fmt: skip

DECISIONS = """
select id, seq, node, action, policy_version, variant, inputs, verdict, autonomy_level, rule, reason, effective, requires_human,
       human_approver, latency_ms::float8, ts, correlation_id, event_id, imported, encode(hash, 'hex'), encode(prev_hash, 'hex')
from precedent.decisions
where chain_id = %(chain)s
  and (%(node)s::text is null or node = %(node)s)
  and (%(verdict)s::text is null or verdict = %(verdict)s)
  and (%(policy_version)s::text is null or policy_version = %(policy_version)s)
  and (%(after)s::int8 is null or seq < %(after)s)
order by seq desc limit %(limit)s
"""
DECISION_COLUMNS = (
    "id", "seq", "node", "action", "policy_version", "variant", "inputs", "verdict", "autonomy_level", "rule", "reason", "effective",
    "requires_human", "human_approver", "latency_ms", "ts", "correlation_id", "event_id", "imported", "hash", "prev_hash",
)  # fmt: skip

OUTCOMES = """
select decision_id, revision, id, seq, metrics, reward::float8, counted, observed_at, recorded_at, correlation_id, imported
from precedent.outcomes where chain_id = %(chain)s and decision_id = %(decision)s order by revision desc
"""
OUTCOME_COLUMNS = (
    "decision_id", "revision", "id", "seq", "metrics", "reward", "counted", "observed_at", "recorded_at", "correlation_id", "imported",
)  # fmt: skip

HEAD = "select size, encode(leaf, 'hex'), recorded_at from precedent.ledger_heads where chain_id = %s"

CURRENT_SCHEMA = "select version_num from public.schema_version"


def as_row(columns: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(columns, values, strict=True))

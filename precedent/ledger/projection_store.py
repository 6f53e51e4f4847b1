"""SQL that compares the projections with what the entries say, through the row functions that the append itself uses.

Two kinds: what is a row per entry (events, decisions, reviews) is compared a segment at a time; what is a state or counts
over all entries (outcomes' revisions, statistics, policies, flags, the epoch) is compared once, in one statement each.
`damaged` are the seqs of entries that failed by their bytes: nothing is concluded from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from precedent.ledger.entry import Kind
from precedent.ledger.erasure_projections import ERASURES, HOLDS, KEY_EPOCHS, RETENTION

# The core and the facts of entries, parsed once: without the fence each column of a row function would parse them again.
_PARSED = """
select e.seq, e.entry_id as id, ledger.instant(ledger.u64_at(e.envelope, 26)) as at, substr(e.envelope, 51, 32) as prev, e.leaf,
       convert_from(s.stored[array_position(s.section_ids, 1::smallint)], 'UTF8')::jsonb as core,
       convert_from(s.stored[array_position(s.section_ids, 2::smallint)], 'UTF8')::jsonb as facts,
       convert_from(s.stored[array_position(s.section_ids, 4::smallint)], 'UTF8')::jsonb as memory
from ledger.entry e join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal
where e.chain_id = %(chain)s and e.seq <> all (%(damaged)s::bigint[]) and {which}
offset 0
"""
_IN_SEGMENT = "e.seq between %(first)s and %(last)s and get_byte(e.envelope, 1) = {kind}"

EVENTS = "select r.* from j cross join lateral precedent.event_row(%(chain)s, j.seq, j.at, j.id, j.core, j.facts) r"
# Who approved is said by the review, whose row is held to its own entries.
DECISIONS = """
select x.* from j
cross join lateral precedent.decision_row(%(chain)s, j.seq, j.at, j.id, j.prev, j.leaf, j.core, j.facts, j.memory) r
left join precedent.reviews v on v.chain_id = %(chain)s and v.decision_id = j.id and v.status = 'approved'
cross join lateral jsonb_populate_record(r, case when v.reviewer is null then '{}' else
                                            jsonb_build_object('human_approver', v.reviewer) end) x
"""
# What the decision says of its review, and what the steps after it do.
_OPENING = "chain_id, decision_id, node, action, assigned_to, due_at, on_timeout, opened_at, kind"
_STATE = "chain_id, decision_id, status, closed_at, reviewer, answer, reason, reminded_at, raised_at, raised_to, timed_out_at, answer_id"
REVIEWS = f"select {_OPENING} from j cross join lateral precedent.review_row(%(chain)s, j.at, j.id, j.leaf, j.core) r"
# A cheap look at the bytes before anything is parsed: in canonical JSON the keys stand in this one way, and no text can hold them.
_MAY_OPEN_REVIEW = """ and (position('"requires_human":true'::bytea in s.stored[1]) > 0
    or position('"reversible_seconds":null'::bytea in s.stored[1]) = 0 or position('"audit_ppm":0,'::bytea in s.stored[1]) = 0)"""

_STEPPED = f"""(select {_STATE} from precedent.reviews where chain_id = %(chain)s and (
    status <> 'open'
    or num_nonnulls(closed_at, reviewer, answer, reason, reminded_at, raised_at, raised_to, timed_out_at, answer_id) > 0))"""
# A row that took a step for which there is no entry is compared with an open one.
STEPS = f"""
select %(chain)s::uuid as chain_id, decision_id, coalesce(x.status, 'open') as status, x.at as closed_at, x.reviewer, x.answer, x.reason,
       s.reminded_at, s.raised_at, s.raised_to, s.timed_out_at, x.id as answer_id
from (
    select (core ->> 'decision_id')::uuid as decision_id, min(at) filter (where core ->> 'op' = 'remind') as reminded_at,
           min(at) filter (where core ->> 'op' = 'raise') as raised_at,
           (array_agg(core ->> 'to' order by seq) filter (where core ->> 'op' = 'raise'))[1] as raised_to,
           min(at) filter (where core ->> 'op' = 'time_out') as timed_out_at
    from j group by 1
) s
full join {_STEPPED} f using (decision_id)
left join (
    select distinct on (1) (core ->> 'decision_id')::uuid as decision_id, id, at, precedent.review_status(core) as status,
           core ->> 'answer' as answer, core ->> 'reason' as reason,
           case when core ->> 'op' = 'answer' then core ->> 'principal' end as reviewer
    from j where precedent.review_status(core) is not null order by 1, seq
) x using (decision_id)
"""

OUTCOMES = """
select r.* from (select *, (row_number() over (partition by core ->> 'decision_id' order by seq))::integer as revision from j) j
cross join lateral precedent.outcome_row(%(chain)s, j.seq, j.at, j.id, j.core, j.facts, j.revision) r
"""

# What each outcome adds: its own reward, less that of the revision before; both only where they count.
STATISTICS = """
select %(chain)s::uuid as chain_id, experiment, variant, (1 + sum(sign * reward))::numeric(20, 6) as alpha,
       (1 + sum(sign * (1 - reward)))::numeric(20, 6) as beta, max(at) as updated_at
from (
    select j.at, j.core ->> 'experiment' as experiment, j.core ->> 'policy' as variant,
           case when r.counted then r.reward end as own,
           lag(case when r.counted then r.reward end) over (partition by r.decision_id order by r.seq) as earlier
    from j cross join lateral precedent.outcome_row(%(chain)s, j.seq, j.at, j.id, j.core, j.facts, 1) r
) o cross join lateral (values (1, o.own), (-1, o.earlier)) x (sign, reward)
where x.reward is not null
group by experiment, variant
"""

# A version's last own word decides; a later activation of another version of the name supersedes an active one. What is
# deactivated was active then, and no other activation lies between.
POLICIES = """
select %(chain)s::uuid as chain_id, p.core ->> 'name' as name, p.core ->> 'version' as version, p.core ->> 'node' as node,
       p.core ->> 'digest' as digest, p.facts ->> 'source_text' as source, p.facts -> 'document' as document,
       case when w.seq > coalesce(a.seq, -1) then 'withdrawn' when a.seq is null then 'published'
            when d.seq > a.seq then 'deactivated'
            when exists (select 1 from j o where o.core ->> 'op' = 'activate' and o.core ->> 'name' = p.core ->> 'name' and o.seq > a.seq)
            then 'superseded' else 'active' end as status,
       p.at as created_at, p.core ->> 'principal' as created_by, a.at as activated_at, p.id as entry_id, p.seq
from j p
left join lateral (select seq, at from j a where a.core ->> 'op' = 'activate' and a.core ->> 'name' = p.core ->> 'name'
                   and a.core ->> 'version' = p.core ->> 'version' order by seq desc limit 1) a on true
left join lateral (select seq from j w where w.core ->> 'op' = 'withdraw' and w.core ->> 'name' = p.core ->> 'name'
                   and w.core ->> 'version' = p.core ->> 'version' order by seq desc limit 1) w on true
left join lateral (select seq from j d where d.core ->> 'op' = 'deactivate' and d.core ->> 'name' = p.core ->> 'name'
                   and d.core ->> 'version' = p.core ->> 'version' order by seq desc limit 1) d on true
where p.core ->> 'op' = 'publish'
"""

PROPOSALS = """
select %(chain)s::uuid as chain_id, p.id, p.seq, p.core ->> 'node' as node, p.core ->> 'proposes' as op, p.core ->> 'name' as name,
       p.core ->> 'version' as version, p.core ->> 'replaces' as replaces,
       case when x.core is null then 'open' else precedent.proposal_status(x.core, p.id) end as status,
       p.core ->> 'reason' as reason, p.core ->> 'principal' as proposed_by, p.at as proposed_at,
       x.core ->> 'principal' as closed_by, x.at as closed_at, x.core ->> 'reason' as closing_reason
from j p
left join lateral (select x.core, x.at from j x where x.seq > p.seq and precedent.closes_proposal(
                       x.core, p.id, p.core ->> 'proposes', p.core ->> 'node', p.core ->> 'name') order by x.seq limit 1) x on true
where p.core ->> 'op' = 'propose'
"""

CHANGE_CONTROL = """
select distinct on (core ->> 'node') %(chain)s::uuid as chain_id, core ->> 'node' as node, core ->> 'op' = 'require' as second_person,
       core ->> 'reason' as reason, at as updated_at, core ->> 'principal' as updated_by
from j where core ->> 'op' in ('require', 'relax')
order by core ->> 'node', seq desc
"""

FLAGS = """
select distinct on (core ->> 'node', core ->> 'action') %(chain)s::uuid as chain_id, core ->> 'node' as node, core ->> 'action' as action,
       (core -> 'enabled')::boolean as enabled, (core -> 'max_level')::smallint as max_level, core ->> 'reason' as reason,
       at as updated_at, core ->> 'principal' as updated_by
from j
order by core ->> 'node', core ->> 'action', seq desc
"""
STATEMENTS = "select r.* from j cross join lateral precedent.asset_row(%(chain)s, j.seq, j.at, j.id, j.core) r"
EPOCH = "select %(chain)s::uuid as chain_id, max(seq) + 1 as epoch from j having max(seq) is not null"


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not as the entries say; `expected` or `found` is None where one side has no row. `total` counts them all."""

    table: str
    expected: dict[str, Any] | None
    found: dict[str, Any] | None
    total: int

    @property
    def columns(self) -> list[str]:
        """The columns that differ."""
        if self.expected is None or self.found is None:
            return []
        return [name for name, value in self.expected.items() if self.found[name] != value]


@dataclass(frozen=True, slots=True)
class Projection:
    """A table, its key beside the chain, and the query of its rows over the parsed entries `j` that are chosen by `which`.

    `found` is what of the table is compared with them, where that is not all of it.
    """

    table: str
    key: tuple[str, ...]
    rows: str
    which: str
    found: str = ""


def _per_entry(table: str, key: str, rows: str, kind: Kind, more: str = "", found: str = "") -> Projection:
    return Projection(table, (key,), rows, _IN_SEGMENT.format(kind=int(kind)) + more, found)


PER_ENTRY = (
    _per_entry("events", "id", EVENTS, Kind.EVENT),
    _per_entry("decisions", "id", DECISIONS, Kind.DECISION),
    _per_entry(
        "reviews",
        "decision_id",
        REVIEWS,
        Kind.DECISION,
        _MAY_OPEN_REVIEW,
        f"(select {_OPENING} from precedent.reviews where chain_id = %(chain)s)",
    ),
)

# These entries are few, and the scan of the entries has told where they stand: no second pass over all entries.
_CONTROL = "(e.seq = any (%(control)s::bigint[]) or e.seq > %(head)s) and get_byte(e.envelope, 1) in ({kinds})"
_OUTCOME = "get_byte(e.envelope, 1) = 4"
OVER_ALL = (
    Projection("reviews", ("decision_id",), STEPS, _CONTROL.format(kinds=3), _STEPPED),
    Projection("outcomes", ("id",), OUTCOMES, _OUTCOME),
    Projection("policy_variants_stats", ("experiment", "variant"), STATISTICS, _OUTCOME),
    Projection("policy_versions", ("name", "version"), POLICIES, _CONTROL.format(kinds=5)),
    Projection("policy_proposals", ("id",), PROPOSALS, _CONTROL.format(kinds=5)),
    Projection("change_control", ("node",), CHANGE_CONTROL, _CONTROL.format(kinds=5)),
    Projection("node_flags", ("node", "action"), FLAGS, _CONTROL.format(kinds=6)),
    Projection("control_epoch", (), EPOCH, _CONTROL.format(kinds="5, 6")),
    Projection("erasures", ("seq",), ERASURES, _CONTROL.format(kinds=8)),
    Projection("legal_holds", ("id",), HOLDS, _CONTROL.format(kinds=8)),
    Projection("retention_rules", ("node", "action"), RETENTION, _CONTROL.format(kinds=8)),
    Projection("key_epochs", ("epoch",), KEY_EPOCHS, _CONTROL.format(kinds=9)),
    Projection("asset_statements", ("id",), STATEMENTS, _CONTROL.format(kinds=10)),
)

TABLES = tuple(dict.fromkeys(projection.table for projection in (*PER_ENTRY, *OVER_ALL)))
_WITH_SEQ = frozenset({"outcomes", "policy_versions", "policy_proposals", "asset_statements"})

_COMPARE = """
with j as materialized ({parsed}), expected as ({rows})
select to_jsonb(x), to_jsonb(f), count(*) over ()
from expected x {join} join {found} f on f.chain_id = x.chain_id{on}
where x is distinct from f{but}
limit 100
"""

_EXTRA = """
select null, to_jsonb(f), count(*) over ()
from precedent.{table} f
where f.chain_id = %(chain)s and f.seq >= %(from)s and f.seq < %(to)s
  and not exists (select 1 from ledger.entry e where e.chain_id = f.chain_id and e.entry_id = f.id
                  and (get_byte(e.envelope, 1) = {kind} or e.seq = any (%(damaged)s::bigint[])))
limit 100
"""

_EXTRA_REVIEWS = """
select null, to_jsonb(f), count(*) over ()
from precedent.reviews f
where f.chain_id = %(chain)s and not exists (
    select 1 from ledger.entry e join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal
    where e.chain_id = f.chain_id and e.entry_id = f.decision_id
      and (e.seq = any (%(damaged)s::bigint[])
           or (get_byte(e.envelope, 1) = 2 and exists (
               select 1 from precedent.review_row(
                   e.chain_id, ledger.instant(ledger.u64_at(e.envelope, 26)), e.entry_id, e.leaf,
                   convert_from(s.stored[1], 'UTF8')::jsonb)))))
limit 100
"""


def count_rows(connection: psycopg.Connection, chain_id: UUID) -> int:
    """How many rows of the chain all projections have."""
    counts = " + ".join(f"(select count(*) from precedent.{table} where chain_id = %(chain)s)" for table in TABLES)
    row = connection.execute(f"select {counts}".encode(), {"chain": chain_id}).fetchone()
    return int(row[0]) if row else 0


def compare_segment(
    connection: psycopg.Connection, projection: Projection, chain_id: UUID, first: int, last: int, damaged: Sequence[int]
) -> list[Difference]:
    """Rows that the entries `first` … `last` should have in a projection and that are wrong or missing there."""
    parameters = {"chain": chain_id, "first": first, "last": last, "damaged": list(damaged)}
    return _differences(
        connection, projection.table, _compare(projection, "left", projection.found or f"precedent.{projection.table}"), parameters
    )


def find_extra(
    connection: psycopg.Connection, table: str, chain_id: UUID, from_seq: int, to_seq: int, damaged: Sequence[int]
) -> list[Difference]:
    """Rows of `events` or `decisions` whose seq says `from_seq` … below `to_seq`, that no entry of their kind accounts for."""
    kind = {"events": Kind.EVENT, "decisions": Kind.DECISION}[table]
    parameters = {"chain": chain_id, "from": from_seq, "to": to_seq, "damaged": list(damaged)}
    return _differences(connection, table, _EXTRA.format(table=table, kind=int(kind)), parameters)


def find_extra_reviews(connection: psycopg.Connection, chain_id: UUID, damaged: Sequence[int]) -> list[Difference]:
    """Reviews that no decision asked for."""
    return _differences(connection, "reviews", _EXTRA_REVIEWS, {"chain": chain_id, "damaged": list(damaged)})


def compare_all(
    connection: psycopg.Connection, projection: Projection, chain_id: UUID, head: int, control: Sequence[int], damaged: Sequence[int]
) -> list[Difference]:
    """Rows of a whole projection that are wrong, missing or extra."""
    found = projection.found or f"(select * from precedent.{projection.table} where chain_id = %(chain)s)"
    parameters = {"chain": chain_id, "head": head, "control": list(control), "damaged": list(damaged)}
    return _differences(connection, projection.table, _compare(projection, "full", found), parameters)


def _compare(projection: Projection, join: str, found: str) -> str:
    on = "".join(f" and f.{column} = x.{column}" for column in projection.key)
    parsed = _PARSED.format(which=projection.which)
    # What a damaged entry left behind is not extra: the entry was left out of what is expected.
    but = " and (x.chain_id is not null or f.seq <> all (%(damaged)s::bigint[]))" if projection.table in _WITH_SEQ else ""
    return _COMPARE.format(parsed=parsed, rows=projection.rows, join=join, found=found, on=on, but=but)


def _differences(connection: psycopg.Connection, table: str, query: str, parameters: dict[str, Any]) -> list[Difference]:
    return [Difference(table, *row) for row in connection.execute(query.encode(), parameters)]


def lock_chain(connection: psycopg.Connection, chain_id: UUID) -> None:
    """Nobody appends to the chain until this transaction ends."""
    connection.execute("select 1 from ledger.chain where id = %s for no key update", (chain_id,))


def empty_projections(connection: psycopg.Connection, chain_id: UUID) -> None:
    for table in TABLES:
        connection.execute(f"delete from precedent.{table} where chain_id = %s".encode(), (chain_id,))


_PROJECT = """
select precedent.project(
    %(chain)s, array_agg(seq order by seq), array_agg(at order by seq), array_agg(prev order by seq), array_agg(leaf order by seq),
    array_agg(id order by seq), array_agg(kind order by seq), array_agg(core order by seq), array_agg(facts order by seq),
    array_agg(memory order by seq), false)
from (
    select e.seq, ledger.u64_at(e.envelope, 26) as at, substr(e.envelope, 51, 32) as prev, e.leaf, e.entry_id as id,
           get_byte(e.envelope, 1)::smallint as kind,
           convert_from(s.stored[array_position(s.section_ids, 1::smallint)], 'UTF8')::jsonb as core,
           convert_from(s.stored[array_position(s.section_ids, 2::smallint)], 'UTF8')::jsonb as facts,
           convert_from(s.stored[array_position(s.section_ids, 4::smallint)], 'UTF8')::jsonb as memory
    from ledger.entry e join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal
    where e.chain_id = %(chain)s and e.seq between %(first)s and %(last)s
) entries
having count(*) > 0
"""


def project_range(connection: psycopg.Connection, chain_id: UUID, first: int, last: int) -> None:
    """Project the entries `first` … `last` again; the ranges must come in order."""
    connection.execute(_PROJECT, {"chain": chain_id, "first": first, "last": last})

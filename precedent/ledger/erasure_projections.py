"""SQL of what the entries of kind erasure and key say all together, over the parsed entries `j`; as in `projection_store.py`."""

from __future__ import annotations

ERASURES = "select r.* from j cross join lateral precedent.erasure_row(%(chain)s, j.seq, j.at, j.id, j.core) r"

HOLDS = """
select %(chain)s::uuid as chain_id, h.id, h.seq, (h.core ->> 'subject_id')::uuid as subject_id, h.core ->> 'node' as node,
       (h.core ->> 'until')::timestamptz as until, h.core ->> 'reason' as reason, h.at as placed_at, h.core ->> 'principal' as placed_by,
       l.at as lifted_at, l.core ->> 'principal' as lifted_by
from j h
left join lateral (select at, core from j l where l.core ->> 'op' = 'lift' and (l.core ->> 'hold_id')::uuid = h.id
                   order by seq limit 1) l on true
where h.core ->> 'op' = 'hold'
"""

RETENTION = """
select distinct on (core ->> 'node', core ->> 'action') %(chain)s::uuid as chain_id, core ->> 'node' as node, core ->> 'action' as action,
       (core -> 'days')::integer as days, core ->> 'reason' as reason, at as updated_at, core ->> 'principal' as updated_by
from j where core ->> 'op' = 'retain'
order by core ->> 'node', core ->> 'action', seq desc
"""

KEY_EPOCHS = """
select %(chain)s::uuid as chain_id, e.epoch, min(e.opened) as opened_seq, min(e.destroyed) as destroyed_seq
from j cross join lateral (
    select j.core ->> 'epoch', j.seq, null::bigint
    union all select d, null, j.seq from jsonb_array_elements_text(j.core -> 'destroyed') d) e (epoch, opened, destroyed)
where j.core ->> 'op' = 'rotate_epoch'
group by e.epoch
"""

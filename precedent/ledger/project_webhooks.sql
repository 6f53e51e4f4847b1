-- Webhooks: each entry that an endpoint subscribed to leaves it one message, in the entry's own transaction. Nothing personal, nothing
-- decided on and no free text goes along: names, ids, and the leaf's hash, by which the receiver knows which entry was meant.

create or replace function precedent.webhook_topics(p_kind smallint, c jsonb) returns text[] language sql immutable as $$
select case p_kind
    when 2 then case when c -> 'call' ->> 'as_of' is null then
        array['decision.recorded'] || case when (c -> 'result' -> 'requires_human')::boolean then array['decision.escalated'] end end
    when 3 then case c ->> 'op' when 'answer' then array['review.answered'] when 'time_out' then array['review.timed_out'] end
    when 4 then case when c ->> 'as_of' is null then array['outcome.recorded'] end
    when 5 then case when c ->> 'op' in ('activate', 'deactivate', 'withdraw') then array['policy.changed'] end
    when 6 then array['flag.changed'] end
$$;

create or replace function precedent.webhook_data(p_kind smallint, p_seq bigint, p_at bigint, p_id uuid, p_leaf bytea, c jsonb)
returns jsonb language sql immutable as $$
select jsonb_strip_nulls(jsonb_build_object(
    'entry_id', p_id, 'seq', p_seq, 'hash', encode(p_leaf, 'hex'), 'recorded_us', p_at, 'node', c -> 'node', 'action', c -> 'action',
    'decision_id', case when p_kind = 2 then p_id::text else c ->> 'decision_id' end,
    'policy', case when p_kind = 5 then (c ->> 'name') || '@' || (c ->> 'version') end,
    'enabled', case when p_kind = 6 then c -> 'enabled' end))
$$;

create or replace function precedent.enqueue_webhooks(
    p_chain uuid, p_seqs bigint[], p_ats bigint[], p_leaves bytea[], p_ids uuid[], p_kinds smallint[], p_cores jsonb[]
) returns void language sql as $$
insert into precedent.outbox (chain_id, entry_id, endpoint_id, topic, payload, created_at, next_attempt_at)
select p_chain, b.id, w.id, t.topic, precedent.webhook_data(b.kind, b.seq, b.at, b.id, b.leaf, b.core), ledger.instant(b.at), ledger.instant(b.at)
from unnest(p_seqs, p_ats, p_leaves, p_ids, p_kinds, p_cores) b (seq, at, leaf, id, kind, core)
cross join lateral unnest(precedent.webhook_topics(b.kind, b.core)) t (topic)
join precedent.webhook_endpoints w on w.chain_id = p_chain and w.status = 'active' and t.topic = any (w.topics)
where b.at is not null
order by b.seq
$$;

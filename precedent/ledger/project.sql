-- Projections: each is one function from an entry to its row. The append, a rebuild and the check of verification call the
-- same ones, so that there is no second opinion on what an entry means.

-- Names of earlier versions.
drop function if exists precedent.open_review(uuid, timestamptz, uuid, jsonb);
drop function if exists precedent.enqueue(uuid, timestamptz, uuid, jsonb);
drop function if exists precedent.project(uuid, bigint[], bigint[], bytea[], bytea[], uuid[], smallint[], bytea[], bytea[], bytea[], boolean);
drop function if exists precedent.review_row(uuid, timestamptz, uuid, jsonb);

create or replace function precedent.event_row(
    p_chain uuid, p_seq bigint, p_at timestamptz, p_id uuid, c jsonb, f jsonb
) returns setof precedent.events language sql stable rows 1 as $$
select p_chain, p_id, p_seq, c ->> 'type', coalesce((c ->> 'ts')::timestamptz, (c ->> 'as_of')::timestamptz, p_at),
       coalesce((c ->> 'as_of')::timestamptz, p_at), p_at, c ->> 'actor', c ->> 'correlation_id', c ->> 'source',
       (c ->> 'subject_id')::uuid, c ->> 'principal', c ->> 'as_of' is not null, (f ->> 'payload_text')::jsonb
$$;

-- human_approver is null: the entry of a review that approves sets it.
create or replace function precedent.decision_row(
    p_chain uuid, p_seq bigint, p_at timestamptz, p_id uuid, p_prev bytea, p_leaf bytea, c jsonb, f jsonb, m jsonb
) returns setof precedent.decisions language sql stable rows 1 as $$
select p_chain, p_id, p_seq, c ->> 'node', c ->> 'action', d ->> 'policy', d ->> 'policy_digest', d ->> 'variant',
       f -> 'facts', r, r ->> 'verdict', (r -> 'level')::smallint, r ->> 'rule', r -> 'reasons' -> 0 ->> 'code',
       (r -> 'effective')::boolean, (r -> 'requires_human')::boolean, null::text, ((l -> 'latency_us')::numeric / 1000)::numeric(10, 3),
       coalesce((l ->> 'as_of')::timestamptz, p_at), coalesce((l ->> 'as_of')::timestamptz, p_at), p_at,
       l ->> 'correlation_id', (l ->> 'event_id')::uuid, (c ->> 'subject_id')::uuid, c -> 'entities', m -> 'features',
       l ->> 'principal', l ->> 'as_of' is not null, p_prev, p_leaf, nullif(d -> 'probabilities', 'null')
from (select c -> 'derivation' as d, c -> 'result' as r, c -> 'call' as l) x
$$;

-- The revision is the place among the outcomes of one decision, in order of seq.
create or replace function precedent.outcome_row(
    p_chain uuid, p_seq bigint, p_at timestamptz, p_id uuid, c jsonb, f jsonb, p_revision integer
) returns setof precedent.outcomes language sql stable rows 1 as $$
select p_chain, (c ->> 'decision_id')::uuid, p_revision, p_id, p_seq, p_at, coalesce((c ->> 'as_of')::timestamptz, p_at),
       coalesce((c ->> 'observed_at')::timestamptz, (c ->> 'as_of')::timestamptz, p_at), f -> 'metrics',
       ((c ->> 'reward_ppm')::numeric / 1000000)::numeric(7, 6), (c -> 'counted')::boolean, c ->> 'principal',
       c ->> 'as_of' is not null, c ->> 'correlation_id'
$$;

-- A reward in [0, 1] splits between alpha and beta; p_sign is -1 to take an earlier revision's back.
create or replace function precedent.count_reward(
    p_chain uuid, p_experiment text, p_variant text, p_reward numeric, p_sign integer, p_at timestamptz
) returns void language sql as $$
insert into precedent.policy_variants_stats as s (chain_id, experiment, variant, alpha, beta, updated_at)
values (p_chain, p_experiment, p_variant, 1 + p_sign * p_reward, 1 + p_sign * (1 - p_reward), p_at)
on conflict (chain_id, experiment, variant) do update
set alpha = s.alpha + p_sign * p_reward, beta = s.beta + p_sign * (1 - p_reward), updated_at = p_at
$$;

create or replace function precedent.project_outcome(
    p_chain uuid, p_seq bigint, p_at timestamptz, p_id uuid, c jsonb, f jsonb
) returns void language plpgsql as $$
declare
    v_before precedent.outcomes;
    v_now precedent.outcomes;
begin
    select * into v_before from precedent.outcomes o
    where o.chain_id = p_chain and o.decision_id = (c ->> 'decision_id')::uuid order by o.revision desc limit 1;
    insert into precedent.outcomes
    select * from precedent.outcome_row(p_chain, p_seq, p_at, p_id, c, f, coalesce(v_before.revision, 0) + 1)
    returning * into v_now;
    if v_before.counted and v_before.reward is not null then
        perform precedent.count_reward(p_chain, c ->> 'experiment', c ->> 'policy', v_before.reward, -1, p_at);
    end if;
    if v_now.counted and v_now.reward is not null then
        perform precedent.count_reward(p_chain, c ->> 'experiment', c ->> 'policy', v_now.reward, 1, p_at);
    end if;
end
$$;

-- Whether the policy step `c` closes an open proposal, and as what.
create or replace function precedent.closes_proposal(c jsonb, p_id uuid, p_op text, p_node text, p_name text) returns boolean
language sql immutable as $$
select coalesce(c ->> 'proposal' = p_id::text, false)
    or (p_op = 'activate' and c ->> 'op' in ('activate', 'deactivate', 'withdraw') and c ->> 'name' = p_name)
    or (p_op = 'relax' and c ->> 'op' in ('require', 'relax') and c ->> 'node' = p_node)
$$;

create or replace function precedent.proposal_status(c jsonb, p_id uuid) returns text language sql immutable as $$
select case when c ->> 'proposal' is distinct from p_id::text then 'lapsed' when c ->> 'op' = 'reject' then 'rejected' else 'approved' end
$$;

create or replace function precedent.project_policy(
    p_chain uuid, p_seq bigint, p_at timestamptz, p_id uuid, c jsonb, f jsonb
) returns void language plpgsql as $$
begin
    -- Whoever answers a proposal closes it; any other step of the same policy, or of the node's setting, makes it lapse.
    update precedent.policy_proposals p
    set status = precedent.proposal_status(c, p.id), closed_by = c ->> 'principal', closed_at = p_at, closing_reason = c ->> 'reason'
    where p.chain_id = p_chain and p.status = 'open' and precedent.closes_proposal(c, p.id, p.op, p.node, p.name);
    case c ->> 'op'
    when 'publish' then
        insert into precedent.policy_versions (chain_id, name, version, node, digest, source, document, status, created_at, created_by, entry_id, seq)
        values (p_chain, c ->> 'name', c ->> 'version', c ->> 'node', c ->> 'digest', f ->> 'source_text', f -> 'document', 'published',
                p_at, c ->> 'principal', p_id, p_seq);
    when 'activate' then
        -- One version of a name is active; the one before stays pinnable, for it was activated and is not withdrawn.
        update precedent.policy_versions v set status = 'superseded'
        where v.chain_id = p_chain and v.name = c ->> 'name' and v.status = 'active';
        update precedent.policy_versions v set status = 'active', activated_at = p_at
        where v.chain_id = p_chain and v.name = c ->> 'name' and v.version = c ->> 'version';
        if not found then
            raise exception 'couldn''t activate %@%: it is not published', c ->> 'name', c ->> 'version' using errcode = 'PL006';
        end if;
    when 'withdraw' then
        update precedent.policy_versions v set status = 'withdrawn'
        where v.chain_id = p_chain and v.name = c ->> 'name' and v.version = c ->> 'version';
        if not found then
            raise exception 'couldn''t withdraw %@%: it is not published', c ->> 'name', c ->> 'version' using errcode = 'PL006';
        end if;
    when 'deactivate' then
        update precedent.policy_versions v set status = 'deactivated'
        where v.chain_id = p_chain and v.name = c ->> 'name' and v.version = c ->> 'version' and v.status = 'active';
        if not found then
            raise exception 'couldn''t deactivate %@%: it is not active', c ->> 'name', c ->> 'version' using errcode = 'PL006';
        end if;
    when 'propose' then
        insert into precedent.policy_proposals (chain_id, id, seq, node, op, name, version, replaces, status, reason, proposed_by, proposed_at)
        values (p_chain, p_id, p_seq, c ->> 'node', c ->> 'proposes', c ->> 'name', c ->> 'version', c ->> 'replaces', 'open',
                c ->> 'reason', c ->> 'principal', p_at);
    when 'reject' then
        null;  -- it closes its proposal, above
    when 'require', 'relax' then
        insert into precedent.change_control as n (chain_id, node, second_person, reason, updated_at, updated_by)
        values (p_chain, c ->> 'node', c ->> 'op' = 'require', c ->> 'reason', p_at, c ->> 'principal')
        on conflict (chain_id, node) do update set second_person = excluded.second_person, reason = excluded.reason,
            updated_at = excluded.updated_at, updated_by = excluded.updated_by;
    end case;
end
$$;

create or replace function precedent.project_flag(p_chain uuid, p_at timestamptz, c jsonb) returns void language sql as $$
insert into precedent.node_flags as n (chain_id, node, action, enabled, max_level, reason, updated_at, updated_by)
values (p_chain, c ->> 'node', c ->> 'action', (c -> 'enabled')::boolean, (c -> 'max_level')::smallint, c ->> 'reason', p_at, c ->> 'principal')
on conflict (chain_id, node, action) do update
set enabled = excluded.enabled, max_level = excluded.max_level, reason = excluded.reason, updated_at = excluded.updated_at, updated_by = excluded.updated_by
$$;

-- Whom a decision tells something after its commit: written with the entry, drained later, at least once. Of what was imported
-- nobody is told.
create or replace function precedent.messages_of(c jsonb) returns table (topic text, recipient text) language sql stable as $$
select x.topic, x.recipient
from (values ('review.opened', c -> 'result' ->> 'review_to', (c -> 'result' -> 'requires_human')::boolean),
             ('decision.notify', c -> 'result' ->> 'notify', c -> 'result' ->> 'notify' is not null)) x (topic, recipient, is_wanted)
where x.is_wanted and c -> 'call' ->> 'as_of' is null
$$;

create or replace function precedent.erasure_row(
    p_chain uuid, p_seq bigint, p_at timestamptz, p_id uuid, c jsonb
) returns setof precedent.erasures language sql stable rows 1 as $$
select p_chain, p_seq, p_id, (c ->> 'subject_id')::uuid, jsonb_array_length(c -> 'erased'), c ->> 'reason', c ->> 'principal', p_at
where c ->> 'op' = 'erase'
$$;

-- An erasure, or what bars one: a hold, its lifting, a rule of retention.
create or replace function precedent.project_erasure(
    p_chain uuid, p_seq bigint, p_at timestamptz, p_id uuid, c jsonb
) returns void language plpgsql as $$
begin
    case c ->> 'op'
    when 'erase' then
        insert into precedent.erasures select * from precedent.erasure_row(p_chain, p_seq, p_at, p_id, c);
    when 'hold' then
        insert into precedent.legal_holds (chain_id, id, seq, subject_id, node, until, reason, placed_at, placed_by)
        values (p_chain, p_id, p_seq, (c ->> 'subject_id')::uuid, c ->> 'node', (c ->> 'until')::timestamptz, c ->> 'reason', p_at,
                c ->> 'principal');
    when 'lift' then
        update precedent.legal_holds h set lifted_at = p_at, lifted_by = c ->> 'principal'
        where h.chain_id = p_chain and h.id = (c ->> 'hold_id')::uuid and h.lifted_at is null;
        if not found then
            raise exception 'couldn''t lift %: no such hold stands', c ->> 'hold_id' using errcode = 'PL006';
        end if;
    when 'retain' then
        insert into precedent.retention_rules as r (chain_id, node, action, days, reason, updated_at, updated_by)
        values (p_chain, c ->> 'node', c ->> 'action', (c -> 'days')::integer, c ->> 'reason', p_at, c ->> 'principal')
        on conflict (chain_id, node, action) do update
        set days = excluded.days, reason = excluded.reason, updated_at = excluded.updated_at, updated_by = excluded.updated_by;
    end case;
end
$$;

-- Entries of kind key that say nothing of epochs concern other keys.
create or replace function precedent.project_key(p_chain uuid, p_seq bigint, c jsonb) returns void language sql as $$
insert into precedent.key_epochs as k (chain_id, epoch, opened_seq, destroyed_seq)
select p_chain, e.epoch, min(e.opened), min(e.destroyed)
from (select c ->> 'epoch', p_seq, null::bigint
      union all select d, null, p_seq from jsonb_array_elements_text(c -> 'destroyed') d) e (epoch, opened, destroyed)
where c ->> 'op' = 'rotate_epoch'
group by e.epoch
on conflict (chain_id, epoch) do update
set opened_seq = coalesce(k.opened_seq, excluded.opened_seq), destroyed_seq = coalesce(k.destroyed_seq, excluded.destroyed_seq)
$$;

-- Entries of kind asset that state the rows of a partition; others say other things of what is derived.
create or replace function precedent.asset_row(
    p_chain uuid, p_seq bigint, p_at timestamptz, p_id uuid, c jsonb
) returns setof precedent.asset_statements language sql stable rows 1 as $$
select p_chain, p_id, p_seq, c ->> 'asset', c ->> 'partition', c ->> 'digest', (c -> 'rows')::bigint, (c -> 'ledger' -> 'size')::bigint,
       (c ->> 'supersedes')::uuid, c, p_at
where c ->> 'op' = 'materialise'
$$;

-- Entries in order of seq, arrays of one length; without a time in `p_ats` an entry is not projected. `p_live` is false in a rebuild, which must not send anything again.
create or replace function precedent.project(
    p_chain uuid, p_seqs bigint[], p_ats bigint[], p_prevs bytea[], p_leaves bytea[], p_ids uuid[], p_kinds smallint[],
    p_cores jsonb[], p_facts jsonb[], p_memories jsonb[], p_live boolean
) returns void language plpgsql as $$
declare
    v_row record;
    v_epoch bigint;
begin
    if p_kinds @> array[1::smallint] then
        insert into precedent.events
        select r.* from unnest(p_seqs, p_ats, p_ids, p_kinds, p_cores, p_facts) b (seq, at, id, kind, core, facts)
        cross join lateral precedent.event_row(p_chain, b.seq, ledger.instant(b.at), b.id, b.core, b.facts) r
        where b.kind = 1 and b.at is not null;
    end if;
    if p_kinds @> array[2::smallint] then
        with made as materialized (
            select b.seq, ledger.instant(b.at) as at, b.id, b.prev, b.leaf, b.core, b.facts, b.memory
            from unnest(p_seqs, p_ats, p_ids, p_kinds, p_prevs, p_leaves, p_cores, p_facts, p_memories)
                b (seq, at, id, kind, prev, leaf, core, facts, memory)
            where b.kind = 2 and b.at is not null
        ), recorded as (
            insert into precedent.decisions
            select r.* from made m
            cross join lateral precedent.decision_row(p_chain, m.seq, m.at, m.id, m.prev, m.leaf, m.core, m.facts, m.memory) r
        ), asked as (
            insert into precedent.reviews
            select r.* from made m cross join lateral precedent.review_row(p_chain, m.at, m.id, m.leaf, m.core) r
        )
        insert into precedent.outbox (chain_id, entry_id, topic, payload, created_at, next_attempt_at)
        select p_chain, m.id, s.topic,
               jsonb_build_object('decision_id', m.id, 'node', m.core -> 'node', 'action', m.core -> 'action', 'to', s.recipient), m.at, m.at
        from made m cross join lateral precedent.messages_of(m.core) s
        where p_live
        order by m.seq;
    end if;
    if p_kinds @> array[10::smallint] then
        insert into precedent.asset_statements
        select r.* from unnest(p_seqs, p_ats, p_ids, p_kinds, p_cores) b (seq, at, id, kind, core)
        cross join lateral precedent.asset_row(p_chain, b.seq, ledger.instant(b.at), b.id, b.core) r
        where b.kind = 10 and b.at is not null;
    end if;
    if p_kinds && array[3, 4, 5, 6, 8, 9]::smallint[] then
        for v_row in
            select b.seq, ledger.instant(b.at) as at, b.id, b.kind, b.core, b.facts
            from unnest(p_seqs, p_ats, p_ids, p_kinds, p_cores, p_facts) b (seq, at, id, kind, core, facts)
            where b.kind in (3, 4, 5, 6, 8, 9) and b.at is not null order by b.seq
        loop
            case v_row.kind
            when 3 then
                perform precedent.project_review(p_chain, v_row.at, v_row.id, v_row.core, p_live);
            when 4 then
                perform precedent.project_outcome(p_chain, v_row.seq, v_row.at, v_row.id, v_row.core, v_row.facts);
            when 5 then
                perform precedent.project_policy(p_chain, v_row.seq, v_row.at, v_row.id, v_row.core, v_row.facts);
                v_epoch := v_row.seq + 1;
            when 6 then
                perform precedent.project_flag(p_chain, v_row.at, v_row.core);
                v_epoch := v_row.seq + 1;
            when 8 then
                perform precedent.project_erasure(p_chain, v_row.seq, v_row.at, v_row.id, v_row.core);
            when 9 then
                perform precedent.project_key(p_chain, v_row.seq, v_row.core);
            end case;
        end loop;
    end if;
    if p_live and exists (select 1 from precedent.webhook_endpoints w where w.chain_id = p_chain and w.status = 'active') then
        perform precedent.enqueue_webhooks(p_chain, p_seqs, p_ats, p_leaves, p_ids, p_kinds, p_cores);
    end if;
    if v_epoch is not null then
        insert into precedent.control_epoch (chain_id, epoch) values (p_chain, v_epoch)
        on conflict (chain_id) do update set epoch = excluded.epoch;
        -- A hint only: who misses it is caught by the epoch's check.
        perform pg_notify('precedent_control', p_chain::text);
    end if;
end
$$;

create or replace view precedent.ledger_heads as
select c.id as chain_id, c.name as chain, coalesce(e.seq + 1, 0) as size, e.leaf, ledger.instant(ledger.u64_at(e.envelope, 26)) as recorded_at
from ledger.chain c
left join lateral (select * from ledger.entry e where e.chain_id = c.id order by e.seq desc limit 1) e on true;

-- The only way for personal data to leave the record, and for a subject's key to change: entry first, then the rows, one
-- transaction. Both run inside the append's lock of the chain, so that nobody names a subject while it is erased.

-- Entries that hold personal sections of a subject. By the projections' indexes: the cores can't be searched.
create or replace function ledger.personal_seqs(p_chain uuid, p_subject uuid) returns setof bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
select s.seq
from (select e.seq from precedent.events e where e.chain_id = p_chain and e.subject_id = p_subject
      union select d.seq from precedent.decisions d where d.chain_id = p_chain and d.subject_id = p_subject) named
cross join lateral (select s.seq from ledger.section s where s.chain_id = p_chain and s.seq = named.seq and s.is_personal offset 0) s
order by 1
$$;

-- What forbids the erasure of a subject now, and until when; null is until somebody lifts it. The clock is the database's.
create or replace function ledger.erasure_bars(p_chain uuid, p_subject uuid) returns table (rule text, until timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
select format('legal hold %s (%s)', h.id, h.reason), h.until
from precedent.legal_holds h
where h.chain_id = p_chain and h.lifted_at is null and (h.until is null or h.until > clock_timestamp())
  and (h.subject_id = p_subject
       or exists (select 1 from precedent.decisions d where d.chain_id = p_chain and d.subject_id = p_subject and d.node = h.node))
union all
select format('retention of %s/%s for %s days', r.node, r.action, r.days), max(k.ts + r.days * interval '1 day')
from (select d.node, d.action, d.ts from precedent.decisions d where d.chain_id = p_chain and d.subject_id = p_subject
      union all
      select 'events', e.type, e.ts from precedent.events e where e.chain_id = p_chain and e.subject_id = p_subject) k
cross join lateral (
    select * from precedent.retention_rules r
    where r.chain_id = p_chain and r.node = k.node and r.action in (k.action, '*') order by r.action = '*' limit 1
) r
group by r.node, r.action, r.days
having max(k.ts + r.days * interval '1 day') > clock_timestamp()
order by 2 desc nulls first
$$;

-- An entry of one section, the core.
create or replace function ledger.append_core(
    p_chain uuid, p_kind smallint, p_entry uuid, p_salt bytea, p_core bytea
) returns table (status text, seq bigint, envelope bytea, leaf bytea)
language sql
as $$
select a.statuses[1], a.seqs[1], a.envelopes[1], a.leaves[1]
from ledger.append(p_chain, array[p_entry], array[p_kind], array[null::bigint], array[null::bytea], array[null::bytea],
                   array[p_salt || p_core], array[null::bytea], array[null::bytea], array[null::bytea], array[null::bytea],
                   '{}', '{}', '{}', '{}', '{}') a
$$;

-- What memory keeps of a subject: vectors of its decisions, and snapshots that name one of them, which are then made anew without it.
create or replace function precedent.forget_subject(p_chain uuid, p_subject uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from precedent.decision_embeddings_384 e where e.chain_id = p_chain and e.subject_id = p_subject;
    delete from precedent.decision_embeddings_1536 e where e.chain_id = p_chain and e.subject_id = p_subject;
    with gone as (
        delete from precedent.knowledge_snapshots s
        where s.chain_id = p_chain
          and s.cites && array(select d.id from precedent.decisions d where d.chain_id = p_chain and d.subject_id = p_subject)
        returning s.id
    ), small as (
        delete from precedent.snapshot_embeddings_384 v using gone where v.chain_id = p_chain and v.snapshot_id = gone.id
    )
    delete from precedent.snapshot_embeddings_1536 v using gone where v.chain_id = p_chain and v.snapshot_id = gone.id;
end
$$;

create or replace function ledger.erase(
    p_chain uuid, p_entry uuid, p_salt bytea, p_core bytea
) returns table (seq bigint, envelope bytea, leaf bytea)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    c jsonb := convert_from(p_core, 'UTF8')::jsonb;
    v_subject uuid := (c ->> 'subject_id')::uuid;
    v_is_retry boolean := exists (select 1 from ledger.entry e where e.chain_id = p_chain and e.entry_id = p_entry);
    v_claims bytea[];
    v_entry record;
    v_bar record;
    v_listed jsonb;
begin
    if c ->> 'op' is distinct from 'erase' or v_subject is null then
        raise exception 'couldn''t erase: the entry says %, of subject %', c ->> 'op', v_subject using errcode = 'PL003';
    end if;
    -- Idempotency keys are found by entry without an index, which each append would have to pay for: that takes its time, so it comes
    -- before the lock. An entry that is added meanwhile is found out below.
    v_claims := array(
        select i.claim from precedent.idempotency i
        where i.chain_id = p_chain
          and i.entry_id in (select e.entry_id from ledger.entry e where e.chain_id = p_chain and e.seq in (select ledger.personal_seqs(p_chain, v_subject)))
    );
    -- From here on we hold the chain's row. If we crash before the commit, entry and rows are as they were.
    select * into v_entry from ledger.append_core(p_chain, 8::smallint, p_entry, p_salt, p_core);
    if v_entry.status <> 'appended' then
        raise exception 'subject % is erased, or never was', v_subject using errcode = 'PL008';
    end if;
    if not v_is_retry then
        select coalesce(jsonb_agg(jsonb_build_array(s, 3) order by s), '[]') into v_listed from ledger.personal_seqs(p_chain, v_subject) s;
        if c -> 'erased' is distinct from v_listed then
            raise exception 'an entry about subject % was added meanwhile', v_subject using errcode = 'PL009';
        end if;
        select * into v_bar from ledger.erasure_bars(p_chain, v_subject) limit 1;
        if found then
            raise exception 'subject % is kept: % %', v_subject, v_bar.rule,
                coalesce('until ' || to_char(v_bar.until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'until it is lifted')
                using errcode = 'PL010';
        end if;
        delete from ledger.section s using jsonb_array_elements(v_listed) l (pair)
        where s.chain_id = p_chain and s.seq = (l.pair ->> 0)::bigint and s.is_personal;
        delete from ledger.subject_key k where k.chain_id = p_chain and k.subject_id = v_subject;
        delete from precedent.subjects s where s.chain_id = p_chain and s.subject_id = v_subject;
        perform precedent.forget_subject(p_chain, v_subject);
        -- The fingerprint is a hash of the whole body under a key that lives on. The claim stays: a late repeat of the request must not
        -- bring the person back.
        update precedent.idempotency i set fingerprint = '' where i.chain_id = p_chain and i.claim = any (v_claims);
    end if;
    seq := v_entry.seq; envelope := v_entry.envelope; leaf := v_entry.leaf;
    return next;
end
$$;

-- Records a hold, its lifting or a rule of retention.
create or replace function ledger.bar_erasure(
    p_chain uuid, p_entry uuid, p_salt bytea, p_core bytea
) returns table (seq bigint, envelope bytea, leaf bytea)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    c jsonb := convert_from(p_core, 'UTF8')::jsonb;
    v_entry record;
begin
    if coalesce(c ->> 'op', '') not in ('hold', 'lift', 'retain') then
        raise exception 'couldn''t bar an erasure: the entry says %', c ->> 'op' using errcode = 'PL003';
    end if;
    select * into v_entry from ledger.append_core(p_chain, 8::smallint, p_entry, p_salt, p_core);
    if v_entry.status <> 'appended' then
        raise exception 'subject % is erased, or never was', c ->> 'subject_id' using errcode = 'PL008';
    end if;
    seq := v_entry.seq; envelope := v_entry.envelope; leaf := v_entry.leaf;
    return next;
end
$$;

-- The core of a recorded entry, of that kind if one is named: the triggers below use projections as an index and believe none.
create or replace function ledger.core_at(p_chain uuid, p_seq bigint, p_kind integer) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
select convert_from(s.stored[array_position(s.section_ids, 1::smallint)], 'UTF8')::jsonb
from ledger.entry e join ledger.section s on s.chain_id = e.chain_id and s.seq = e.seq and not s.is_personal
where e.chain_id = p_chain and e.seq = p_seq and (p_kind is null or get_byte(e.envelope, 1) = p_kind)
$$;

-- A personal row may go that a later erasure of its own subject lists, and no other row, whoever asks.
create or replace function ledger.refuse_delete_of_section() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        with named as materialized (
            select g.chain_id, g.seq, g.is_personal, (ledger.core_at(g.chain_id, g.seq, null) ->> 'subject_id')::uuid as subject_id from gone g
        ), erasure as materialized (
            select r.chain_id, r.seq, r.subject_id, ledger.core_at(r.chain_id, r.seq, 8) as core
            from (select distinct n.chain_id, n.subject_id from named n) n
            join precedent.erasures r on r.chain_id = n.chain_id and r.subject_id = n.subject_id
        ), listed as materialized (
            select e.chain_id, e.subject_id, e.seq as erasure_seq, (l.pair ->> 0)::bigint as seq
            from erasure e cross join lateral jsonb_array_elements(e.core -> 'erased') l (pair)
            where e.core ->> 'op' = 'erase' and (e.core ->> 'subject_id')::uuid = e.subject_id and l.pair -> 1 = '3'
        )
        select 1 from named n
        where not n.is_personal or not exists (
            select 1 from listed l
            where l.chain_id = n.chain_id and l.seq = n.seq and l.subject_id = n.subject_id and l.erasure_seq > n.seq)
    ) then
        raise exception 'ledger.section is never changed: delete refused' using errcode = '42501';
    end if;
    return null;
end
$$;

create or replace function ledger.refuse_delete_of_key() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select 1 from gone g
        where not exists (
            select 1
            from precedent.erasures r
            cross join lateral (select ledger.core_at(r.chain_id, r.seq, 8) as core offset 0) e
            where r.chain_id = g.chain_id and r.subject_id = g.subject_id
              and e.core ->> 'op' = 'erase' and (e.core ->> 'subject_id')::uuid = g.subject_id)
    ) then
        raise exception 'ledger.subject_key is never changed: delete refused' using errcode = '42501';
    end if;
    return null;
end
$$;

-- A key may be wrapped anew under a later epoch that the record has opened; nothing else of it changes.
create or replace function ledger.refuse_update_of_key() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select 1 from gone g full join come n using (chain_id, subject_id)
        where g.epoch_key is null or n.epoch_key is null
           or n.epoch_key collate "C" <= g.epoch_key collate "C" or n.wrapped = g.wrapped or octet_length(n.wrapped) <> octet_length(g.wrapped)
    ) or exists (
        select 1 from (select distinct n.chain_id, n.epoch_key from come n) n
        where not exists (
            select 1
            from precedent.key_epochs k
            cross join lateral (select ledger.core_at(k.chain_id, k.opened_seq, 9) as core offset 0) e
            where k.chain_id = n.chain_id and k.epoch = n.epoch_key and e.core ->> 'op' = 'rotate_epoch' and e.core ->> 'epoch' = n.epoch_key)
    ) then
        raise exception 'ledger.subject_key is never changed: update refused' using errcode = '42501';
    end if;
    return null;
end
$$;

-- The only way into the ledger. One round trip a batch; the order of its steps is the argument that nothing forks,
-- doubles or gets lost, so read it in one go. Bytes as in docs/ledger.md.

create or replace function ledger.u8(p_value integer) returns bytea
language sql immutable strict parallel safe
return set_byte('\x00'::bytea, 0, p_value);

create or replace function ledger.u64_at(p_bytes bytea, p_offset integer) returns bigint
language sql immutable strict parallel safe
return ('x' || encode(substr(p_bytes, p_offset + 1, 8), 'hex'))::bit(64)::bigint;

create or replace function ledger.instant(p_us bigint) returns timestamptz
language sql immutable strict parallel safe
return timestamptz '1970-01-01 00:00:00+00' + p_us * interval '1 microsecond';

-- Refuse what would break the guarantees before any lock is taken.
create or replace function ledger.check_caller(p_kinds smallint[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_caller text := coalesce(nullif(current_setting('role'), 'none'), session_user);
    v_kind smallint;
begin
    -- Under a stricter isolation the head would be read from a snapshot taken before the lock: a fork.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'ledger.append runs under READ COMMITTED alone, not %', current_setting('transaction_isolation') using errcode = 'PL001';
    end if;
    -- An answer is sent after the commit; a commit that may be forgotten is no answer.
    if current_setting('synchronous_commit') <> 'on' then
        raise exception 'ledger.append needs synchronous_commit = on, not %', current_setting('synchronous_commit') using errcode = 'PL002';
    end if;
    select k into v_kind
    from unnest(p_kinds) k
    where not exists (select 1 from ledger.writer_kind w where w.kind = k and pg_has_role(v_caller, w.role_name, 'member'))
    limit 1;
    if found then
        raise exception 'role % may not append entries of kind %', v_caller, v_kind using errcode = '42501';
    end if;
end
$$;

-- Its signature of earlier versions.
drop function if exists ledger.append(uuid, uuid[], smallint[], bigint[], bytea[], bytea[], integer[], smallint[], bytea[], bytea[],
                                      integer[], uuid[], bytea[], text[], bytea[]);

-- One array a section, in order of the entries: its salt, 32 bytes, and behind it what is stored; null where an entry has none.
-- The answers are arrays in the same order: a row an entry would cost more than the entry's own.
create or replace function ledger.append(
    p_chain uuid,
    p_entry_ids uuid[], p_kinds smallint[], p_epochs bigint[], p_claims bytea[], p_fingerprints bytea[],
    p_cores bytea[], p_facts bytea[], p_personal bytea[], p_memories bytea[], p_shadows bytea[],
    p_key_of integer[], p_subject_ids uuid[], p_lookup_hashes bytea[], p_epoch_keys text[], p_wrapped bytea[],
    out statuses text[], out entry_ids uuid[], out seqs bigint[], out envelopes bytea[], out leaves bytea[], out fingerprints bytea[]
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Plans are made once a session, perhaps while the tables are empty. Every look-up is therefore a lateral one behind
-- `offset 0`, by key and by index, which is right at any size: a plain join was planned as a scan and grew with the ledger.
set enable_seqscan = off
as $$
declare
    v_count integer := coalesce(array_length(p_entry_ids, 1), 0);
    v_commits bytea[];
    v_roots bytea[];
    v_cores jsonb[];
    v_facts jsonb[];
    v_memories jsonb[];
    v_subjects uuid[];
    v_bad integer;
    v_seq bigint;
    v_at_us bigint;
    v_prev bytea;
    v_epoch bigint;
    v_envelope bytea;
    v_chain_bytes bytea := uuid_send(p_chain);
    v_ats bigint[] := array_fill(null::bigint, array[v_count]);
    v_prevs bytea[] := array_fill(null::bytea, array[v_count]);
    v_row record;
begin
    statuses := array_fill(null::text, array[v_count]);
    entry_ids := p_entry_ids;
    seqs := array_fill(null::bigint, array[v_count]);
    envelopes := array_fill(null::bytea, array[v_count]);
    leaves := array_fill(null::bytea, array[v_count]);
    fingerprints := array_fill(null::bytea, array[v_count]);
    if v_count = 0 then
        return;
    end if;
    perform ledger.check_caller(p_kinds);

    -- 1. Commitments, from the very bytes that are stored, and what the projections will read of them. Before the lock, so that
    --    processes do this side by side: it is half of the work. `offset 0` keeps a commitment from being computed once for each use.
    select array_agg('\x01'::bytea || s.c1 || coalesce('\x02'::bytea || s.c2, '') || coalesce('\x03'::bytea || s.c3, '')
                     || coalesce('\x04'::bytea || s.c4, '') || coalesce('\x05'::bytea || s.c5, '')),
           array_agg(sha256('\x10'::bytea || ledger.u8(num_nonnulls(s.c1, s.c2, s.c3, s.c4, s.c5)) || s.c1
                     || coalesce(s.c2, '') || coalesce(s.c3, '') || coalesce(s.c4, '') || coalesce(s.c5, ''))),
           array_agg(s.core), array_agg(s.facts), array_agg(s.memory), array_agg((s.core ->> 'subject_id')::uuid),
           count(*) filter (where s.c1 is null or s.shortest <= 32)
    into v_commits, v_roots, v_cores, v_facts, v_memories, v_subjects, v_bad
    from (
        select sha256('\x1101'::bytea || x.s1) as c1, sha256('\x1102'::bytea || x.s2) as c2, sha256('\x1103'::bytea || x.s3) as c3,
               sha256('\x1104'::bytea || x.s4) as c4, sha256('\x1105'::bytea || x.s5) as c5,
               convert_from(substr(x.s1, 33), 'UTF8')::jsonb as core, convert_from(substr(x.s2, 33), 'UTF8')::jsonb as facts,
               convert_from(substr(x.s4, 33), 'UTF8')::jsonb as memory,
               least(octet_length(x.s1), octet_length(x.s2), octet_length(x.s3), octet_length(x.s4), octet_length(x.s5)) as shortest
        from unnest(p_cores, p_facts, p_personal, p_memories, p_shadows) x (s1, s2, s3, s4, s5)
        offset 0
    ) s;
    if v_bad <> 0 or array_length(v_commits, 1) is distinct from v_count then
        raise exception 'couldn''t append: an entry has no core section, or a section no salt' using errcode = 'PL003';
    end if;

    -- 2. One writer at a time. The row is locked, never updated. The head is read by a second statement, whose snapshot is
    --    younger than the lock: a single statement would read the head as it was before it waited.
    perform 1 from ledger.chain c where c.id = p_chain for no key update;
    if not found then
        raise exception 'no such chain: %', p_chain using errcode = 'PL004';
    end if;
    select e.seq, e.leaf, ledger.u64_at(e.envelope, 26) into v_seq, v_prev, v_at_us
    from ledger.entry e where e.chain_id = p_chain order by e.seq desc limit 1;
    if not found then
        v_seq := -1;
        v_at_us := 0;
        v_prev := decode(repeat('00', 32), 'hex');
    end if;

    -- 3. A retry after a lost answer finds what the first try committed; the same id with other bytes is a fault of the caller.
    --    Asked before looped over, here and below: opening a loop costs four times the question, and the answer is mostly no.
    if exists (
        select 1 from unnest(p_entry_ids) i (id)
        cross join lateral (select 1 from ledger.entry e where e.chain_id = p_chain and e.entry_id = i.id offset 0) e
    ) then
        for v_row in
            select i.o, e.seq, e.envelope, e.leaf, e.commits
            from unnest(p_entry_ids) with ordinality i (id, o)
            cross join lateral (select * from ledger.entry e where e.chain_id = p_chain and e.entry_id = i.id offset 0) e
        loop
            if v_row.commits <> v_commits[v_row.o] then
                raise exception 'couldn''t append: entry % exists with other bytes', p_entry_ids[v_row.o] using errcode = 'PL005';
            end if;
            statuses[v_row.o] := 'appended';
            seqs[v_row.o] := v_row.seq;
            envelopes[v_row.o] := v_row.envelope;
            leaves[v_row.o] := v_row.leaf;
        end loop;
    end if;

    -- 4. What was decided under flags or policies that changed meanwhile goes back to be decided again.
    select c.epoch into v_epoch from precedent.control_epoch c where c.chain_id = p_chain;
    v_epoch := coalesce(v_epoch, 0);
    if exists (select 1 from unnest(p_epochs) i (epoch) where i.epoch <> v_epoch) then
        for v_row in select i.o from unnest(p_epochs) with ordinality i (epoch, o) where i.epoch <> v_epoch loop
            statuses[v_row.o] := coalesce(statuses[v_row.o], 'stale');
        end loop;
    end if;

    -- 5. New subjects. Whoever comes second for one pseudonym encrypted under a key that nobody will keep: it starts over.
    if array_length(p_key_of, 1) is not null then
        for v_row in
            select k.o
            from (
                select k.o, k.subject, k.hash, first_value(k.subject) over (partition by k.hash order by k.o) as first_subject
                from unnest(p_key_of, p_subject_ids, p_lookup_hashes) k (o, subject, hash)
                where statuses[k.o] is null
            ) k
            left join lateral (select * from precedent.subjects s where s.chain_id = p_chain and s.lookup_hash = k.hash offset 0) s on true
            where coalesce(s.subject_id, k.first_subject) <> k.subject
        loop
            statuses[v_row.o] := coalesce(statuses[v_row.o], 'subject_moved');
        end loop;
    end if;

    -- 5b. Whoever names a subject has its key from a cache, perhaps from before it was erased: without a key in the record, or
    --     after an erasure, it starts over, and so does who brings a key under an epoch that is being given up. Erasure and rotation
    --     hold the chain's row too, so what is true here is true at the commit. An erased id never comes back.
    if exists (select 1 from unnest(v_subjects) i (subject) where i.subject is not null) then
        for v_row in
            select i.o
            from unnest(v_subjects) with ordinality i (subject, o)
            left join lateral (select true as is_kept from ledger.subject_key k
                               where k.chain_id = p_chain and k.subject_id = i.subject offset 0) k on true
            left join lateral (select true as is_erased from precedent.erasures e
                               where e.chain_id = p_chain and e.subject_id = i.subject limit 1 offset 0) e on true
            where i.subject is not null
              and (e.is_erased or k.is_kept is null and not coalesce(i.subject = any (p_subject_ids), false))
            union
            select k.o from unnest(p_key_of, p_epoch_keys) k (o, epoch)
            where k.epoch collate "C" < (select max(e.epoch collate "C") from precedent.key_epochs e
                                         where e.chain_id = p_chain and e.opened_seq is not null)
        loop
            statuses[v_row.o] := coalesce(statuses[v_row.o], 'subject_moved');
        end loop;
    end if;

    -- 5c. A review takes each step once: whoever comes after it, or second in this batch, looks again. A key that was claimed, or
    --     that the first in this batch claims, is left to the next step, which hands out the first answer.
    if p_kinds @> array[3::smallint] then
        for v_row in
            select s.o
            from (
                select k.o, k.claim, first_value(k.o) over w as first_o, first_value(k.claim) over w as first_claim,
                       first_value(k.core) over w as first_core
                from unnest(p_kinds, v_cores, p_claims) with ordinality k (kind, core, claim, o)
                where k.kind = 3 and statuses[k.o] is null
                  and not exists (select 1 from precedent.idempotency i where i.chain_id = p_chain and i.claim = k.claim offset 0)
                window w as (partition by k.core ->> 'decision_id' order by k.o)
            ) s
            where (s.o <> s.first_o and (s.claim is null or s.claim is distinct from s.first_claim))
               or not exists (select 1 from precedent.reviews r where r.chain_id = p_chain
                              and r.decision_id = (s.first_core ->> 'decision_id')::uuid and precedent.review_takes(r, s.first_core) offset 0)
        loop
            statuses[v_row.o] := 'review_moved';
        end loop;
    end if;

    -- 6. Idempotency: the first to claim a key writes; all others, of this batch too, are handed the first answer's entry.
    if exists (select 1 from unnest(p_claims) c where c is not null) then
        insert into precedent.idempotency (chain_id, claim, fingerprint, entry_id, recorded_at)
        select distinct on (c.claim) p_chain, c.claim, c.fingerprint, c.id, clock_timestamp()
        from unnest(p_claims, p_fingerprints, p_entry_ids) with ordinality c (claim, fingerprint, id, o)
        where c.claim is not null and statuses[c.o] is null
        order by c.claim, c.o
        on conflict do nothing;
        for v_row in
            select c.o, i.entry_id, i.fingerprint from unnest(p_claims, p_entry_ids) with ordinality c (claim, id, o)
            cross join lateral (select * from precedent.idempotency i where i.chain_id = p_chain and i.claim = c.claim offset 0) i
            where i.entry_id <> c.id and statuses[c.o] is null
        loop
            statuses[v_row.o] := 'claimed';
            entry_ids[v_row.o] := v_row.entry_id;
            fingerprints[v_row.o] := v_row.fingerprint;
        end loop;
    end if;

    -- 7. Number, time, chain. Time increases strictly, also when the system's clock goes back. From here on, an entry without a
    --    `v_ats` is one that is not written.
    for i in 1 .. v_count loop
        if statuses[i] is null then
            v_seq := v_seq + 1;
            v_at_us := greatest(v_at_us + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint);
            v_envelope := '\x01'::bytea || ledger.u8(p_kinds[i]::integer) || v_chain_bytes || int8send(v_seq) || int8send(v_at_us)
                || uuid_send(p_entry_ids[i]) || v_prev || v_roots[i];
            v_ats[i] := v_at_us;
            v_prevs[i] := v_prev;
            v_prev := sha256('\x00'::bytea || v_envelope);
            statuses[i] := 'appended';
            seqs[i] := v_seq;
            envelopes[i] := v_envelope;
            leaves[i] := v_prev;
        end if;
    end loop;
    if array_length(array_remove(v_ats, null), 1) is null then
        return;
    end if;

    -- 8. Write: keys, entries, sections, projections, counters, outbox. If we crash anywhere here, all of it is gone. Keys come
    --    only now, so that no subject is made for an entry that was not written.
    if array_length(p_key_of, 1) is not null then
        insert into precedent.subjects (chain_id, lookup_hash, subject_id)
        select p_chain, k.hash, k.subject from unnest(p_key_of, p_subject_ids, p_lookup_hashes) k (o, subject, hash)
        where v_ats[k.o] is not null on conflict do nothing;
        insert into ledger.subject_key (chain_id, subject_id, epoch_key, wrapped)
        select p_chain, k.subject, k.epoch_key, k.wrapped
        from unnest(p_key_of, p_subject_ids, p_epoch_keys, p_wrapped) k (o, subject, epoch_key, wrapped)
        where v_ats[k.o] is not null on conflict do nothing;
    end if;
    insert into ledger.entry (chain_id, seq, entry_id, envelope, leaf, commits)
    select p_chain, w.seq, w.id, w.envelope, w.leaf, w.commits
    from unnest(v_ats, seqs, p_entry_ids, envelopes, leaves, v_commits) w (at, seq, id, envelope, leaf, commits)
    where w.at is not null;

    insert into ledger.section (chain_id, seq, is_personal, section_ids, salts, stored)
    select p_chain, w.seq, false,
           array_remove(array[1::smallint, case when w.s2 is not null then 2 end, case when w.s4 is not null then 4 end, case when w.s5 is not null then 5 end], null),
           array_remove(array[substr(w.s1, 1, 32), substr(w.s2, 1, 32), substr(w.s4, 1, 32), substr(w.s5, 1, 32)], null),
           array_remove(array[substr(w.s1, 33), substr(w.s2, 33), substr(w.s4, 33), substr(w.s5, 33)], null)
    from unnest(v_ats, seqs, p_cores, p_facts, p_memories, p_shadows) w (at, seq, s1, s2, s4, s5)
    where w.at is not null
    union all
    select p_chain, w.seq, true, array[3::smallint], array[substr(w.s3, 1, 32)], array[substr(w.s3, 33)]
    from unnest(v_ats, seqs, p_personal) w (at, seq, s3)
    where w.at is not null and w.s3 is not null;

    perform precedent.project(p_chain, seqs, v_ats, v_prevs, leaves, p_entry_ids, p_kinds, v_cores, v_facts, v_memories, true);
end
$$;

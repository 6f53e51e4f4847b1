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

create or replace function ledger.append(
    p_chain uuid,
    p_entry_ids uuid[], p_kinds smallint[], p_epochs bigint[], p_claims bytea[], p_fingerprints bytea[],
    p_section_of integer[], p_section_ids smallint[], p_salts bytea[], p_stored bytea[],
    p_key_of integer[], p_subject_ids uuid[], p_lookup_hashes bytea[], p_epoch_keys text[], p_wrapped bytea[]
) returns table (ord integer, status text, entry_id uuid, seq bigint, envelope bytea, leaf bytea, fingerprint bytea)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Plans are made once a session, perhaps while the tables are empty. Every look-up is therefore a lateral one behind
-- `offset 0`, by key and by index, which is right at any size: a plain join was planned as a scan and grew with the ledger.
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    v_count integer := coalesce(array_length(p_entry_ids, 1), 0);
    v_status text[] := array_fill(null::text, array[v_count]);
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
    v_seq_of bigint[] := array_fill(null::bigint, array[v_count]);
    -- what is written, in order of seq: side by side, so that no later statement has to join or search
    w_id uuid[] := '{}';
    w_kind smallint[] := '{}';
    w_commits bytea[] := '{}';
    w_core jsonb[] := '{}';
    w_facts jsonb[] := '{}';
    w_memory jsonb[] := '{}';
    w_seq bigint[] := '{}';
    w_at bigint[] := '{}';
    w_prev bytea[] := '{}';
    w_envelope bytea[] := '{}';
    w_leaf bytea[] := '{}';
    v_row record;
begin
    if v_count = 0 then
        return;
    end if;
    perform ledger.check_caller(p_kinds);

    -- 1. Commitments, from the very bytes that are stored, and what the projections will read of them. Before the lock, so that
    --    processes do this side by side: it is half of the work.
    select count(*) filter (where octet_length(x.salt) is distinct from 32 or x.sid not between 1 and 5 or x.o not between 1 and v_count or x.bytes is null)
    into v_bad
    from unnest(p_section_of, p_section_ids, p_salts, p_stored) x (o, sid, salt, bytes);
    if v_bad <> 0 then
        raise exception 'couldn''t append: % sections have a bad salt, id or place', v_bad using errcode = 'PL003';
    end if;
    select array_agg(g.commits order by g.o), array_agg(sha256('\x10'::bytea || ledger.u8(g.n) || g.joined) order by g.o),
           array_agg(g.core order by g.o), array_agg(g.facts order by g.o), array_agg(g.memory order by g.o),
           count(*) filter (where g.core is null or g.n <> g.distinct_n)
    into v_commits, v_roots, v_cores, v_facts, v_memories, v_bad
    from (
        select s.o, count(*)::integer as n, count(distinct s.sid) as distinct_n,
               string_agg(ledger.u8(s.sid) || s.commit, ''::bytea order by s.sid) as commits,
               string_agg(s.commit, ''::bytea order by s.sid) as joined,
               (array_agg(convert_from(s.bytes, 'UTF8')::jsonb) filter (where s.sid = 1))[1] as core,
               (array_agg(convert_from(s.bytes, 'UTF8')::jsonb) filter (where s.sid = 2))[1] as facts,
               (array_agg(convert_from(s.bytes, 'UTF8')::jsonb) filter (where s.sid = 4))[1] as memory
        from (
            select x.o, x.sid::integer as sid, x.bytes, sha256('\x11'::bytea || ledger.u8(x.sid) || x.salt || x.bytes) as commit
            from unnest(p_section_of, p_section_ids, p_salts, p_stored) x (o, sid, salt, bytes)
        ) s
        group by s.o
    ) g;
    if v_bad <> 0 or array_length(v_commits, 1) is distinct from v_count then
        raise exception 'couldn''t append: an entry has no core section, or one section twice' using errcode = 'PL003';
    end if;
    v_subjects := array(select (c ->> 'subject_id')::uuid from unnest(v_cores) with ordinality x (c, o) order by x.o);

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
            v_status[v_row.o] := 'appended';
            ord := v_row.o; status := 'appended'; entry_id := p_entry_ids[v_row.o];
            seq := v_row.seq; envelope := v_row.envelope; leaf := v_row.leaf; fingerprint := null;
            return next;
        end loop;
    end if;

    -- 4. What was decided under flags or policies that changed meanwhile goes back to be decided again.
    select c.epoch into v_epoch from precedent.control_epoch c where c.chain_id = p_chain;
    v_epoch := coalesce(v_epoch, 0);
    if exists (select 1 from unnest(p_epochs) i (epoch) where i.epoch <> v_epoch) then
        for v_row in select i.o from unnest(p_epochs) with ordinality i (epoch, o) where i.epoch <> v_epoch loop
            if v_status[v_row.o] is null then
                v_status[v_row.o] := 'stale';
                ord := v_row.o; status := 'stale'; entry_id := null; seq := null; envelope := null; leaf := null; fingerprint := null;
                return next;
            end if;
        end loop;
    end if;

    -- 5. New subjects. Whoever comes second for one pseudonym encrypted under a key that nobody will keep: it starts over.
    if array_length(p_key_of, 1) is not null then
        for v_row in
            select k.o
            from (
                select k.o, k.subject, k.hash, first_value(k.subject) over (partition by k.hash order by k.o) as first_subject
                from unnest(p_key_of, p_subject_ids, p_lookup_hashes) k (o, subject, hash)
                where v_status[k.o] is null
            ) k
            left join lateral (select * from precedent.subjects s where s.chain_id = p_chain and s.lookup_hash = k.hash offset 0) s on true
            where coalesce(s.subject_id, k.first_subject) <> k.subject
        loop
            if v_status[v_row.o] is null then
                v_status[v_row.o] := 'subject_moved';
                ord := v_row.o; status := 'subject_moved'; entry_id := null; seq := null; envelope := null; leaf := null; fingerprint := null;
                return next;
            end if;
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
            if v_status[v_row.o] is null then
                v_status[v_row.o] := 'subject_moved';
                ord := v_row.o; status := 'subject_moved'; entry_id := null; seq := null; envelope := null; leaf := null; fingerprint := null;
                return next;
            end if;
        end loop;
    end if;

    -- 6. Idempotency: the first to claim a key writes; all others, of this batch too, are handed the first answer's entry.
    if exists (select 1 from unnest(p_claims) c where c is not null) then
        insert into precedent.idempotency (chain_id, claim, fingerprint, entry_id, recorded_at)
        select distinct on (c.claim) p_chain, c.claim, c.fingerprint, c.id, clock_timestamp()
        from unnest(p_claims, p_fingerprints, p_entry_ids) with ordinality c (claim, fingerprint, id, o)
        where c.claim is not null and v_status[c.o] is null
        order by c.claim, c.o
        on conflict do nothing;
        for v_row in
            select c.o, i.entry_id, i.fingerprint from unnest(p_claims, p_entry_ids) with ordinality c (claim, id, o)
            cross join lateral (select * from precedent.idempotency i where i.chain_id = p_chain and i.claim = c.claim offset 0) i
            where i.entry_id <> c.id and v_status[c.o] is null
        loop
            v_status[v_row.o] := 'claimed';
            ord := v_row.o; status := 'claimed'; entry_id := v_row.entry_id; fingerprint := v_row.fingerprint;
            seq := null; envelope := null; leaf := null;
            return next;
        end loop;
    end if;

    -- 7. Number, time, chain. Time increases strictly, also when the system's clock goes back.
    for i in 1 .. v_count loop
        if v_status[i] is null then
            v_seq := v_seq + 1;
            v_at_us := greatest(v_at_us + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint);
            v_envelope := '\x01'::bytea || ledger.u8(p_kinds[i]::integer) || v_chain_bytes || int8send(v_seq) || int8send(v_at_us)
                || uuid_send(p_entry_ids[i]) || v_prev || v_roots[i];
            v_seq_of[i] := v_seq;
            w_id := w_id || p_entry_ids[i];
            w_kind := w_kind || p_kinds[i];
            w_commits := w_commits || v_commits[i];
            w_core := w_core || v_cores[i];
            w_facts := w_facts || v_facts[i];
            w_memory := w_memory || v_memories[i];
            w_seq := w_seq || v_seq;
            w_at := w_at || v_at_us;
            w_prev := w_prev || v_prev;
            v_prev := sha256('\x00'::bytea || v_envelope);
            w_envelope := w_envelope || v_envelope;
            w_leaf := w_leaf || v_prev;
            ord := i; status := 'appended'; entry_id := p_entry_ids[i]; seq := v_seq; envelope := v_envelope; leaf := v_prev; fingerprint := null;
            return next;
        end if;
    end loop;
    if array_length(w_seq, 1) is null then
        return;
    end if;

    -- 8. Write: keys, entries, sections, projections, counters, outbox. If we crash anywhere here, all of it is gone. Keys come
    --    only now, so that no subject is made for an entry that was not written.
    if array_length(p_key_of, 1) is not null then
        insert into precedent.subjects (chain_id, lookup_hash, subject_id)
        select p_chain, k.hash, k.subject from unnest(p_key_of, p_subject_ids, p_lookup_hashes) k (o, subject, hash)
        where v_seq_of[k.o] is not null on conflict do nothing;
        insert into ledger.subject_key (chain_id, subject_id, epoch_key, wrapped)
        select p_chain, k.subject, k.epoch_key, k.wrapped
        from unnest(p_key_of, p_subject_ids, p_epoch_keys, p_wrapped) k (o, subject, epoch_key, wrapped)
        where v_seq_of[k.o] is not null on conflict do nothing;
    end if;
    insert into ledger.entry (chain_id, seq, entry_id, envelope, leaf, commits)
    select p_chain, w.seq, w.id, w.envelope, w.leaf, w.commits
    from unnest(w_seq, w_id, w_envelope, w_leaf, w_commits) w (seq, id, envelope, leaf, commits);

    insert into ledger.section (chain_id, seq, is_personal, section_ids, salts, stored)
    select p_chain, v_seq_of[x.o], x.sid = 3, array_agg(x.sid order by x.sid), array_agg(x.salt order by x.sid), array_agg(x.bytes order by x.sid)
    from unnest(p_section_of, p_section_ids, p_salts, p_stored) x (o, sid, salt, bytes)
    where v_seq_of[x.o] is not null
    group by v_seq_of[x.o], x.sid = 3;

    perform precedent.project(p_chain, w_seq, w_at, w_prev, w_leaf, w_id, w_kind, w_core, w_facts, w_memory, true);
end
$$;

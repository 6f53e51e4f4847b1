-- Who owns, who may do what, and the triggers that refuse even the owner. Laid anew at every start; order does not matter to
-- a running process, for all of it is one transaction.

-- ── ownership: the append function runs as precedent_owner, which no process may become ──
do $$
declare
    v_name text;
begin
    -- A managed database's administrator is no superuser: to hand objects over it must be a member of the owner's role.
    if not pg_has_role(current_user, 'precedent_owner', 'member') then
        execute format('grant precedent_owner to %I', current_user);
    end if;
    for v_name in select unnest(array['ledger', 'precedent']) loop
        execute format('alter schema %I owner to precedent_owner', v_name);
    end loop;
    for v_name in
        select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('ledger', 'precedent') and tableowner <> 'precedent_owner'
    loop
        execute format('alter table %s owner to precedent_owner', v_name);
    end loop;
    for v_name in
        select format('%I.%I', schemaname, viewname) from pg_views where schemaname in ('ledger', 'precedent') and viewowner <> 'precedent_owner'
    loop
        execute format('alter view %s owner to precedent_owner', v_name);
    end loop;
    for v_name in
        select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('ledger', 'precedent') and p.proowner <> 'precedent_owner'::regrole
    loop
        execute format('alter function %s owner to precedent_owner', v_name);
    end loop;
    execute 'alter schema analytics owner to precedent_pipeline';
end
$$;

-- ── triggers: what is recorded stays ──
create or replace function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'ledger.% is never changed: % refused', tg_table_name, lower(tg_op) using errcode = '42501';
end
$$;
alter function ledger.refuse_change() owner to precedent_owner;

do $$
declare
    v_table text;
begin
    -- Rows of two tables may go, or change, by way of the record itself (erase.sql): who deletes must have recorded an erasure that
    -- lists the row, who wraps a key anew must have recorded its epoch.
    create or replace trigger refuse_change before update on ledger.section for each row execute function ledger.refuse_change();
    create or replace trigger refuse_delete after delete on ledger.section
        referencing old table as gone for each statement execute function ledger.refuse_delete_of_section();
    create or replace trigger refuse_change after update on ledger.subject_key
        referencing old table as gone new table as come for each statement execute function ledger.refuse_update_of_key();
    create or replace trigger refuse_delete after delete on ledger.subject_key
        referencing old table as gone for each statement execute function ledger.refuse_delete_of_key();
    foreach v_table in array array['chain', 'entry', 'tile', 'checkpoint'] loop
        execute format('create or replace trigger refuse_change before update or delete on ledger.%I for each row execute function ledger.refuse_change()', v_table);
    end loop;
    foreach v_table in array array['chain', 'entry', 'section', 'subject_key', 'tile', 'checkpoint'] loop
        execute format('create or replace trigger refuse_truncate before truncate on ledger.%I for each statement execute function ledger.refuse_change()', v_table);
    end loop;
    -- ALWAYS: also in a session that plays replica.
    for v_table in select format('alter table %s enable always trigger %I', tgrelid::regclass, tgname)
                   from pg_trigger where tgrelid::regclass::text like 'ledger.%' and not tgisinternal loop
        execute v_table;
    end loop;
end
$$;

-- ── kinds ──
-- Exactly these: a kind that a role was given by another hand, or by an earlier version, goes at the next start.
with stated (role_name, kind) as (
    values ('precedent_api', 1), ('precedent_api', 2), ('precedent_api', 3), ('precedent_api', 4), ('precedent_api', 5), ('precedent_api', 6),
           ('precedent_pipeline', 7), ('precedent_pipeline', 10), ('precedent_eraser', 8), ('precedent_owner', 9), ('precedent_owner', 11)
), removed as (
    delete from ledger.writer_kind w where not exists (select 1 from stated s where s.role_name = w.role_name and s.kind = w.kind)
)
insert into ledger.writer_kind (role_name, kind) select s.role_name, s.kind from stated s
on conflict do nothing;

-- ── rights ──
revoke all on all tables in schema ledger, precedent from public, precedent_api, precedent_pipeline, precedent_eraser, precedent_analyst;
revoke all on all functions in schema ledger, precedent from public, precedent_api, precedent_pipeline, precedent_eraser, precedent_analyst;
revoke all on schema ledger, precedent, analytics from public;
revoke create on schema public from public;
grant usage on schema ledger, precedent to precedent_api, precedent_pipeline, precedent_eraser, precedent_analyst;
grant usage on schema analytics to precedent_api, precedent_analyst;
grant execute on function ledger.append(uuid, uuid[], smallint[], bigint[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], integer[], uuid[], bytea[], text[], bytea[])
    to precedent_api, precedent_pipeline;
grant execute on function ledger.erase(uuid, uuid, bytea, bytea), ledger.bar_erasure(uuid, uuid, bytea, bytea),
    ledger.personal_seqs(uuid, uuid), ledger.erasure_bars(uuid, uuid) to precedent_eraser;
grant execute on function ledger.integrate(uuid, smallint[], bigint[], bytea[], bytea[], bigint, bytea, text) to precedent_api;
grant execute on function ledger.u8(integer), ledger.u64_at(bytea, integer), ledger.instant(bigint)
    to precedent_api, precedent_pipeline, precedent_eraser, precedent_analyst;

grant select on all tables in schema ledger, precedent to precedent_api;
grant execute on function precedent.forget_delivered(uuid, timestamptz, integer) to precedent_api;
grant update (attempts, next_attempt_at, delivered_at, dead_at, last_error) on precedent.outbox to precedent_api;
grant update (status, status_reason, paused_until) on precedent.webhook_endpoints to precedent_api;

-- The pipeline reads what it derives from; not tokens, not keys, not the mapping from pseudonyms.
grant select on ledger.chain, ledger.entry, precedent.ledger_heads, precedent.events, precedent.decisions, precedent.outcomes, precedent.reviews,
    precedent.policy_versions, precedent.policy_proposals, precedent.change_control, precedent.node_flags, precedent.policy_variants_stats,
    precedent.outbox to precedent_pipeline;
grant select (chain_id, seq, is_personal, section_ids, salts, stored) on ledger.section to precedent_pipeline;
-- It tells people when a run failed, and whichever endpoint asked for that; not where that is.
grant insert on precedent.outbox to precedent_pipeline;
grant select (chain_id, id, status, topics) on precedent.webhook_endpoints to precedent_pipeline;
-- Memory: rows are added, never changed. Whose data was erased is known here, so that nothing of theirs is derived again.
grant select on precedent.erasures to precedent_pipeline;
grant select, insert on precedent.embedding_models, precedent.knowledge_snapshots, precedent.decision_embeddings_384,
    precedent.decision_embeddings_1536, precedent.snapshot_embeddings_384, precedent.snapshot_embeddings_1536 to precedent_pipeline;
grant select, insert on precedent.recall_calibrations to precedent_pipeline;
grant select on precedent.recall_calibrations to precedent_analyst;
-- What is different in the rows of decisions is kept by their triggers alone.
grant select on precedent.case_vectors_384 to precedent_pipeline, precedent_analyst;
grant update (status, served_from) on precedent.embedding_models to precedent_pipeline;
grant execute on function precedent.index_scope(uuid, text, text) to precedent_pipeline;
grant select on precedent.embedding_models, precedent.knowledge_snapshots, precedent.decision_embeddings_384,
    precedent.decision_embeddings_1536, precedent.snapshot_embeddings_384, precedent.snapshot_embeddings_1536 to precedent_analyst;

-- What models cost: the pipeline calls them, and notes each call before and after it. Nobody changes a row.
grant select, insert on precedent.model_calls to precedent_pipeline;
grant select on precedent.model_calls to precedent_analyst;

-- Scorecards of a day are written over on that day.
grant select, insert, update (matured_count, rewarded_count, reward_sum, reward_mean, low, high, is_best, ledger_size)
    on precedent.variant_scorecards to precedent_pipeline;
grant select on precedent.variant_scorecards to precedent_analyst;

-- Lineage: the root of the prefix that a run reads, what its rows were stated to be, and what it has still to state.
grant select on ledger.tile, ledger.checkpoint, precedent.asset_statements to precedent_pipeline;
grant select, insert on precedent.asset_leaves, precedent.asset_partitions to precedent_pipeline;
grant update (due_since) on precedent.asset_partitions to precedent_pipeline;

grant select on ledger.chain, ledger.entry, precedent.ledger_heads, precedent.events, precedent.decisions, precedent.outcomes, precedent.reviews,
    precedent.policy_versions, precedent.policy_proposals, precedent.change_control, precedent.node_flags, precedent.policy_variants_stats,
    precedent.asset_statements to precedent_analyst;

grant select on all tables in schema ledger to precedent_eraser;
grant select on precedent.subjects, precedent.ledger_heads, precedent.erasures, precedent.legal_holds, precedent.retention_rules to precedent_eraser;

alter default privileges for role precedent_pipeline in schema analytics grant select on tables to precedent_api, precedent_analyst;
grant select on all tables in schema analytics to precedent_api, precedent_analyst;

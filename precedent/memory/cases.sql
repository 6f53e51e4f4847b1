-- Each different case once, of each model and action: what is searched. Kept by the rows of decisions, whoever writes or deletes those.
-- Who adds locks the case, also where nothing of it changes; all lock in one order, so that no two wait for each other.

create or replace function precedent.add_cases() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into precedent.case_vectors_384 as c
        (chain_id, model_id, scope, vector_digest, approve_at, deny_at, escalate_at, context_vec)
    select a.chain_id, a.model_id, a.scope, a.vector_digest, min(a.qualified_at) filter (where a.verdict = 'approve'),
           min(a.qualified_at) filter (where a.verdict = 'deny'), min(a.qualified_at) filter (where a.verdict = 'escalate'),
           any_value(a.context_vec)
    from added a group by 1, 2, 3, 4 order by a.chain_id, a.model_id collate "C", a.scope collate "C", a.vector_digest
    on conflict (chain_id, model_id, scope, vector_digest) do update
    set approve_at = least(c.approve_at, excluded.approve_at), deny_at = least(c.deny_at, excluded.deny_at),
        escalate_at = least(c.escalate_at, excluded.escalate_at)
    where (c.approve_at, c.deny_at, c.escalate_at) is distinct from
          (least(c.approve_at, excluded.approve_at), least(c.deny_at, excluded.deny_at), least(c.escalate_at, excluded.escalate_at));
    return null;
end
$$;

-- Of an erased subject's vector nothing stays, unless another decision has the same.
create or replace function precedent.remove_cases() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- First wait for whoever is adding to these cases: the statements after this one see what they added.
    perform from precedent.case_vectors_384 c
    where (c.chain_id, c.model_id, c.scope, c.vector_digest) in (select g.chain_id, g.model_id, g.scope, g.vector_digest from gone g)
    order by c.chain_id, c.model_id collate "C", c.scope collate "C", c.vector_digest for update;
    update precedent.case_vectors_384 c
    set approve_at = held.approve_at, deny_at = held.deny_at, escalate_at = held.escalate_at
    from (select distinct g.chain_id, g.model_id, g.scope, g.vector_digest from gone g) g
    cross join lateral (
        select min(e.qualified_at) filter (where e.verdict = 'approve') as approve_at,
               min(e.qualified_at) filter (where e.verdict = 'deny') as deny_at,
               min(e.qualified_at) filter (where e.verdict = 'escalate') as escalate_at
        from precedent.decision_embeddings_384 e
        where (e.chain_id, e.model_id, e.scope, e.vector_digest) = (g.chain_id, g.model_id, g.scope, g.vector_digest)
    ) held
    where (c.chain_id, c.model_id, c.scope, c.vector_digest) = (g.chain_id, g.model_id, g.scope, g.vector_digest)
      and (c.approve_at, c.deny_at, c.escalate_at) is distinct from (held.approve_at, held.deny_at, held.escalate_at);
    delete from precedent.case_vectors_384 c
    where (c.chain_id, c.model_id, c.scope, c.vector_digest) in (select g.chain_id, g.model_id, g.scope, g.vector_digest from gone g)
      and coalesce(c.approve_at, c.deny_at, c.escalate_at) is null;
    return null;
end
$$;

-- The first time, of what is there already: with nobody writing between this and the triggers.
do $$
begin
    if not exists (select from pg_trigger where tgrelid = 'precedent.decision_embeddings_384'::regclass and tgname = 'add_cases') then
        lock table precedent.decision_embeddings_384 in share row exclusive mode;
        insert into precedent.case_vectors_384
            (chain_id, model_id, scope, vector_digest, approve_at, deny_at, escalate_at, context_vec)
        select e.chain_id, e.model_id, e.scope, e.vector_digest, min(e.qualified_at) filter (where e.verdict = 'approve'),
               min(e.qualified_at) filter (where e.verdict = 'deny'), min(e.qualified_at) filter (where e.verdict = 'escalate'),
               any_value(e.context_vec)
        from precedent.decision_embeddings_384 e group by 1, 2, 3, 4;
    end if;
end
$$;

create or replace trigger add_cases after insert on precedent.decision_embeddings_384
    referencing new table as added for each statement execute function precedent.add_cases();
create or replace trigger remove_cases after delete on precedent.decision_embeddings_384
    referencing old table as gone for each statement execute function precedent.remove_cases();

-- An index of vectors for each model and action that has many different cases: a search walks only what may be an answer, and the index
-- that a filter of one in thirty-three made useless is gone (docs/decisions, "an index of vectors for each action"). More links than
-- pgvector's default (16, 64): cases of few kinds lie in clusters, and of 300 searches among 100,000 cases five landed in a wrong one,
-- with these none. The index is no larger, and 2.5 times as long in the making.

-- Make it where it is missing; whether it was. What is already being read goes on being read; whoever adds vectors or erases waits.
-- As the owner, since an index is its table's owner's; of a thousand rows or more, so that nobody fills the catalogue with empty ones.
create or replace function precedent.index_scope(p_chain uuid, p_model text, p_scope text) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- A graph that does not fit is built on disk, many times slower. In one process: several would share memory that a container may lack.
set maintenance_work_mem = '1GB'
set max_parallel_maintenance_workers = 0
as $$
declare
    v_name text := 'case_vectors_384_hnsw_'
        || left(encode(sha256(convert_to(jsonb_build_array(p_chain, p_model, p_scope)::text, 'UTF8')), 'hex'), 24);
    v_vectors text := (select n.nspname from pg_extension x join pg_namespace n on n.oid = x.extnamespace where x.extname = 'vector');
begin
    if to_regclass('precedent.' || v_name) is not null then
        return false;
    end if;
    if (select count(*) from precedent.case_vectors_384 c
        where c.chain_id = p_chain and c.model_id = p_model and c.scope = p_scope) < 1000 then
        raise exception 'couldn''t index %: it has too few vectors', p_scope using errcode = '22023';
    end if;
    execute format(
        'create index %I on precedent.case_vectors_384 using hnsw (context_vec %I.vector_cosine_ops) with (m = 24, ef_construction = 200)'
        ' where chain_id = %L and model_id = %L and scope = %L',
        v_name, v_vectors, p_chain, p_model, p_scope
    );
    -- Before the first, a look-up by verdict was planned as one by model alone, which reads every row there is.
    execute 'analyze precedent.decision_embeddings_384, precedent.case_vectors_384';
    return true;
end
$$;

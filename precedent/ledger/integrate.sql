-- The only way for tiles and checkpoints to come to stand: full tiles and the checkpoint that covers them, in one commit.

create or replace function ledger.integrate(
    p_chain uuid, p_levels smallint[], p_numbers bigint[], p_hashes bytea[], p_roots bytea[], p_size bigint, p_root bytea, p_note text
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select 1 from ledger.checkpoint c where c.chain_id = p_chain and c.size >= p_size) then
        raise exception 'a checkpoint of % entries or more stands there already', p_size using errcode = 'PL007';
    end if;
    if not exists (select 1 from ledger.entry e where e.chain_id = p_chain and e.seq = p_size - 1) then
        raise exception 'there are fewer than % entries', p_size using errcode = 'PL007';
    end if;
    insert into ledger.tile (chain_id, level, number, hashes, root)
    select p_chain, t.level, t.number, t.hashes, t.root
    from unnest(p_levels, p_numbers, p_hashes, p_roots) t (level, number, hashes, root);
    insert into ledger.checkpoint (chain_id, size, root, note) values (p_chain, p_size, p_root, p_note);
end
$$;

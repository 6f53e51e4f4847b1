-- Delivered messages are kept for a time, and go then: the record of what they told is the ledger, not the outbox.

-- Remove up to so many of a chain, the oldest first; how many. As the owner, since nobody else may delete here: what waits, what is dead
-- and what was delivered within a day stays, whatever the caller asks. Rows that another process is removing are passed over.
create or replace function precedent.forget_delivered(p_chain uuid, p_before timestamptz, p_limit integer) returns integer
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
with gone as (
    delete from precedent.outbox where id in (
        select o.id from precedent.outbox o
        where o.chain_id = p_chain and o.delivered_at < least(p_before, now() - interval '1 day') and o.dead_at is null
        order by o.delivered_at
        limit p_limit
        for update skip locked
    )
    returning 1
)
select count(*)::integer from gone
$$;

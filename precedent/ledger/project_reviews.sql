-- Reviews: a decision opens one, each entry of kind review takes it a step further. The append asks `review_takes` under the
-- chain's lock, so that of many answers at once one is recorded; rebuild and verification call the same functions.

-- In millionths, from the decision's leaf: known to nobody before the append, and to everybody after it. Who decides can't choose
-- what is audited, and who audits can't either.
create or replace function precedent.audit_draw(p_leaf bytea) returns integer language sql immutable as $$
select (('x' || encode(substr(sha256('\x13'::bytea || p_leaf), 1, 7), 'hex'))::bit(56)::bigint % 1000000)::integer
$$;

-- Imported decisions are history: nobody is asked to review them.
create or replace function precedent.review_row(
    p_chain uuid, p_at timestamptz, p_id uuid, p_leaf bytea, c jsonb
) returns setof precedent.reviews language sql stable rows 1 as $$
select p_chain, p_id, c ->> 'node', c ->> 'action', 'open', case k.kind when 'escalation' then r ->> 'review_to' else r ->> 'notify' end,
       p_at + case k.kind when 'escalation' then (r ->> 'within_seconds')::bigint
                          when 'reversible' then (r ->> 'reversible_seconds')::bigint end * interval '1 second',
       r ->> 'on_timeout', p_at, null::timestamptz, null::text, null::text, null::text,
       k.kind, null::timestamptz, null::timestamptz, null::text, null::timestamptz, null::uuid
from (select c -> 'result' as r) x
cross join lateral (
    select case when (r -> 'requires_human')::boolean then 'escalation'
                when not (r -> 'effective')::boolean or r ->> 'verdict' <> 'approve' then null
                when precedent.audit_draw(p_leaf) < (r -> 'audit_ppm')::integer then 'audit'
                when r ->> 'reversible_seconds' is not null then 'reversible' end as kind
) k
where k.kind is not null and c -> 'call' ->> 'as_of' is null
$$;

-- What a step leaves a review as; null where it stays open.
create or replace function precedent.review_status(c jsonb) returns text language sql immutable as $$
select case when c ->> 'op' not in ('answer', 'time_out') then null
            else case c ->> 'answer' when 'approve' then 'approved' when 'deny' then 'denied' when 'reverse' then 'reversed'
                                   when 'confirm' then 'confirmed' end end
$$;

-- Whether the review `r` can take the step `c`, at the moment that the step itself names.
create or replace function precedent.review_takes(r precedent.reviews, c jsonb) returns boolean language sql stable as $$
select coalesce(r.status = 'open' and case c ->> 'op'
    when 'answer' then case r.kind
        when 'escalation' then c ->> 'answer' in ('approve', 'deny')
                               and (r.on_timeout is distinct from 'deny' or r.due_at is null or (c ->> 'now')::timestamptz < r.due_at)
        when 'reversible' then c ->> 'answer' = 'reverse' and (c ->> 'now')::timestamptz < r.due_at
        when 'audit' then c ->> 'answer' in ('confirm', 'reverse') end
    when 'remind' then r.kind = 'escalation' and r.reminded_at is null and r.timed_out_at is null
    when 'raise' then r.kind = 'escalation' and r.raised_at is null and r.timed_out_at is null
    when 'time_out' then r.kind = 'escalation' and r.timed_out_at is null and r.due_at <= (c ->> 'now')::timestamptz
                         and c ->> 'answer' = coalesce(r.on_timeout, 'escalate')
    end, false)
$$;

create or replace function precedent.project_review(
    p_chain uuid, p_at timestamptz, p_id uuid, c jsonb, p_live boolean
) returns void language plpgsql as $$
declare
    v_decision uuid := (c ->> 'decision_id')::uuid;
    v_op text := c ->> 'op';
    v_status text := precedent.review_status(c);
begin
    update precedent.reviews r set
        status = coalesce(v_status, r.status),
        closed_at = case when v_status is not null then p_at end,
        reviewer = case when v_op = 'answer' then c ->> 'principal' end,
        answer = case when v_status is not null then c ->> 'answer' end,
        reason = case when v_status is not null then c ->> 'reason' end,
        answer_id = case when v_status is not null then p_id end,
        reminded_at = case when v_op = 'remind' then p_at else r.reminded_at end,
        raised_at = case when v_op = 'raise' then p_at else r.raised_at end,
        raised_to = case when v_op = 'raise' then c ->> 'to' else r.raised_to end,
        timed_out_at = case when v_op = 'time_out' then p_at else r.timed_out_at end
    where r.chain_id = p_chain and r.decision_id = v_decision and precedent.review_takes(r, c);
    if not found then
        raise exception 'the review of % takes no step "%" any more', v_decision, v_op using errcode = 'PL006';
    end if;
    if v_op = 'answer' and v_status = 'approved' then
        update precedent.decisions d set human_approver = c ->> 'principal' where d.chain_id = p_chain and d.id = v_decision;
    end if;
    if p_live then
        insert into precedent.outbox (chain_id, entry_id, topic, payload, created_at, next_attempt_at)
        select p_chain, p_id, t.topic,
               jsonb_build_object('decision_id', v_decision, 'node', c -> 'node', 'action', c -> 'action', 'to', c -> 'to',
                                  'answer', c -> 'answer'), p_at, p_at
        from (values ('answer', 'review.answered'), ('remind', 'review.reminder'), ('raise', 'review.raised'),
                     ('time_out', 'review.timed_out')) t (op, topic)
        where t.op = v_op;
    end if;
end
$$;

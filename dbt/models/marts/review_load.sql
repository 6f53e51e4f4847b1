{{ config(materialized='view') }}

with

reviews as (

    select * from {{ ref('stg_precedent__reviews') }}

),

final as (

    select
        chain_id,
        {{ utc_day('opened_at') }} as day,
        node,
        action,
        kind,
        count(*) as opened_count,
        -- What can be reversed no more waits for nobody, though no entry closed it.
        count(*) filter (where closed_at is null and (kind <> 'reversible' or due_at > now())) as waiting_count,
        count(*) filter (where closed_at is not null and reviewer is not null) as answered_count,
        count(*) filter (where closed_at is not null and reviewer is null) as lapsed_count,
        count(*) filter (where closed_at > due_at) as late_count,
        count(*) filter (where status = 'reversed') as reversed_count,
        (percentile_cont(0.5) within group (order by extract(epoch from closed_at - opened_at) / 3600))::numeric(12, 3) as hours_open_p50
    from reviews
    group by chain_id, {{ utc_day('opened_at') }}, node, action, kind

)

select * from final

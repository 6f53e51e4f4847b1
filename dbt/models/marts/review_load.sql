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
        count(*) as opened_count,
        count(*) filter (where closed_at is null) as waiting_count,
        count(*) filter (where closed_at is not null and reviewer is not null) as answered_count,
        count(*) filter (where closed_at is not null and reviewer is null) as lapsed_count,
        count(*) filter (where closed_at > due_at) as late_count,
        (percentile_cont(0.5) within group (order by extract(epoch from closed_at - opened_at) / 3600))::numeric(12, 3) as hours_open_p50
    from reviews
    group by chain_id, {{ utc_day('opened_at') }}, node, action

)

select * from final

{{ config(materialized='view') }}

with

daily as (

    select * from {{ ref('decision_daily') }}

),

summed as (

    select
        chain_id,
        day,
        node,
        action,
        sum(decisions_count)::bigint as decisions_count,
        sum(al0_count)::bigint as al0_count,
        sum(al1_count)::bigint as al1_count,
        sum(al2_count)::bigint as al2_count,
        sum(al3_count)::bigint as al3_count,
        sum(human_required_count)::bigint as human_required_count
    from daily
    group by chain_id, day, node, action

),

final as (

    select
        *,
        round(10000.0 * (decisions_count - human_required_count) / decisions_count)::integer as alone_bp
    from summed

)

select * from final

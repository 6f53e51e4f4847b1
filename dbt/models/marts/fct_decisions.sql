{{ config(materialized='view') }}

with

decisions as (

    select * from {{ ref('int_decisions_joined_to_outcomes') }}

),

final as (

    select
        chain_id,
        decision_id,
        node,
        action,
        policy_version,
        variant,
        verdict,
        autonomy_level,
        effective,
        requires_human,
        latency_ms,
        known_at,
        known_on,
        outcome_state,
        matured_at,
        reward
    from decisions

)

select * from final

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
        outcome_revision,
        metrics,
        reward,
        matured_at,
        outcome_known_at,
        (extract(epoch from matured_at - known_at) / 86400)::numeric(12, 3) as days_to_outcome
    from decisions
    where outcome_state = 'matured'

)

select * from final

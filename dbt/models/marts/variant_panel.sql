-- A view: nobody but the day's scorecards reads it whole, and a table would be written again with each late outcome. It reads
-- what the joined decisions say of the cut; what it takes from the record beside (probabilities, a revision's flag) never changes.
{{ config(materialized='view') }}

with

joined as (

    select * from {{ ref('int_decisions_joined_to_outcomes') }}

),

decisions as (

    select * from {{ ref('stg_precedent__decisions') }}

),

outcomes as (

    select * from {{ ref('stg_precedent__outcomes') }}

),

final as (

    select
        joined.chain_id,
        joined.decision_id,
        joined.decision_seq,
        joined.node || '/' || joined.action as experiment,
        joined.node,
        joined.action,
        joined.policy_version,
        joined.variant,
        decisions.probabilities,
        case
            -- Nothing was drawn, so nothing else could have decided. A vector that lacks the chosen one stays without: a test finds it.
            when decisions.probabilities is null then 1
            else (decisions.probabilities ->> joined.variant)::numeric / 1000000
        end::numeric(7, 6) as chosen_probability,
        joined.known_at,
        joined.known_on,
        joined.matured_at,
        joined.outcome_revision,
        joined.outcome_known_at,
        outcomes.counted,
        joined.reward,
        joined.changed_seq
    from joined
    inner join decisions
        on joined.chain_id = decisions.chain_id and joined.decision_id = decisions.decision_id
    inner join outcomes
        on joined.chain_id = outcomes.chain_id
        and joined.decision_id = outcomes.decision_id
        and joined.outcome_revision = outcomes.revision
    where joined.outcome_state = 'matured'

)

select * from final

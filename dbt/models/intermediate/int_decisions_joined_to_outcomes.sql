{{
    config(
        incremental_strategy='delete+insert',
        unique_key=['chain_id', 'decision_id'],
        indexes=[
            {'columns': ['chain_id', 'decision_id'], 'unique': true},
            {'columns': ['chain_id', 'changed_seq']},
            {'columns': ['known_on']},
        ],
    )
}}

with

decisions as (

    select * from {{ ref('stg_precedent__decisions') }}

),

outcomes as (

    select * from {{ ref('stg_precedent__outcomes') }}

),

ranges as (

    {{ ledger_ranges('changed_seq') }}

),

-- A decision is written again when an outcome of it arrives or is corrected, whatever its own age.
changed as (

    select decisions.chain_id, decisions.decision_id, ranges.below_seq
    from decisions
    inner join ranges
        on decisions.chain_id = ranges.chain_id and decisions.seq > ranges.after_seq and decisions.seq < ranges.below_seq

    union

    select outcomes.chain_id, outcomes.decision_id, ranges.below_seq
    from outcomes
    inner join ranges
        on outcomes.chain_id = ranges.chain_id and outcomes.seq > ranges.after_seq and outcomes.seq < ranges.below_seq

),

current_outcomes as (

    select distinct on (outcomes.chain_id, outcomes.decision_id)
        outcomes.chain_id,
        outcomes.decision_id,
        outcomes.revision,
        outcomes.seq,
        outcomes.metrics,
        outcomes.reward,
        outcomes.known_at,
        first_value(outcomes.known_at) over (
            partition by outcomes.chain_id, outcomes.decision_id order by outcomes.revision
        ) as matured_at
    from outcomes
    inner join changed
        on outcomes.chain_id = changed.chain_id and outcomes.decision_id = changed.decision_id and outcomes.seq < changed.below_seq
    order by outcomes.chain_id, outcomes.decision_id, outcomes.revision desc

),

final as (

    select
        decisions.chain_id,
        decisions.decision_id,
        decisions.seq as decision_seq,
        decisions.node,
        decisions.action,
        decisions.policy_version,
        decisions.variant,
        decisions.verdict,
        decisions.autonomy_level,
        decisions.effective,
        decisions.requires_human,
        decisions.latency_ms,
        decisions.ts,
        decisions.known_at,
        decisions.known_on,
        case when current_outcomes.decision_id is null then 'pending' else 'matured' end as outcome_state,
        current_outcomes.revision as outcome_revision,
        current_outcomes.matured_at,
        current_outcomes.known_at as outcome_known_at,
        current_outcomes.metrics,
        current_outcomes.reward,
        greatest(decisions.seq, current_outcomes.seq) as changed_seq
    from decisions
    inner join changed
        on decisions.chain_id = changed.chain_id and decisions.decision_id = changed.decision_id
    left join current_outcomes
        on decisions.chain_id = current_outcomes.chain_id and decisions.decision_id = current_outcomes.decision_id

)

select * from final

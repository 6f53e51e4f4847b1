{{
    config(
        incremental_strategy='delete+insert',
        unique_key=['chain_id', 'day'],
        indexes=[
            {'columns': ['chain_id', 'day', 'node', 'action', 'policy_version'], 'unique': true},
            {'columns': ['chain_id', 'changed_seq']},
        ],
    )
}}

with

decisions as (

    select * from {{ ref('int_decisions_joined_to_outcomes') }}

),

days as (

    {{ days_to_compute() }}

),

-- A late or corrected outcome belongs to the day of its decision: days that stand here already are brought up to date too.
days_by_chain as (

    select distinct decisions.chain_id, decisions.known_on as day
    from decisions
    inner join days on decisions.known_on = days.day
    {%- if is_incremental() %}

    union

    select decisions.chain_id, decisions.known_on
    from decisions
    inner join (
        select chain_id, max(changed_seq) as changed_seq
        from {{ this }}
        group by chain_id
    ) as done
        on decisions.chain_id = done.chain_id and decisions.changed_seq > done.changed_seq
    where (decisions.chain_id, decisions.known_on) in (select chain_id, day from {{ this }})
    {%- endif %}

),

final as (

    select
        decisions.chain_id,
        decisions.known_on as day,
        decisions.node,
        decisions.action,
        decisions.policy_version,
        count(*) as decisions_count,
        count(*) filter (where decisions.verdict = 'approve') as approved_count,
        count(*) filter (where decisions.verdict = 'deny') as denied_count,
        count(*) filter (where decisions.verdict = 'escalate') as escalated_count,
        {%- for level in range(4) %}
        count(*) filter (where decisions.autonomy_level = {{ level }}) as al{{ level }}_count,
        {%- endfor %}
        count(*) filter (where decisions.requires_human) as human_required_count,
        count(*) filter (where decisions.outcome_state = 'matured') as matured_count,
        count(*) filter (where decisions.outcome_state = 'pending') as pending_count,
        sum(decisions.reward)::numeric(20, 6) as reward_sum,
        avg(decisions.reward)::numeric(7, 6) as reward_mean,
        (percentile_cont(0.5) within group (order by decisions.latency_ms))::numeric(10, 3) as latency_ms_p50,
        (percentile_cont(0.95) within group (order by decisions.latency_ms))::numeric(10, 3) as latency_ms_p95,
        max(decisions.changed_seq) as changed_seq
    from decisions
    inner join days_by_chain
        on decisions.chain_id = days_by_chain.chain_id and decisions.known_on = days_by_chain.day
    group by decisions.chain_id, decisions.known_on, decisions.node, decisions.action, decisions.policy_version

)

select * from final

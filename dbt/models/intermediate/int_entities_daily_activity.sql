{{
    config(
        incremental_strategy='append',
        pre_hook="{% if is_incremental() %}delete from {{ this }} where measures_digest <> '{{ measures_digest() }}'{% endif %}",
        indexes=[
            {'columns': ['counted_on', 'entity_type']},
            {'columns': ['chain_id', 'absorbed_seq']},
        ],
    )
}}
{%- set measures = measures() -%}

with

decisions as (

    select * from {{ ref('stg_precedent__decisions') }}

),

outcomes as (

    select * from {{ ref('stg_precedent__outcomes') }}

),

ranges as (

    {{ ledger_ranges('absorbed_seq') }}

),

new_decisions as (

    select decisions.*, ranges.below_seq - 1 as absorbed_seq
    from decisions
    inner join ranges
        on decisions.chain_id = ranges.chain_id and decisions.seq > ranges.after_seq and decisions.seq < ranges.below_seq

),

-- All revisions of every outcome that this run adds to. A revision is never known before the one that it replaces.
revisions as (

    select
        outcomes.*,
        ranges.below_seq - 1 as absorbed_seq,
        outcomes.seq > ranges.after_seq as is_new,
        max(outcomes.known_at) over revised as effective_at,
        first_value(outcomes.known_at) over revised as matured_at,
        lag(outcomes.metrics) over revised as replaced_metrics,
        lag(outcomes.reward) over revised as replaced_reward,
        lag(outcomes.revision) over revised is not null as is_correction
    from outcomes
    inner join ranges
        on outcomes.chain_id = ranges.chain_id and outcomes.seq < ranges.below_seq
    where (outcomes.chain_id, outcomes.decision_id) in (
        select added.chain_id, added.decision_id
        from outcomes as added
        inner join ranges as added_ranges
            on added.chain_id = added_ranges.chain_id
            and added.seq > added_ranges.after_seq
            and added.seq < added_ranges.below_seq
    )
    window revised as (partition by outcomes.chain_id, outcomes.decision_id order by outcomes.revision)

),

-- A correction takes away what the revision before had added, on the day we knew better: earlier days stay as they were.
outcome_changes as (

    select
        chain_id, decision_id, absorbed_seq, matured_at, effective_at, metrics, reward, 1 as sign
    from revisions
    where is_new

    union all

    select
        chain_id, decision_id, absorbed_seq, matured_at, effective_at, replaced_metrics, replaced_reward, -1
    from revisions
    where is_new and is_correction

),

facts as (

    select
        'decisions' as origin,
        chain_id, entities, node, action, policy_version, verdict, autonomy_level, effective, requires_human, inputs,
        null::jsonb as metrics,
        null::numeric as reward,
        known_on as counted_on,
        known_on,
        1 as sign,
        absorbed_seq
    from new_decisions

    union all

    select
        'outcomes',
        decisions.chain_id, decisions.entities, decisions.node, decisions.action, decisions.policy_version, decisions.verdict,
        decisions.autonomy_level, decisions.effective, decisions.requires_human, decisions.inputs,
        outcome_changes.metrics,
        outcome_changes.reward,
        {{ utc_day('outcome_changes.matured_at') }},
        {{ utc_day('outcome_changes.effective_at') }},
        outcome_changes.sign,
        outcome_changes.absorbed_seq
    from outcome_changes
    inner join decisions
        on outcome_changes.chain_id = decisions.chain_id and outcome_changes.decision_id = decisions.decision_id

),

facts_by_entity as (

    select facts.*, 'node' as entity_type, facts.node as entity_id
    from facts

    union all

    select facts.*, entity.key, entity.value
    from facts
    cross join lateral jsonb_each_text(facts.entities) as entity
    where entity.key <> 'node'

),

final as (
    {% for measure in measures.values() %}
    select
        chain_id,
        entity_type,
        entity_id,
        {{ measure.measure_literal }} as measure,
        counted_on,
        known_on,
        sum(sign)::bigint as row_count,
        sum(sign * {{ '1' if measure.mean is none else '(' ~ measure.mean ~ ')' }})::numeric as value_sum,
        absorbed_seq,
        '{{ measures_digest() }}' as measures_digest
    from facts_by_entity
    where
        origin = '{{ measure.from }}'
        and entity_type = '{{ measure.entity }}'
        and ({{ measure.where }})
        {%- if measure.mean is not none %}
        and ({{ measure.mean }}) is not null
        {%- endif %}
    group by chain_id, entity_type, entity_id, counted_on, known_on, absorbed_seq
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

)

select * from final

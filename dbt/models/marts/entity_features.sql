{{
    config(
        incremental_strategy='delete+insert',
        unique_key=['chain_id', 'as_of_date'],
        indexes=[
            {'columns': ['chain_id', 'entity_type', 'entity_id', 'known_at'], 'unique': true},
            {'columns': ['chain_id', 'as_of_date']},
        ],
    )
}}
{%- set features = features() %}
{%- set kept_days = longest_window_days() + rest_days() %}

with

activity as (

    select * from {{ ref('int_entities_daily_activity') }}

),

days as (

    {{ days_to_compute() }}

),

-- Known by the end of the day, within the longest window: nothing that came later is seen.
valued as (

    select
        activity.chain_id,
        activity.entity_type,
        activity.entity_id,
        days.day as as_of_date,
        {%- for feature in features %}
        {{ feature_value(feature) }} as {{ feature.column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from days
    inner join activity
        on activity.counted_on > days.day - {{ kept_days }}
        and activity.counted_on <= days.day
        and activity.known_on <= days.day
    where
        activity.counted_on > {{ first_day() }} - {{ kept_days }}
        and activity.counted_on < {{ end_day() }}
    group by activity.chain_id, activity.entity_type, activity.entity_id, days.day

),

final as (

    select
        chain_id,
        entity_type,
        entity_id,
        as_of_date,
        (as_of_date + 1)::timestamp at time zone 'UTC' as known_at,
        {%- for feature in features %}
        {{ feature.column }},
        {%- endfor %}
        jsonb_strip_nulls(case entity_type
            {%- for entity, own_features in features | groupby('entity') %}
            when '{{ entity }}' then jsonb_build_object(
                {%- for feature in own_features %}
                '{{ feature.name }}', {{ feature.column }}{{ ',' if not loop.last }}
                {%- endfor %}
            )
            {%- endfor %}
        end) as features
    from valued

)

select * from final

with

outcomes as (

    select * from {{ source('precedent', 'outcomes') }}

),

final as (

    select
        chain_id,
        decision_id,
        revision,
        id as outcome_id,
        seq,
        metrics,
        reward,
        counted,
        observed_at,
        known_at,
        recorded_at,
        correlation_id,
        principal,
        imported
    from outcomes

)

select * from final

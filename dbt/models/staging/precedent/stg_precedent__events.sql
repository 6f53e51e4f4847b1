with

events as (

    select * from {{ source('precedent', 'events') }}

),

final as (

    select
        chain_id,
        id as event_id,
        seq,
        type,
        actor,
        source,
        subject_id,
        payload,
        ts,
        known_at,
        {{ utc_day('known_at') }} as known_on,
        recorded_at,
        correlation_id,
        principal,
        imported
    from events

)

select * from final

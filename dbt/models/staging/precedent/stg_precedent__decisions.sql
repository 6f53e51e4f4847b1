with

decisions as (

    select * from {{ source('precedent', 'decisions') }}

),

final as (

    select
        chain_id,
        id as decision_id,
        seq,
        event_id,
        node,
        action,
        policy_version,
        policy_digest,
        variant,
        probabilities,
        inputs,
        memory,
        entities,
        subject_id,
        verdict,
        autonomy_level,
        rule,
        reason,
        effective,
        requires_human,
        latency_ms,
        ts,
        known_at,
        {{ utc_day('known_at') }} as known_on,
        recorded_at,
        correlation_id,
        principal,
        imported,
        encode(hash, 'hex') as leaf_hex
    from decisions

)

select * from final

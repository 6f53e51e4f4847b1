with

policy_versions as (

    select * from {{ source('precedent', 'policy_versions') }}

),

final as (

    select
        chain_id,
        name,
        version,
        name || '@' || version as policy_version,
        node,
        digest,
        status,
        created_at,
        created_by,
        activated_at,
        seq
    from policy_versions

)

select * from final

{{ config(materialized='view') }}

with

policy_versions as (

    select * from {{ ref('stg_precedent__policy_versions') }}

),

final as (

    select
        chain_id,
        policy_version,
        name,
        version,
        node,
        digest,
        status,
        created_at,
        created_by,
        activated_at
    from policy_versions

)

select * from final

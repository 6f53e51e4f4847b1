with

reviews as (

    select * from {{ source('precedent', 'reviews') }}

),

final as (

    select
        chain_id,
        decision_id,
        node,
        action,
        status,
        assigned_to,
        due_at,
        on_timeout,
        opened_at,
        closed_at,
        reviewer,
        answer,
        reason
    from reviews

)

select * from final

with

reviews as (

    select * from {{ source('precedent', 'reviews') }}

),

final as (

    select
        chain_id,
        decision_id,
        kind,
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
        reason,
        reminded_at,
        raised_at,
        raised_to,
        timed_out_at,
        answer_id
    from reviews

)

select * from final

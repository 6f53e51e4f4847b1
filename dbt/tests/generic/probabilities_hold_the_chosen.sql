{#- Rows that no estimate may weigh: the chosen one had no probability, or the vector does not add up to 1. -#}
{% test probabilities_hold_the_chosen(model) %}
select chain_id, decision_id
from {{ model }}
where
    known_on >= {{ first_day_or_all() }}
    and (
        chosen_probability is null
        or not (chosen_probability > 0 and chosen_probability <= 1)
        or (
            probabilities is not null
            and (select sum(one.value::numeric) from jsonb_each_text(probabilities) as one) <> 1000000
        )
    )
{% endtest %}

{#- Rows that could see beyond their day: known at another instant than the day's end, or before the day was over. -#}
{% test features_are_point_in_time(model) %}
select chain_id, entity_type, entity_id, as_of_date, known_at
from {{ model }}
where
    as_of_date >= {{ first_day_or_all() }}
    and (known_at <> (as_of_date + 1)::timestamp at time zone 'UTC' or known_at > now())
{% endtest %}

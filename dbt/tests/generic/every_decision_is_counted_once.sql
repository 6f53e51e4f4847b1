{#- Days whose parts do not add up to their decisions. -#}
{% test every_decision_is_counted_once(model) %}
select chain_id, day
from {{ model }}
where
    decisions_count <> approved_count + denied_count + escalated_count
    or decisions_count <> al0_count + al1_count + al2_count + al3_count
    or decisions_count <> matured_count + pending_count
{% endtest %}

{#- `day` is the column of a view's rows that bounds the test to the run's days, where the key of the table below holds for the others. -#}
{% test unique_together(model, columns, day=none) %}
select {{ columns | join(', ') }}, count(*) as rows_count
from {{ model }}
{%- if day is not none %}
where {{ day }} >= {{ first_day_or_all() }}
{%- endif %}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

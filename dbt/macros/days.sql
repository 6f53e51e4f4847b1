{#- The days that a mart computes, as a query with one column `day`: from_day (inclusive) to to_day (exclusive).
    A model that calls this reads int_decisions_joined_to_outcomes. -#}
{% macro days_to_compute() %}
    select generate_series({{ first_day() }}, {{ end_day() }} - 1, interval '1 day')::date as day
{% endmacro %}


{% macro first_day() -%}
    {%- if var('from_day') is none -%}
    (select min(known_on) from {{ ref('int_decisions_joined_to_outcomes') }})
    {%- else -%}
    date '{{ var("from_day") }}'
    {%- endif -%}
{%- endmacro %}


{% macro end_day() -%}
    {%- if var('to_day') is none -%}
    (now() at time zone 'UTC')::date
    {%- else -%}
    date '{{ var("to_day") }}'
    {%- endif -%}
{%- endmacro %}


{#- The day, in UTC, on which an instant falls: the same in every session's time zone. -#}
{% macro utc_day(instant) -%}
    ({{ instant }} at time zone 'UTC')::date
{%- endmacro %}


{#- For tests of marts: their cost grows with the range of the run, too. -#}
{% macro first_day_or_all() -%}
    {%- if var('from_day') is none -%} '-infinity'::date {%- else -%} date '{{ var("from_day") }}' {%- endif -%}
{%- endmacro %}

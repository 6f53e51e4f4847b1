{#- Features are columns of `entity_features`, declared once, in its .yml: `customer.discounts_30d` is the column
    `customer_discounts_30d`, with type and description as any column, and `config.meta.feature`:

      entity   type of the entity it is kept about: a key of decisions.entities, or `node`
      from     decisions (counted on the day we knew the decision) or outcomes (on the day we knew the first one)
      where    SQL over node, action, policy_version, verdict, autonomy_level, effective, requires_human, inputs, and for
               outcomes also metrics, reward; optional
      mean     SQL: the feature is its mean over those rows in basis points, null where there are none; without it, their count
      days     length of the window, which ends with the day described -#}
{% macro features() %}
    {%- set found = [] -%}
    {%- for feature in declared_features() -%}
        {%- if not feature.column.startswith(feature.entity ~ '_') -%}
            {{ exceptions.raise_compiler_error("couldn't read the features: " ~ feature.column ~ " must begin with " ~ feature.entity ~ "_") }}
        {%- endif -%}
        {%- set where = feature.where | default('true') -%}
        {%- set counted = feature.from ~ ' where ' ~ where -%}
        {%- set measure = 'mean of ' ~ feature.mean ~ ' over ' ~ counted if feature.mean is defined else 'count of ' ~ counted -%}
        {%- do found.append({
            'column': feature.column,
            'name': feature.column[feature.entity | length + 1:],
            'data_type': feature.data_type,
            'entity': feature.entity,
            'from': feature.from,
            'where': where,
            'mean': feature.mean | default(none),
            'days': feature.days,
            'measure': measure,
            'measure_literal': "'" ~ measure.replace("'", "''") ~ "'",
        }) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{#- The declarations as they stand. Unit tests put their own in their place: they test the arithmetic, whatever is declared. -#}
{% macro declared_features() %}
    {%- set found = [] -%}
    {%- if execute -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == 'entity_features' -%}
        {%- for column in node.columns.values() if column.config.meta.feature is defined -%}
            {%- do found.append(dict(column.config.meta.feature, column=column.name, data_type=column.data_type)) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{% endmacro %}


{#- What the features count, apart from their windows: two features over 30 and 90 days share one measure. -#}
{% macro measures() %}
    {%- set found = {} -%}
    {%- for feature in features() -%}
        {%- do found.update({feature.entity ~ ': ' ~ feature.measure: feature}) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{#- Changes when a measure is added, removed or redefined: then the daily activity is computed anew. -#}
{% macro measures_digest() -%}
    {{ return(local_md5(measures().keys() | sort | join('|'))) }}
{%- endmacro %}


{% macro longest_window_days() -%}
    {{ return(([0] + (features() | map(attribute='days') | list)) | max) }}
{%- endmacro %}


{#- An entity's rows go on this long after its last window has emptied: the newest row then says zero, and a missed run or
    two cannot leave an old count standing as the newest. -#}
{% macro rest_days() -%}
    {{ return(7) }}
{%- endmacro %}


{#- One column of `entity_features`; null for entities of another type. -#}
{% macro feature_value(feature) -%}
    {%- set rows = "activity.measure = " ~ feature.measure_literal ~ " and activity.counted_on > days.day - " ~ feature.days -%}
    case when activity.entity_type = '{{ feature.entity }}' then
        {% if feature.mean is none -%}
        coalesce(sum(activity.row_count) filter (where {{ rows }}), 0)
        {%- else -%}
        round(
            10000 * sum(activity.value_sum) filter (where {{ rows }})
            / nullif(sum(activity.row_count) filter (where {{ rows }}), 0)
        )
        {%- endif %}
    end::{{ feature.data_type }}
{%- endmacro %}

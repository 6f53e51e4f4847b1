{#- Rows of the ledger that this run adds: per chain `seq > after_seq and seq < below_seq`.

    after_seq is the highest seq that the table under construction has absorbed (-1 when it is new or rebuilt): seq grows
    without gaps under the chain's lock, so nothing below it can appear later. below_seq is the run's cut, one for all models. -#}
{% macro ledger_ranges(absorbed_column) %}
    select
        heads.chain_id,
        {% if is_incremental() -%}
        coalesce(
            (select max(done.{{ absorbed_column }}) from {{ this }} as done where done.chain_id = heads.chain_id), -1
        ) as after_seq,
        {%- else -%}
        -1::bigint as after_seq,
        {%- endif %}
        heads.below_seq
    from (
        {{ ledger_prefix() }}
    ) as heads
{% endmacro %}


{% macro ledger_prefix() %}
    {%- set prefix = var('ledger_prefix') -%}
    {%- if prefix is none -%}
    select chain_id, size as below_seq from {{ source('precedent', 'ledger_heads') }}
    {%- else -%}
    {#- The source stays in the text, so that lineage does not depend on a variable. -#}
    select chains.chain_id, (cut.size)::bigint as below_seq
    from {{ source('precedent', 'ledger_heads') }} as chains
    inner join jsonb_each_text('{{ tojson(prefix) }}'::jsonb) as cut (chain_id, size) on cut.chain_id::uuid = chains.chain_id
    {%- endif -%}
{% endmacro %}

"""Tables of learning, part of `tables.py`: what outcomes count by version (the append writes it), and scorecards (the pipeline does)."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Numeric, Table, Text

from precedent.db.columns import INSTANT, chain_column, metadata

policy_variants_stats = Table(
    "policy_variants_stats",
    metadata,
    chain_column(primary_key=True),
    Column("experiment", Text, primary_key=True, comment="node/action"),
    Column("variant", Text, primary_key=True, comment="full policy reference"),
    Column("alpha", Numeric(20, 6), nullable=False, comment="1 + sum of rewards"),
    Column("beta", Numeric(20, 6), nullable=False, comment="1 + sum of (1 - reward)"),
    Column("updated_at", INSTANT, nullable=False),
    schema="precedent",
    # Updated by every counted outcome: room on the page keeps the updates heap-only.
    postgresql_with={"fillfactor": "50"},
)

# Rounded to six places: the last bit of another processor's floating point would make another digest of the same rows.
variant_scorecards = Table(
    "variant_scorecards",
    metadata,
    chain_column(primary_key=True),
    Column("computed_on", Date, primary_key=True, comment="UTC; computed again on the same day, its rows are written over"),
    Column("node", Text, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("policy_version", Text, primary_key=True, comment="full policy reference"),
    Column("matured_count", BigInteger, nullable=False, comment="decisions of which an outcome is known"),
    Column("rewarded_count", BigInteger, nullable=False, comment="those whose reward variants may learn from"),
    Column("reward_sum", Numeric(20, 6), nullable=False),
    Column("reward_mean", Numeric(7, 6), comment="null, as what follows, where none counts"),
    Column("low", Numeric(7, 6), comment="Wilson interval of 95 %"),
    Column("high", Numeric(7, 6)),
    Column("is_best", Numeric(7, 6), comment="probability that its rate is the highest of the experiment"),
    Column("ledger_size", BigInteger, nullable=False, comment="entries of the chain that they were computed from"),
    CheckConstraint("rewarded_count <= matured_count", name="rewarded_count"),
    schema="precedent",
    comment="how the outcomes of each version came out, as the panel of the day had them; descriptive",
)

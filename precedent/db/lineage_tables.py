"""Tables of lineage: what materialisations stated of their rows, the rows' leaves, and which partitions owe a statement.

`asset_statements` is a projection of entries of kind asset. Leaves are held to the ledger by the digest that they make; what is due
is work, and no part of the record. Part of `tables.py`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import UUID

from precedent.db.columns import INSTANT, JSON, chain_column, metadata

asset_statements = Table(
    "asset_statements",
    metadata,
    chain_column(primary_key=True),
    Column("id", UUID, primary_key=True, comment="of the entry"),
    Column("seq", BigInteger, nullable=False, comment="of a partition, the highest is current"),
    Column("asset", Text, nullable=False),
    Column("partition", Text, nullable=False, comment="a day, UTC"),
    Column("digest", Text, nullable=False, comment="of the rows, in hex: the root over their leaves"),
    Column("row_count", BigInteger, nullable=False),
    Column("ledger_size", BigInteger, nullable=False, comment="of the prefix that the rows were computed from"),
    Column("supersedes", UUID),
    Column("statement", JSON, nullable=False, comment="the entry's core"),
    Column("recorded_at", INSTANT, nullable=False),
    Index(None, "chain_id", "asset", "partition", "seq"),
    schema="precedent",
)

asset_leaves = Table(
    "asset_leaves",
    metadata,
    chain_column(primary_key=True),
    Column("entry_id", UUID, primary_key=True),
    Column("leaves", LargeBinary, nullable=False, comment="32 bytes a row, ascending: they make the digest, and tell which row differs"),
    schema="precedent",
)

asset_partitions = Table(
    "asset_partitions",
    metadata,
    chain_column(primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("partition", Text, primary_key=True),
    Column("due_since", INSTANT, comment="a run is writing its rows, or ended before it had stated them"),
    Index("asset_partitions_due_idx", "chain_id", "asset", postgresql_where=text("due_since is not null")),
    schema="precedent",
)

"""Tables of erasure: what was erased, what bars it, and the epochs of the keys. Projections; part of `tables.py`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from precedent.db.columns import INSTANT, chain_column, metadata

erasures = Table(
    "erasures",
    metadata,
    chain_column(primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", UUID, nullable=False),
    Column("subject_id", UUID, nullable=False),
    Column("section_count", Integer, nullable=False, comment="how many personal sections it destroyed"),
    Column("reason", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("erased_at", INSTANT, nullable=False),
    Index(None, "chain_id", "subject_id"),
    schema="precedent",
)

legal_holds = Table(
    "legal_holds",
    metadata,
    chain_column(primary_key=True),
    Column("id", UUID, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("subject_id", UUID),
    Column("node", Text, comment="every subject that this node decided about"),
    Column("until", INSTANT, comment="null: until it is lifted"),
    Column("reason", Text, nullable=False),
    Column("placed_at", INSTANT, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("lifted_at", INSTANT),
    Column("lifted_by", Text),
    schema="precedent",
)

retention_rules = Table(
    "retention_rules",
    metadata,
    chain_column(primary_key=True),
    Column("node", Text, primary_key=True, comment="a node; of events: events"),
    Column("action", Text, primary_key=True, comment="an action, or the type of an event; * is any"),
    Column("days", Integer, nullable=False, comment="from when it happened; 0 keeps nothing"),
    Column("reason", Text, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    Column("updated_by", Text, nullable=False),
    schema="precedent",
)

key_epochs = Table(
    "key_epochs",
    metadata,
    chain_column(primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("opened_seq", BigInteger, comment="null: from before the first rotation"),
    Column("destroyed_seq", BigInteger),
    schema="precedent",
)

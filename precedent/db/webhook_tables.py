"""Where webhooks go. Configuration, like tokens: no projection, and set by an administrator alone. Part of `tables.py`."""

from __future__ import annotations

from sqlalchemy import ARRAY, Column, Integer, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import UUID

from precedent.db.columns import INSTANT, chain_column, metadata

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    chain_column(primary_key=True),
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("topics", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False, server_default="active", comment="active or disabled"),
    Column("status_reason", Text),
    Column("secret_version", Integer, nullable=False, server_default="1", comment="the secret is derived from it and a key outside"),
    Column("previous_until", INSTANT, comment="until then the version before signs as well"),
    Column("paused_until", INSTANT, comment="until then nothing is sent: it was not reached, or asked for patience"),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    UniqueConstraint("chain_id", "name"),
    schema="precedent",
)

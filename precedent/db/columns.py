"""What all tables are made of: one collection, names by one rule, and the columns that they share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, MetaData
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

INSTANT = TIMESTAMP(timezone=True)
JSON = JSONB(none_as_null=True)


def chain_column(*, primary_key: bool = False) -> Column[Any]:
    return Column("chain_id", UUID, primary_key=primary_key, nullable=False)

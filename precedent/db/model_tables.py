"""What calls of model servers used. No projection: nothing of it is in the ledger. Only added to. Part of `tables.py`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.schema import CheckConstraint

from precedent.db.columns import INSTANT, chain_column, metadata

# Two rows a call: what it may use at most, committed before it is made; then what it used. Where the second is missing, the
# process ended in between, and the first counts.
model_calls = Table(
    "model_calls",
    metadata,
    chain_column(primary_key=True),
    Column("id", UUID, primary_key=True),
    Column("is_final", Boolean, primary_key=True, comment="false: before the call; true: after it"),
    Column("began_at", INSTANT, nullable=False, comment="the same in both rows; its UTC day is the day whose budget it uses"),
    Column("model", Text, nullable=False, comment="as it was asked for"),
    Column("purpose", Text, nullable=False, comment="embedding or words"),
    Column("node", Text, comment="null where it is for no single one"),
    Column("attempt", SmallInteger, nullable=False, comment="1, then one more for each retry, which is a call of its own"),
    Column("outcome", Text, nullable=False, comment="open, done, failed; refused: no budget had room, and nothing was sent"),
    Column("why", Text, comment="of a failure its kind, of a refusal the budget's name; never a server's words"),
    Column("counted", Text, nullable=False, comment="told by the server; bound: nobody told, the most it can be; none: nothing was used"),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_cached", BigInteger, nullable=False, comment="of tokens_in"),
    Column("tokens_out", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, comment="millionths of the currency, rounded up; null without a price"),
    Column("currency", Text, comment="null without a price"),
    Column("duration_ms", BigInteger, comment="of the call; null before it"),
    CheckConstraint("outcome in ('open', 'done', 'failed', 'refused') and is_final = (outcome <> 'open')", name="outcome"),
    CheckConstraint("counted in ('told', 'bound', 'none')", name="counted"),
    CheckConstraint("tokens_in >= tokens_cached and tokens_cached >= 0 and tokens_out >= 0", name="tokens"),
    CheckConstraint("cost_micros >= 0 and (cost_micros is null) = (currency is null)", name="cost"),
    Index(None, "chain_id", "began_at"),
    schema="precedent",
    comment="counts and names of models alone; nothing of what was sent",
)

"""Every table, as migrations must leave it: `alembic check` compares this file with the database.

Schema `ledger` is the record: written by `ledger.append` alone, changed by nobody. Schema `precedent` holds projections of
it, made for queries, rebuildable from the entries. The chain leads every key, so that chains can be spread over a cluster.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.schema import CheckConstraint

from precedent.db import erasure_tables as erasure_tables
from precedent.db import learning_tables as learning_tables
from precedent.db import lineage_tables as lineage_tables
from precedent.db import memory_tables as memory_tables
from precedent.db import model_tables as model_tables
from precedent.db import webhook_tables as webhook_tables
from precedent.db.columns import INSTANT, JSON, chain_column
from precedent.db.columns import metadata as metadata

# ── the record ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# Its row is the lock that serialises appends, and nothing updates it: a row updated once per commit leaves a dead version
# behind under every open snapshot (measured elsewhere: 1,350 commits a second fell to 360 in 80 s).
chain = Table(
    "chain",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    schema="ledger",
)

# Time and kind stand in the envelope alone, so that there is no second copy to disagree with it. No foreign key to `chain`:
# the append has locked that row, and a check per entry cost a sixth of its time.
entry = Table(
    "entry",
    metadata,
    chain_column(primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", UUID, nullable=False),
    Column("envelope", LargeBinary, nullable=False, comment="114 bytes, 2-ledger format v1"),
    Column("leaf", LargeBinary, nullable=False, comment="SHA256(0x00 || envelope)"),
    Column("commits", LargeBinary, nullable=False, comment="(u8 section id || commit[32]) ascending"),
    UniqueConstraint("chain_id", "entry_id"),
    CheckConstraint("seq >= 0", name="seq"),
    CheckConstraint("octet_length(envelope) = 114", name="envelope"),
    CheckConstraint("octet_length(leaf) = 32", name="leaf"),
    Index("entry_control_idx", "chain_id", "seq", postgresql_where=text("get_byte(envelope, 1) in (8, 9, 11)")),
    schema="ledger",
)

# No foreign key to `entry`: one function writes both in one statement's transaction, and verification checks both ways.
section = Table(
    "section",
    metadata,
    chain_column(primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("is_personal", Boolean, primary_key=True),
    Column("section_ids", ARRAY(SmallInteger), nullable=False),
    Column("salts", ARRAY(LargeBinary), nullable=False),
    Column("stored", ARRAY(LargeBinary), nullable=False, comment="canonical JSON; of a personal section its ciphertext"),
    schema="ledger",
)

subject_key = Table(
    "subject_key",
    metadata,
    chain_column(primary_key=True),
    Column("subject_id", UUID, primary_key=True),
    Column("epoch_key", Text, nullable=False, comment="name of the key that wraps it, kept outside the database"),
    Column("wrapped", LargeBinary, nullable=False),
    schema="ledger",
)

writer_kind = Table(
    "writer_kind",
    metadata,
    Column("role_name", Text, primary_key=True),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    schema="ledger",
    comment="which kinds of entry each database role may append",
)

# ── the tree over it ────────────────────────────────────────────────────────────────────────────────────────────────────

# Full tiles alone; what is beyond them follows from entries and from the tops of tiles.
tile = Table(
    "tile",
    metadata,
    chain_column(primary_key=True),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False, comment="hashes number*256 … number*256 + 255 of tree level 8*level"),
    Column("root", LargeBinary, nullable=False, comment="the hash at the top of the tile"),
    CheckConstraint("octet_length(hashes) = 8192", name="hashes"),
    CheckConstraint("octet_length(root) = 32", name="root"),
    schema="ledger",
)

checkpoint = Table(
    "checkpoint",
    metadata,
    chain_column(primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False, comment="C2SP tlog-checkpoint, signed"),
    CheckConstraint("size > 0", name="size"),
    CheckConstraint("octet_length(root) = 32", name="root"),
    schema="ledger",
)

# ── projections ─────────────────────────────────────────────────────────────────────────────────────────────────────────

control_epoch = Table(
    "control_epoch",
    metadata,
    chain_column(primary_key=True),
    Column("epoch", BigInteger, nullable=False, comment="seq of the newest policy or flag entry, plus one; 0 before any"),
    schema="precedent",
)

events = Table(
    "events",
    metadata,
    chain_column(primary_key=True),
    Column("id", UUID, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("ts", INSTANT, nullable=False, comment="when it happened, by the producer's word; else when it was recorded"),
    Column("known_at", INSTANT, nullable=False, comment="when we knew: as_of where imported, else recorded_at"),
    Column("recorded_at", INSTANT, nullable=False),
    Column("actor", Text),
    Column("correlation_id", Text, nullable=False),
    Column("source", Text),
    Column("subject_id", UUID),
    Column("principal", Text, nullable=False),
    Column("imported", Boolean, nullable=False),
    Column("payload", JSON, comment="null where it is personal: then it lives in the personal section alone"),
    UniqueConstraint("chain_id", "seq"),
    Index(None, "type", "ts"),
    Index(None, "chain_id", "type", "seq"),
    Index(None, "chain_id", "subject_id", postgresql_where=text("subject_id is not null")),
    schema="precedent",
)

decisions = Table(
    "decisions",
    metadata,
    chain_column(primary_key=True),
    Column("id", UUID, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("node", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("policy_digest", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("inputs", JSON, nullable=False, comment="typed facts: money in minor units, ratios in basis points, scores in ppm"),
    Column("output", JSON, nullable=False, comment="the result as it was recorded"),
    Column("verdict", Text, nullable=False),
    Column("autonomy_level", SmallInteger, nullable=False),
    Column("rule", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("effective", Boolean, nullable=False),
    Column("requires_human", Boolean, nullable=False),
    Column("human_approver", Text),
    Column("latency_ms", Numeric(10, 3), nullable=False),
    Column("ts", INSTANT, nullable=False),
    Column("known_at", INSTANT, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("event_id", UUID),
    Column("subject_id", UUID),
    Column("entities", JSON, nullable=False, comment="entity type to entity id; of a pseudonym the random subject id"),
    Column("memory", JSON, comment="the features that the rules could read"),
    Column("principal", Text, nullable=False),
    Column("imported", Boolean, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("probabilities", JSON, comment="variant to its probability in ppm when this one was drawn; null where nothing was drawn"),
    UniqueConstraint("chain_id", "seq"),
    Index(None, "node", "ts"),
    Index(None, "policy_version"),
    Index(None, "chain_id", "recorded_at"),
    Index(None, "chain_id", "subject_id", postgresql_where=text("subject_id is not null")),
    schema="precedent",
)

outcomes = Table(
    "outcomes",
    metadata,
    chain_column(primary_key=True),
    Column("decision_id", UUID, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False, comment="1, 2, … ; the highest is current"),
    Column("id", UUID, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("known_at", INSTANT, nullable=False),
    Column("observed_at", INSTANT, nullable=False),
    Column("metrics", JSON, nullable=False, comment="typed like facts"),
    Column("reward", Numeric(7, 6), comment="in [0, 1]; null where no band decided"),
    Column("counted", Boolean, nullable=False, comment="whether policy_variants_stats learns from it"),
    Column("principal", Text, nullable=False),
    Column("imported", Boolean, nullable=False),
    Column("correlation_id", Text, nullable=False),
    UniqueConstraint("chain_id", "seq"),
    Index(None, "recorded_at"),
    schema="precedent",
)

reviews = Table(
    "reviews",
    metadata,
    chain_column(primary_key=True),
    Column("decision_id", UUID, primary_key=True),
    Column("node", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("status", Text, nullable=False, comment="open, then approved or denied, reversed or confirmed"),
    Column("assigned_to", Text),
    Column("due_at", INSTANT, comment="of a reversible one: until when it can be reversed"),
    Column("on_timeout", Text),
    Column("opened_at", INSTANT, nullable=False),
    Column("closed_at", INSTANT),
    Column("reviewer", Text, comment="null while nobody answered, and where its deadline did"),
    Column("answer", Text),
    Column("reason", Text),
    Column("kind", Text, nullable=False, comment="escalation, reversible or audit"),
    Column("reminded_at", INSTANT),
    Column("raised_at", INSTANT),
    Column("raised_to", Text, comment="whom it was raised to before its deadline"),
    Column("timed_out_at", INSTANT, comment="when its deadline acted"),
    Column("answer_id", UUID, comment="of the entry that closed it"),
    # The queue, a kind at a time. Those that can't be reversed any more stay open for ever: a page begins behind them.
    Index("reviews_queue_idx", "chain_id", "kind", "status", text("coalesce(due_at, 'infinity'::timestamptz)"), "decision_id"),
    # What a deadline can still act on: a few, among all that was ever asked.
    Index("reviews_waiting_idx", "chain_id", "due_at", postgresql_where=text("status = 'open' and kind = 'escalation'")),
    Index(None, "chain_id", "closed_at", postgresql_where=text("closed_at is not null")),
    schema="precedent",
)

policy_versions = Table(
    "policy_versions",
    metadata,
    chain_column(primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("document", JSON, nullable=False),
    Column("status", Text, nullable=False, comment="published, active, superseded, deactivated or withdrawn"),
    Column("created_at", INSTANT, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("activated_at", INSTANT),
    Column("entry_id", UUID, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index(None, "name", text("created_at desc")),
    schema="precedent",
)

policy_proposals = Table(
    "policy_proposals",
    metadata,
    chain_column(primary_key=True),
    Column("id", UUID, primary_key=True, comment="of the entry that proposes"),
    Column("seq", BigInteger, nullable=False),
    Column("node", Text, nullable=False),
    Column("op", Text, nullable=False, comment="activate; relax: the node shall ask for one person alone"),
    Column("name", Text),
    Column("version", Text),
    Column("replaces", Text, comment="reference of the version that was active when it was proposed"),
    Column("status", Text, nullable=False, comment="open, approved, rejected or lapsed"),
    Column("reason", Text),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", INSTANT, nullable=False),
    Column("closed_by", Text),
    Column("closed_at", INSTANT),
    Column("closing_reason", Text),
    UniqueConstraint("chain_id", "seq"),
    schema="precedent",
)

change_control = Table(
    "change_control",
    metadata,
    chain_column(primary_key=True),
    Column("node", Text, primary_key=True),
    Column("second_person", Boolean, nullable=False, comment="whether an activation needs one who did not propose it"),
    Column("reason", Text, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    Column("updated_by", Text, nullable=False),
    schema="precedent",
    comment="absent means one person is enough",
)

node_flags = Table(
    "node_flags",
    metadata,
    chain_column(primary_key=True),
    Column("node", Text, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("max_level", SmallInteger, nullable=False, server_default="3"),
    Column("reason", Text, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    Column("updated_by", Text, nullable=False),
    CheckConstraint("max_level between 0 and 3", name="max_level"),
    schema="precedent",
    comment="absent means not enabled; the row (*, *) not enabled is the kill switch",
)

idempotency = Table(
    "idempotency",
    metadata,
    chain_column(primary_key=True),
    Column("claim", LargeBinary, primary_key=True, comment="SHA256 of principal, method, path and key"),
    Column("fingerprint", LargeBinary, nullable=False, comment="HMAC of the raw body"),
    Column("entry_id", UUID, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    schema="precedent",
)

_WAITING = "delivered_at is null and dead_at is null"
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    chain_column(),
    Column("entry_id", UUID, comment="null where a message is about no entry"),
    Column("endpoint_id", UUID, comment="of a webhook; null: for people"),
    Column("topic", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", INSTANT, nullable=False),
    Column("delivered_at", INSTANT),
    Column("dead_at", INSTANT),
    Column("last_error", Text),
    Index("outbox_people_idx", "next_attempt_at", postgresql_where=text(f"{_WAITING} and endpoint_id is null")),
    Index("outbox_webhooks_idx", "next_attempt_at", postgresql_where=text(f"{_WAITING} and endpoint_id is not null")),
    Index("outbox_dead_idx", "id", postgresql_where=text("dead_at is not null")),
    Index("outbox_delivered_idx", "chain_id", "delivered_at", postgresql_where=text("delivered_at is not null")),
    Index(  # a failed run is told once: to people, and to each endpoint
        "outbox_run_idx", "chain_id", text("(payload ->> 'run_id')"), "topic", "endpoint_id", unique=True,
        postgresql_where=text("entry_id is null and payload ->> 'run_id' is not null"), postgresql_nulls_not_distinct=True,
    ),
    schema="precedent",
)  # fmt: skip

# The mapping that erasure deletes: from a keyed hash of a pseudonym to the random id that everything else carries.
subjects = Table(
    "subjects",
    metadata,
    chain_column(primary_key=True),
    Column("lookup_hash", LargeBinary, primary_key=True, comment="HMAC of entity type and pseudonym, key outside the database"),
    Column("subject_id", UUID, nullable=False),
    UniqueConstraint("chain_id", "subject_id"),
    schema="precedent",
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True, comment="SHA256 of the token, which has 256 random bits"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("nodes", ARRAY(Text), nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("expires_at", INSTANT),
    Column("revoked_at", INSTANT),
    Column("followed_at", INSTANT, comment="when another of its name took its place; it works until it expires"),
    Column("rate_per_second", Double, comment="requests it may make on one API process; null: what the setting says"),
    CheckConstraint("rate_per_second > 0", name="api_tokens_rate_per_second_check"),
    Index("api_tokens_name_key", "name", unique=True, postgresql_where=text("revoked_at is null and followed_at is null")),
    schema="precedent",
)

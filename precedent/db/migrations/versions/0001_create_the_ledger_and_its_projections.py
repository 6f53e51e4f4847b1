"""Create the ledger and its projections.

The chain `main` is born here with a random id, so that two databases are never two copies of one chain by accident.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create schema if not exists ledger")
    op.execute("create schema if not exists precedent")
    op.execute("create schema if not exists analytics")
    op.execute("create extension if not exists vector")
    op.create_table(
        "chain",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("chain_pkey")),
        sa.UniqueConstraint("name", name=op.f("chain_name_key")),
        schema="ledger",
    )
    op.create_table(
        "section",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("is_personal", sa.Boolean(), nullable=False),
        sa.Column("section_ids", sa.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("salts", sa.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("stored", sa.ARRAY(sa.LargeBinary()), nullable=False, comment="canonical JSON; of a personal section its ciphertext"),
        sa.PrimaryKeyConstraint("chain_id", "seq", "is_personal", name=op.f("section_pkey")),
        schema="ledger",
    )
    op.create_table(
        "subject_key",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("subject_id", sa.UUID(), nullable=False),
        sa.Column("epoch_key", sa.Text(), nullable=False, comment="name of the key that wraps it, kept outside the database"),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "subject_id", name=op.f("subject_key_pkey")),
        schema="ledger",
    )
    op.create_table(
        "writer_kind",
        sa.Column("role_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("role_name", "kind", name=op.f("writer_kind_pkey")),
        schema="ledger",
        comment="which kinds of entry each database role may append",
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="SHA256 of the token, which has 256 random bits"),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("nodes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("api_tokens_pkey")),
        sa.UniqueConstraint("token_hash", name=op.f("api_tokens_token_hash_key")),
        schema="precedent",
    )
    op.create_table(
        "control_epoch",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="seq of the newest policy or flag entry, plus one; 0 before any"),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("control_epoch_pkey")),
        schema="precedent",
    )
    op.create_table(
        "decisions",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("policy_digest", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column(
            "inputs",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=False,
            comment="typed facts: money in minor units, ratios in basis points, scores in ppm",
        ),
        sa.Column(
            "output", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False, comment="the result as it was recorded"
        ),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("autonomy_level", sa.SmallInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("effective", sa.Boolean(), nullable=False),
        sa.Column("requires_human", sa.Boolean(), nullable=False),
        sa.Column("human_approver", sa.Text(), nullable=True),
        sa.Column("latency_ms", sa.Numeric(precision=10, scale=3), nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("known_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=True),
        sa.Column("subject_id", sa.UUID(), nullable=True),
        sa.Column(
            "entities",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=False,
            comment="entity type to entity id; of a pseudonym the random subject id",
        ),
        sa.Column(
            "memory",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="the features that the rules could read",
        ),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("imported", sa.Boolean(), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("decisions_pkey")),
        sa.UniqueConstraint("chain_id", "seq", name=op.f("decisions_chain_id_seq_key")),
        schema="precedent",
    )
    op.create_index(op.f("decisions_node_ts_idx"), "decisions", ["node", "ts"], unique=False, schema="precedent")
    op.create_index(op.f("decisions_policy_version_idx"), "decisions", ["policy_version"], unique=False, schema="precedent")
    op.create_table(
        "events",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "ts",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="when it happened, by the producer's word; else when it was recorded",
        ),
        sa.Column(
            "known_at", postgresql.TIMESTAMP(timezone=True), nullable=False, comment="when we knew: as_of where imported, else recorded_at"
        ),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("subject_id", sa.UUID(), nullable=True),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("imported", sa.Boolean(), nullable=False),
        sa.Column(
            "payload",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="null where it is personal: then it lives in the personal section alone",
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("events_pkey")),
        sa.UniqueConstraint("chain_id", "seq", name=op.f("events_chain_id_seq_key")),
        schema="precedent",
    )
    op.create_index(op.f("events_type_ts_idx"), "events", ["type", "ts"], unique=False, schema="precedent")
    op.create_table(
        "idempotency",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("claim", sa.LargeBinary(), nullable=False, comment="SHA256 of principal, method, path and key"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="HMAC of the raw body"),
        sa.Column("entry_id", sa.UUID(), nullable=False),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "claim", name=op.f("idempotency_pkey")),
        schema="precedent",
    )
    op.create_table(
        "node_flags",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("max_level", sa.SmallInteger(), server_default="3", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.CheckConstraint("max_level between 0 and 3", name=op.f("node_flags_max_level_check")),
        sa.PrimaryKeyConstraint("chain_id", "node", "action", name=op.f("node_flags_pkey")),
        schema="precedent",
        comment="absent means not enabled; the row (*, *) not enabled is the kill switch",
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("entry_id", sa.UUID(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("delivered_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("dead_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        schema="precedent",
    )
    op.create_index(
        "outbox_waiting_idx",
        "outbox",
        ["next_attempt_at"],
        unique=False,
        schema="precedent",
        postgresql_where=sa.text("delivered_at is null and dead_at is null"),
    )
    op.create_table(
        "outcomes",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("decision_id", sa.UUID(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False, comment="1, 2, … ; the highest is current"),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("known_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("observed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("metrics", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False, comment="typed like facts"),
        sa.Column("reward", sa.Numeric(precision=7, scale=6), nullable=True, comment="in [0, 1]; null where no band decided"),
        sa.Column("counted", sa.Boolean(), nullable=False, comment="whether policy_variants_stats learns from it"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("imported", sa.Boolean(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "decision_id", "revision", name=op.f("outcomes_pkey")),
        sa.UniqueConstraint("chain_id", "seq", name=op.f("outcomes_chain_id_seq_key")),
        schema="precedent",
    )
    op.create_index(op.f("outcomes_recorded_at_idx"), "outcomes", ["recorded_at"], unique=False, schema="precedent")
    op.create_table(
        "policy_variants_stats",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False, comment="node/action"),
        sa.Column("variant", sa.Text(), nullable=False, comment="full policy reference"),
        sa.Column("alpha", sa.Numeric(precision=20, scale=6), nullable=False, comment="1 + sum of rewards"),
        sa.Column("beta", sa.Numeric(precision=20, scale=6), nullable=False, comment="1 + sum of (1 - reward)"),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "experiment", "variant", name=op.f("policy_variants_stats_pkey")),
        schema="precedent",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "policy_versions",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("document", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="published, active, superseded or withdrawn"),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("activated_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("entry_id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "name", "version", name=op.f("policy_versions_pkey")),
        schema="precedent",
    )
    op.create_index(
        op.f("policy_versions_name_idx"),
        "policy_versions",
        ["name", sa.literal_column("created_at desc")],
        unique=False,
        schema="precedent",
    )
    op.create_table(
        "reviews",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("decision_id", sa.UUID(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="open, then approved or denied"),
        sa.Column("assigned_to", sa.Text(), nullable=True),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("on_timeout", sa.Text(), nullable=True),
        sa.Column("opened_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("reviewer", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "decision_id", name=op.f("reviews_pkey")),
        schema="precedent",
    )
    op.create_index(op.f("reviews_status_due_at_idx"), "reviews", ["status", "due_at"], unique=False, schema="precedent")
    op.create_table(
        "subjects",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("lookup_hash", sa.LargeBinary(), nullable=False, comment="HMAC of entity type and pseudonym, key outside the database"),
        sa.Column("subject_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "lookup_hash", name=op.f("subjects_pkey")),
        sa.UniqueConstraint("chain_id", "subject_id", name=op.f("subjects_chain_id_subject_id_key")),
        schema="precedent",
    )
    op.create_table(
        "entry",
        sa.Column("chain_id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.UUID(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False, comment="114 bytes, 2-ledger format v1"),
        sa.Column("leaf", sa.LargeBinary(), nullable=False, comment="SHA256(0x00 || envelope)"),
        sa.Column("commits", sa.LargeBinary(), nullable=False, comment="(u8 section id || commit[32]) ascending"),
        sa.CheckConstraint("octet_length(envelope) = 114", name=op.f("entry_envelope_check")),
        sa.CheckConstraint("octet_length(leaf) = 32", name=op.f("entry_leaf_check")),
        sa.CheckConstraint("seq >= 0", name=op.f("entry_seq_check")),
        sa.PrimaryKeyConstraint("chain_id", "seq", name=op.f("entry_pkey")),
        sa.UniqueConstraint("chain_id", "entry_id", name=op.f("entry_chain_id_entry_id_key")),
        schema="ledger",
    )
    op.execute("insert into ledger.chain (id, name) values (gen_random_uuid(), 'main')")


def downgrade() -> None:
    # Functions, views and triggers go with their schemas; the extension stays, for it may serve others.
    op.execute("drop schema if exists analytics cascade")
    op.execute("drop schema precedent cascade")
    op.execute("drop schema ledger cascade")

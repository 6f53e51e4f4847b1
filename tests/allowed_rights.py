"""What each database role may do, by name. What does not stand here is forbidden: a new table, view or function of ours fails
`test_rights.py` until it has a line, and a right that nobody needs any more fails it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from precedent.db.engine import ANALYST, API, ERASER, OWNER, PIPELINE

ROLES = (API, PIPELINE, ERASER, ANALYST)
SCHEMAS = ("ledger", "precedent", "analytics")

_NAMES = {"api": API, "pipeline": PIPELINE, "eraser": ERASER, "analyst": ANALYST}


def _roles(words: str) -> frozenset[str]:
    return frozenset(_NAMES[word] for word in words.split())


@dataclass(frozen=True, slots=True)
class Rights:
    """Who reads a table or view, all columns of it, which columns a role may set, who adds rows, and who reads some columns alone.
    Nobody has any other right on it.
    """

    read: frozenset[str]
    update: Mapping[str, frozenset[str]] = field(default_factory=dict)
    insert: frozenset[str] = frozenset()
    read_columns: Mapping[str, frozenset[str]] = field(default_factory=dict)


def _read_by(words: str) -> Rights:
    return Rights(_roles(words))


# Queries for everybody: they hold nothing personal but a random subject id.
_DERIVED = "api pipeline analyst"

RELATIONS: dict[str, Rights] = {
    "ledger.chain": _read_by("api pipeline eraser analyst"),
    "ledger.entry": _read_by("api pipeline eraser analyst"),
    "ledger.section": _read_by("api pipeline eraser"),
    "ledger.subject_key": _read_by("api eraser"),
    "ledger.tile": _read_by("api pipeline eraser"),
    "ledger.checkpoint": _read_by("api pipeline eraser"),
    "ledger.writer_kind": _read_by("api eraser"),
    "precedent.ledger_heads": _read_by("api pipeline eraser analyst"),
    "precedent.events": _read_by(_DERIVED),
    "precedent.decisions": _read_by(_DERIVED),
    "precedent.outcomes": _read_by(_DERIVED),
    "precedent.reviews": _read_by(_DERIVED),
    "precedent.policy_versions": _read_by(_DERIVED),
    "precedent.policy_proposals": _read_by(_DERIVED),
    "precedent.change_control": _read_by(_DERIVED),
    "precedent.node_flags": _read_by(_DERIVED),
    "precedent.policy_variants_stats": _read_by(_DERIVED),
    "precedent.control_epoch": _read_by("api"),
    "precedent.erasures": _read_by("api pipeline eraser"),
    "precedent.legal_holds": _read_by("api eraser"),
    "precedent.retention_rules": _read_by("api eraser"),
    "precedent.key_epochs": _read_by("api"),
    "precedent.idempotency": _read_by("api"),
    "precedent.subjects": _read_by("api eraser"),
    "precedent.api_tokens": _read_by("api"),
    "precedent.outbox": Rights(
        _roles("api pipeline"),
        {API: frozenset({"attempts", "next_attempt_at", "delivered_at", "dead_at", "last_error"})},
        _roles("pipeline"),
    ),
}

# Where webhooks go is an administrator's to say; who sends them notes that an endpoint is gone, or asked for patience.
# The pipeline knows who asked to hear of failed runs, and not where they are.
RELATIONS["precedent.webhook_endpoints"] = Rights(
    _roles("api"),
    {API: frozenset({"status", "status_reason", "paused_until"})},
    read_columns={PIPELINE: frozenset({"chain_id", "id", "status", "topics"})},
)

# Memory is derived by the pipeline and only added to.
RELATIONS |= {
    f"precedent.{name}": Rights(_roles(_DERIVED), insert=_roles("pipeline"))
    for name in (
        *("knowledge_snapshots", "recall_calibrations"),
        *(f"{kind}_embeddings_{size}" for kind in ("decision", "snapshot") for size in (384, 1536)),
    )
}
RELATIONS["precedent.case_vectors_384"] = _read_by(_DERIVED)  # kept by triggers
RELATIONS["precedent.embedding_models"] = Rights(
    _roles(_DERIVED), {PIPELINE: frozenset({"status", "served_from"})}, insert=_roles("pipeline")
)

# What calls of models used: the pipeline makes them, and adds.
RELATIONS["precedent.model_calls"] = Rights(_roles(_DERIVED), insert=_roles("pipeline"))
_SCORES = ("matured_count", "rewarded_count", "reward_sum", "reward_mean", "low", "high", "is_best", "ledger_size")
RELATIONS["precedent.variant_scorecards"] = Rights(_roles(_DERIVED), {PIPELINE: frozenset(_SCORES)}, insert=_roles("pipeline"))

RELATIONS |= {
    "precedent.asset_statements": _read_by(_DERIVED),
    "precedent.asset_leaves": Rights(_roles("api pipeline"), insert=_roles("pipeline")),
    "precedent.asset_partitions": Rights(_roles("api pipeline"), {PIPELINE: frozenset({"due_since"})}, insert=_roles("pipeline")),
}

# Functions by name; whatever is called by one that runs as the owner needs no line.
FUNCTIONS: dict[str, frozenset[str]] = {
    "ledger.append": _roles("api pipeline"),
    "ledger.erase": _roles("eraser"),
    "ledger.bar_erasure": _roles("eraser"),
    "ledger.personal_seqs": _roles("eraser"),
    "ledger.erasure_bars": _roles("eraser"),
    "ledger.integrate": _roles("api"),
    "ledger.u8": _roles("api pipeline eraser analyst"),
    "ledger.u64_at": _roles("api pipeline eraser analyst"),
    "ledger.instant": _roles("api pipeline eraser analyst"),
    "precedent.index_scope": _roles("pipeline"),
    "precedent.forget_delivered": _roles("api"),
}
# Those that run as the owner: each is a way into the record and is read with that in mind.
RUN_AS_OWNER = {
    "ledger.append",
    "ledger.integrate",
    "ledger.erase",
    "ledger.bar_erasure",
    "ledger.personal_seqs",
    "ledger.erasure_bars",
    "precedent.add_cases",
    "precedent.remove_cases",
    "precedent.index_scope",
    "precedent.forget_delivered",
}

# Kinds of entry by who may append them.
KINDS = {
    API: {1, 2, 3, 4, 5, 6},
    PIPELINE: {7, 10},
    ERASER: {8},
    OWNER: {9, 11},
}

# Tables of schema `ledger` that may change, and why. All others refuse update, delete and truncate by triggers.
MAY_CHANGE = {"ledger.writer_kind": "laid anew with the rights at every start; the rights test compares it with the list above"}

SCHEMA_RIGHTS = {
    "ledger": {name: {"USAGE"} for name in ROLES},
    "precedent": {name: {"USAGE"} for name in ROLES},
    "analytics": {API: {"USAGE"}, ANALYST: {"USAGE"}, PIPELINE: {"USAGE", "CREATE"}},  # dbt's, which the pipeline runs
}

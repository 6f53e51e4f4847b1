"""Checks of memory, as statements about what the run left behind."""

from __future__ import annotations

import dagster as dg

from precedent.db.embedded import database_url
from precedent.db.engine import PIPELINE, connect
from precedent.db.store import read_ledger_size
from precedent.ledger.store import chain_id_of
from precedent.memory.embedding_store import count_unplaced, read_serving
from precedent.memory.snapshot_store import read_words
from precedent.memory.words import foreign_numbers
from precedent.settings import load_settings

SHOWN = 20


@dg.asset_check(
    asset=dg.AssetKey("knowledge_snapshots"), blocking=True, description="The words of no snapshot hold a number that its structure lacks."
)
def words_hold_no_foreign_number() -> dg.AssetCheckResult:
    settings, found = load_settings(), {}
    with connect(database_url(settings), PIPELINE) as connection:
        for snapshot_id, words, facts in read_words(connection, chain_id_of(connection, settings.chain)):
            if foreign := foreign_numbers(words, facts):
                found[str(snapshot_id)] = foreign
    return dg.AssetCheckResult(passed=not found, metadata={"snapshots": dict(list(found.items())[:SHOWN]), "snapshots_count": len(found)})


@dg.asset_check(
    asset=dg.AssetKey("decision_embeddings"), description="Every decision that may be a precedent has a vector of the model that serves."
)
def every_precedent_is_placed() -> dg.AssetCheckResult:
    settings, missing = load_settings(), 0
    with connect(database_url(settings), PIPELINE) as connection:
        chain_id = chain_id_of(connection, settings.chain)
        if model := read_serving(connection, chain_id):
            missing = count_unplaced(connection, chain_id, model, read_ledger_size(connection, settings.chain))
    return dg.AssetCheckResult(passed=missing == 0, severity=dg.AssetCheckSeverity.WARN, metadata={"missing_count": missing})

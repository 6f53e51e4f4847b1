"""How precedents are searched: measured after vectors were placed, and held to the exact answer by a check.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` as an object.
"""

from datetime import UTC, datetime

import dagster as dg

from dagster_project.defs.ledger.assets import metadata_of
from dagster_project.defs.ledger.statements import stating
from dagster_project.defs.ledger.store import ledger_cut
from dagster_project.defs.runs import AGAIN, DERIVING, again_if_away
from dagster_project.defs.warehouse.translator import FRESH
from precedent.db.embedded import database_url
from precedent.db.engine import PIPELINE, connect
from precedent.ledger.store import chain_id_of
from precedent.lineage.state import Maker, Upstream
from precedent.lineage.statement import Prefix
from precedent.memory.calibrate import WANTED_RECALL, Probed, calibrate, probe
from precedent.memory.recall_store import SOURCE, Calibration
from precedent.settings import load_settings


@dg.asset(
    deps=[dg.AssetKey("decision_embeddings")],
    group_name="memory",
    kinds={"postgres"},
    retry_policy=AGAIN,
    pool=DERIVING,
    freshness_policy=FRESH,
    description="By action: how precedents are searched, what that finds of the exact ten, and beyond which distance a case is novel.",
)
def recall_probe(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    settings, today = load_settings(), datetime.now(UTC).date()
    url = database_url(settings)
    # Every day's vectors may be among those that are searched.
    maker = Maker(SOURCE, [Upstream("decision_embeddings", (today - settings.pipeline_start).days)])
    with again_if_away(), ledger_cut(url) as heads:
        prefix = next(Prefix(head.chain_id, head.size, head.root) for head in heads if head.chain == settings.chain)
        with stating(context, url, [prefix], "recall_probe", maker, today):
            made = calibrate(url, prefix.chain_id, lambda: datetime.now(UTC))
    return dg.MaterializeResult(
        metadata={
            **metadata_of(heads),
            "actions": dg.MetadataValue.json({f"{one.node}/{one.action}": _told(one) for one in made}),
            "actions_count": len(made),
            "least_recall": float(min((one.recall_at_10 for one in made), default=1)),
        }
    )


@dg.asset_check(
    asset=dg.AssetKey("recall_probe"),
    blocking=True,
    description=f"What decisions find of their precedents is {WANTED_RECALL:.0%} of the exact ten, for every action.",
)
def recall_is_high_enough() -> dg.AssetCheckResult:
    settings = load_settings()
    url = database_url(settings)
    with connect(url, PIPELINE) as connection:
        chain_id = chain_id_of(connection, settings.chain)
    found = probe(url, chain_id, datetime.now(UTC))
    return dg.AssetCheckResult(
        passed=all(one.is_enough for one in found),
        metadata={"actions": dg.MetadataValue.json({one.scope: _found(one) for one in found}), "actions_count": len(found)},
    )


def _told(one: Calibration) -> dict[str, int | float | None]:
    novelty = None if one.novelty_distance is None else float(one.novelty_distance)
    return {"rows": one.rows_count, "ef_search": one.ef_search, "recall_at_10": float(one.recall_at_10), "novelty_distance": novelty}


def _found(one: Probed) -> dict[str, int | float | None]:
    return {"ef_search": one.ef_search, "recall_at_10": float(one.recall), "cases": one.case_count}

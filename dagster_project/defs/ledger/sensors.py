"""Watches the heads between runs; no process is started for it."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.ledger.assets import observations_of, version_of
from dagster_project.defs.ledger.store import read_heads
from precedent.db.embedded import database_url
from precedent.errors import DatabaseUnavailable
from precedent.settings import load_settings


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def ledger_heads(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Observes events, decisions and outcomes when the ledger has grown since the last look."""
    try:
        heads = read_heads(database_url(load_settings()))
    except DatabaseUnavailable as error:
        return dg.SkipReason(str(error))
    version = version_of(heads)
    if version == context.cursor:
        return dg.SkipReason("the ledger has not grown")
    return dg.SensorResult(asset_events=list(observations_of(heads)), cursor=version)

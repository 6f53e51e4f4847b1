"""The job `distill` and its schedule: ten minutes after the features of the same day."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.ledger.checks import chain_is_unbroken, head_never_shrinks
from dagster_project.defs.memory.assets import decision_embeddings, knowledge_snapshots, snapshot_embeddings
from dagster_project.defs.memory.recall import recall_probe
from dagster_project.defs.warehouse.jobs import run_of_last_day
from precedent.settings import load_settings

distill = dg.define_asset_job(
    "distill",
    selection=dg.AssetSelection.assets(knowledge_snapshots, decision_embeddings, snapshot_embeddings, recall_probe)
    | dg.AssetSelection.checks(chain_is_unbroken, head_never_shrinks),
    description="Verifies the ledger, then makes snapshots and places decisions and words for the run's days, and measures the search.",
)


@dg.schedule(
    job=distill,
    cron_schedule="10 6 * * *",
    execution_timezone=load_settings().time_zone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def distill_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The last day, in UTC, that is over at ten past six of the settings' zone."""
    return run_of_last_day(context)

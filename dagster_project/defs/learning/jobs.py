"""The job `scorecards` and its schedule: ten minutes after the snapshots."""

from __future__ import annotations

import dagster as dg

from dagster_project.defs.learning.assets import variant_scorecards
from precedent.settings import load_settings

scorecards = dg.define_asset_job(
    "scorecards",
    selection=dg.AssetSelection.assets(variant_scorecards),
    description="Describes how each version's outcomes came out until now.",
)

scorecards_daily = dg.ScheduleDefinition(
    name="scorecards_daily",
    job=scorecards,
    cron_schedule="20 6 * * *",
    execution_timezone=load_settings().time_zone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

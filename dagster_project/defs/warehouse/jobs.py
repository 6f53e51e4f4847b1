"""The job `aggregator` and its schedule: every morning, the day that ended last."""

from __future__ import annotations

from datetime import UTC, timedelta

import dagster as dg

from dagster_project.defs.ledger.checks import chain_is_unbroken, head_never_shrinks
from dagster_project.defs.warehouse.assets import dbt_models
from precedent.settings import load_settings

aggregator = dg.define_asset_job(
    "aggregator",
    selection=dg.AssetSelection.assets(dbt_models) | dg.AssetSelection.checks(chain_is_unbroken, head_never_shrinks),
    description="Verifies the ledger, then computes features and daily decisions for the run's days.",
)


@dg.schedule(
    job=aggregator,
    cron_schedule="0 6 * * *",
    execution_timezone=load_settings().time_zone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def aggregator_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The last day, in UTC, that is over at six o'clock of the settings' zone."""
    return run_of_last_day(context)


def run_of_last_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run for the last day, in UTC, that is over at the schedule's time; asked twice, it is the same run."""
    day = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    return dg.RunRequest(run_key=day.isoformat(), partition_key=day.isoformat())

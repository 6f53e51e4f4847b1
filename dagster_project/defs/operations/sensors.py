"""A run that failed becomes messages in the outbox, for people and for the webhooks that ask."""

from __future__ import annotations

import dagster as dg

from precedent.clock import SystemClock
from precedent.db.embedded import database_url
from precedent.people.pipeline_alerts import FailedRun, tell_failed_run
from precedent.settings import load_settings


# Raises where the database is away: the tick fails, and the next one begins at the same run.
@dg.run_failure_sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def tell_failures(context: dg.RunFailureSensorContext) -> None:
    """Leaves one message for each failed run, and one for each webhook that asked: its job, its days, the blocking checks and the steps
    that failed, its page.
    """
    settings, run = load_settings(), context.dagster_run
    checks = context.instance.event_log_storage.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    evaluated = [record.event_log_entry.get_dagster_event().asset_check_evaluation_data for record in checks]
    failed = FailedRun(
        run.run_id,
        run.job_name,
        list(dict.fromkeys(value for name in DAYS if (value := run.tags.get(name)))),
        sorted({one.check_name for one in evaluated if not one.passed and one.blocking}),
        sorted({event.step_key for event in context.get_step_failure_events() if event.step_key}),
        f"{settings.dagster_address}/runs/{run.run_id}",
    )
    tell_failed_run(database_url(settings), settings.chain, failed, SystemClock())


DAYS = ("dagster/partition", "dagster/asset_partition_range_start", "dagster/asset_partition_range_end")

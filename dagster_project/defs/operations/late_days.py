"""Has days computed again that came to know something after they were over: an import, an outcome that was late on its way."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from dagster_project.defs.ledger.store import Head, read_heads
from dagster_project.defs.memory.jobs import distill
from dagster_project.defs.operations.store import read_late_days
from dagster_project.defs.warehouse.assets import project
from dagster_project.defs.warehouse.jobs import aggregator
from dagster_project.defs.warehouse.statements import REST_DAYS, window_days
from precedent.db.embedded import database_url
from precedent.db.engine import PIPELINE, connect
from precedent.errors import DatabaseUnavailable
from precedent.lineage.statement_store import read_last_size
from precedent.memory.snapshot import COMPARED_DAYS
from precedent.settings import load_settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(jobs=[aggregator, distill], minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def new_outcomes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One run of each job for the known days that changed and those after them that look back to one. Today's are the schedules'."""
    for job in (aggregator, distill):
        if context.instance.get_runs(dg.RunsFilter(job_name=job.name, statuses=UNFINISHED), limit=1):
            return dg.SkipReason(f"{job.name} is under way: what is new is looked at when it has ended")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    try:
        heads = read_heads(url := database_url(load_settings()))
        days = _late_days(url, heads, json.loads(context.cursor or "{}"), yesterday)
    except DatabaseUnavailable as error:
        return dg.SkipReason(str(error))
    cursor = json.dumps({str(head.chain_id): head.size for head in heads})
    if days is None:
        return dg.SensorResult(skip_reason=dg.SkipReason("no day that is over has changed"), cursor=cursor)
    first, last = days
    features_to = min(yesterday, last + timedelta(days=window_days(json.loads(project.manifest_path.read_text())) + REST_DAYS - 1))
    memory_to = min(yesterday, last + timedelta(days=COMPARED_DAYS))
    runs = [_run_of(aggregator.name, first, features_to, cursor), _run_of(distill.name, first, memory_to, cursor)]
    return dg.SensorResult(run_requests=runs, cursor=cursor)


def _late_days(url: str, heads: list[Head], seen: dict[str, int], yesterday: date) -> tuple[date, date] | None:
    """First and last over all chains. A chain without a cursor begins where features were computed to: none of that is late."""
    found: list[date] = []
    with connect(url, PIPELINE) as connection:
        for head in heads:
            begin = seen.get(str(head.chain_id))
            if begin is None:
                begin = read_last_size(connection, head.chain_id, "entity_features")
            days = read_late_days(connection, head.chain_id, begin, head.size, yesterday + timedelta(days=1))
            found += [max(day, load_settings().pipeline_start) for day in days or ()]
    return (min(found), max(found)) if found else None


def _run_of(job: str, first: date, last: date, cursor: str) -> dg.RunRequest:
    """As `POST /jobs/{job}/run` asks for it: the same tick again is the same run. Dagster tells keys apart by sensor, not by job."""
    key = f"{job} {cursor}"
    if first == last:
        return dg.RunRequest(run_key=key, job_name=job, partition_key=first.isoformat())
    tags = {"dagster/asset_partition_range_start": first.isoformat(), "dagster/asset_partition_range_end": last.isoformat()}
    return dg.RunRequest(run_key=key, job_name=job, tags=tags)

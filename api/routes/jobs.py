"""Jobs of the pipeline, launched by other machines: behind a token of its own, never by a caller of the API."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import json_response
from api.models import RunAnswer
from api.pipeline import Pipeline, Run
from api.requests import field_invalid, require_internal
from api.services import services_of

router = APIRouter(tags=["Jobs"], prefix="/jobs")

MAX_WAIT_SECONDS = 600


@router.post("/{job}/run", status_code=202, response_model=RunAnswer)
async def run_job(
    request: Request,
    job: str,
    partition: date | None = None,
    from_: Annotated[date | None, Query(alias="from")] = None,
    to: date | None = None,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)] = 0,
) -> Response:
    """Launch a job for one day (yesterday unless `partition` names another) or for the days `from` to `to`, both included, as
    one run. 202 with the run and its page; with `wait`, 200 once it has ended."""
    services = services_of(request)
    require_internal(request, services)
    first, last = _days(services.settings.time_zone, partition, from_, to)
    pipeline = _pipeline_of(request)
    run = await pipeline.launch(job, first.isoformat(), last.isoformat())
    if wait:
        run = await pipeline.wait(run, wait)
    return json_response(_answer(run), 200 if run.is_finished else 202, {"Location": f"/jobs/runs/{run.run_id}"})


@router.get("/runs/{run_id}", response_model=RunAnswer)
async def get_run(request: Request, run_id: str) -> Response:
    """How a run does."""
    require_internal(request, services_of(request))
    return json_response(_answer(await _pipeline_of(request).run(run_id)))


def _days(time_zone: str, partition: date | None, first: date | None, last: date | None) -> tuple[date, date]:
    if (first is None) != (last is None) or (partition is not None and first is not None):
        raise field_invalid("/query/from", "name either partition, or both from and to")
    if first is not None and last is not None:
        if first > last:
            raise field_invalid("/query/from", "from lies after to")
        return first, last
    day = partition or datetime.now(ZoneInfo(time_zone)).date() - timedelta(days=1)
    return day, day


def _pipeline_of(request: Request) -> Pipeline:
    found: Pipeline = request.app.state.pipeline
    return found


def _answer(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "job": run.job,
        "status": run.status,
        "finished": run.is_finished,
        "started_at": _instant(run.started_at_seconds),
        "ended_at": _instant(run.ended_at_seconds),
        "partition": run.tags.get("dagster/partition"),
        "from": run.tags.get("dagster/asset_partition_range_start"),
        "to": run.tags.get("dagster/asset_partition_range_end"),
        "page": run.page,
    }


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

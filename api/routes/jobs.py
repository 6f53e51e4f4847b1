"""Jobs of the pipeline, launched by other machines: behind a token of its own, never by a caller of the API."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import REPLAYED, json_response
from api.models import RunAnswer
from api.pipeline import Pipeline, Run, Told
from api.requests import field_invalid, idempotency_claim, require_internal
from api.services import Services, services_of
from precedent.clock import EPOCH
from precedent.guard.access import Principal
from precedent.guard.once import one_at_a_time
from precedent.ledger.idempotency import Claim

router = APIRouter(tags=["Jobs"], prefix="/jobs")

MAX_WAIT_SECONDS = 600
ENDED: dict[int | str, dict[str, Any]] = {200: {"model": RunAnswer, "description": "It was waited for, and has ended"}}
INTERNAL = Principal("x-internal-token", frozenset(), frozenset())


@router.post("/{job}/run", status_code=202, response_model=RunAnswer, responses=ENDED)
async def run_job(
    request: Request,
    job: str,
    partition: date | None = None,
    from_: Annotated[date | None, Query(alias="from")] = None,
    to: date | None = None,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)] = 0,
) -> Response:
    """Launch a job for one day in UTC (yesterday unless `partition` names another) or for the days `from` to `to`, both included,
    as one run. 202 with the run and its page; with `wait`, 200 once it has ended."""
    services = services_of(request)
    require_internal(request, services)
    yesterday = (EPOCH + timedelta(microseconds=services.clock.now_us())).date() - timedelta(days=1)
    first, last = days_of(partition, from_, to, services.settings.pipeline_start, yesterday)
    pipeline = _pipeline_of(request)
    claim = idempotency_claim(request, services, INTERNAL, f"{partition}/{from_}/{to}".encode())
    run, is_replay = await _launch(services, pipeline, job, (first.isoformat(), last.isoformat()), claim)
    told = Told()
    if wait:
        run = await pipeline.wait(run, wait)
        told = await pipeline.told(run.run_id)
    headers = {"Location": f"/jobs/runs/{run.run_id}"} | (REPLAYED if is_replay else {})
    return json_response(_answer(run, told), 200 if run.is_finished else 202, headers)


@router.get("/runs/{run_id}", response_model=RunAnswer)
async def get_run(request: Request, run_id: str) -> Response:
    """How a run does: its state, its page, the last lines of its log, and what it failed of."""
    require_internal(request, services_of(request))
    pipeline = _pipeline_of(request)
    run = await pipeline.run(run_id)
    return json_response(_answer(run, await pipeline.told(run_id)))


async def _launch(services: Services, pipeline: Pipeline, job: str, days: tuple[str, str], claim: Claim | None) -> tuple[Run, bool]:
    """A new run, or the one that was launched under the same key, and whether it is that. Dagster keeps the key with the run; whoever
    looks for one and launches it does so alone, in whichever process."""
    if claim is None:
        return await pipeline.launch(job, *days), False
    with ExitStack() as held:
        await run_in_threadpool(held.enter_context, one_at_a_time(services.url, claim.claim))
        run = await pipeline.launched(claim)
        if run is not None:
            return run, True
        return await pipeline.launch(job, *days, claim), False


def days_of(partition: date | None, first: date | None, last: date | None, earliest: date, latest: date) -> tuple[date, date]:
    """The days asked for, `latest` unless any is named. Dagster itself takes a day that has no partition, and never starts its run.

    Raises: FieldInvalid.
    """
    if (first is None) != (last is None) or (partition is not None and first is not None):
        raise field_invalid("/query/from", "name either partition, or both from and to")
    if first is not None and last is not None and first > last:
        raise field_invalid("/query/from", "from lies after to")
    for name, day in (("partition", partition), ("from", first), ("to", last)):
        if day is not None and not earliest <= day <= latest:
            raise field_invalid(f"/query/{name}", f"{name} is a day from {earliest} to {latest}, in UTC")
    return first or partition or latest, last or partition or latest


def _pipeline_of(request: Request) -> Pipeline:
    found: Pipeline = request.app.state.pipeline
    return found


def _answer(run: Run, told: Told) -> dict[str, Any]:
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
        "assets_made": told.made_count,
        "assets_planned": told.planned_count,
        "error": told.error,
        "log": told.lines,
    }


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

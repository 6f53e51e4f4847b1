"""Measurements, as JSON or in Prometheus' text."""

from __future__ import annotations

import psutil
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response
from api.metrics import Measurements
from api.models import MetricsAnswer
from api.requests import authenticate, is_loopback
from api.services import Services, services_of
from precedent.ledger.projections import HEAD, TOTALS
from precedent.people.reviews import review_rates
from precedent.people.store import BACKLOG

router = APIRouter(tags=["Metrics"])

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_model=MetricsAnswer, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
async def metrics(request: Request) -> Response:
    """This process's requests and the last day's decisions; Prometheus' text where `Accept` names text/plain or OpenMetrics."""
    services = services_of(request)
    if not is_loopback(request):
        await authenticate(request, services, "read")
    measurements: Measurements = request.app.state.measurements
    head = await services.reads.fetch_one(HEAD, (services.chain_id,))
    totals = await services.reads.fetch(TOTALS, (services.chain_id,))
    rates = await review_rates(services.reads, services.chain_id, services.clock.now_us())
    size = head[0] if head else 0
    accept = request.headers.get("accept", "")
    if "text/plain" in accept or "openmetrics" in accept:
        _set_gauges(measurements, services, size, totals)
        _set_outbox(measurements, *(await services.reads.fetch(BACKLOG, {"chain": services.chain_id}))[0])
        measurements.set_reviews(rates)
        return Response(measurements.prometheus_text(), media_type=PROMETHEUS)
    authority = services.authority.loaded
    return json_response(
        {
            "requests": measurements.summary(),
            "decisions_last_day": [{"node": n, "verdict": v, "autonomy_level": level, "count": count} for n, v, level, count in totals],
            "reviews": rates,
            "ledger": {"size": size, "head": head[1] if head else None},
            "writer": {"queue_depth": services.writer.queue_depth, "queue_limit": services.settings.append_queue_limit},
            "authority": {"epoch": authority.epoch, "halted": authority.flags.is_halted} if authority else None,
            "process": {"memory_bytes": psutil.Process().memory_info().rss},
        }
    )


def _set_gauges(measurements: Measurements, services: Services, size: int, totals: list[tuple[str, str, int, int]]) -> None:
    measurements.forget_gauges()
    measurements.set_gauge("precedent_ledger_size", "Entries in the chain.", {}, size)
    failing = len(services.integrator.anchors.failures())
    measurements.set_gauge("precedent_anchors_failing", "Anchors that this process can't write or read.", {}, failing)
    measurements.set_gauge("precedent_append_queue_depth", "Entries waiting for a commit.", {}, services.writer.queue_depth)
    measurements.set_gauge("precedent_process_memory_bytes", "Resident memory of this process.", {}, psutil.Process().memory_info().rss)
    for node, verdict, level, count in totals:
        labels = {"node": node, "verdict": verdict, "autonomy_level": str(level)}
        measurements.set_gauge("precedent_decisions_last_day", "Decisions recorded in the last 24 hours.", labels, count)


def _set_outbox(measurements: Measurements, waiting: int, dead: int, oldest_seconds: float | None) -> None:
    measurements.set_gauge("precedent_outbox_waiting", "Messages that are not delivered yet.", {}, waiting)
    measurements.set_gauge("precedent_outbox_dead", "Messages that were given up: see `precedent outbox dead`.", {}, dead)
    measurements.set_gauge("precedent_outbox_oldest_seconds", "Age of the oldest message that waits.", {}, oldest_seconds or 0.0)

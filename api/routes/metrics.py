"""Measurements, as JSON or in Prometheus' text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import psutil
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response
from api.metrics import Measurements
from api.model_gauges import set_models
from api.models import MetricsAnswer
from api.requests import authenticate, is_loopback
from api.scrape import Scrape
from api.services import Services, services_of
from precedent.guard.access import EVERY_NODE, Principal

router = APIRouter(tags=["Metrics"])

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_model=MetricsAnswer, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
async def metrics(request: Request) -> Response:
    """This process's requests, and what the ledger, its reviews and its outbox look like; Prometheus' text where `Accept` names
    text/plain or OpenMetrics. What the database does not tell in time is named in `failed`, and the rest stands. A token for some nodes is
    told of those, and nothing of ledger and outbox."""
    services = services_of(request)
    principal = None if _is_open(request, services) else await authenticate(request, services, "read")
    measurements: Measurements = request.app.state.measurements
    scrape: Scrape = request.app.state.scrape
    found, failed = await scrape.read(services)
    if principal is not None and not principal.is_for(EVERY_NODE):
        found = _of_nodes(found, principal)
    accept = request.headers.get("accept", "")
    if "text/plain" in accept or "openmetrics" in accept:
        measurements.forget_gauges()
        _set_process(measurements, services, failed)
        _set_found(measurements, found)
        return Response(measurements.prometheus_text(), media_type=PROMETHEUS)
    authority = services.authority.loaded
    head = found["head"] or {"size": None, "head": None}
    return json_response(
        {
            "requests": measurements.summary(),
            "problems": measurements.problems(),
            "decisions_last_day": _decisions(found["decided"] or ()),
            "variants_last_day": _variants(found["decided"] or ()),
            "outcomes_last_week": found["unknown"] or [],
            "reviews": found["reviews"] or [],
            "models": found["models"],
            "ledger": head | (found["covered"] or {}) | (found["gaps"] or {}),
            "outbox": found["outbox"],
            "writer": {"queue_depth": services.writer.queue_depth, "queue_limit": services.settings.append_queue_limit},
            "authority": {"epoch": authority.epoch, "halted": authority.flags.is_halted} if authority else None,
            "process": {"memory_bytes": psutil.Process().memory_info().rss},
            "failed": failed,
        }
    )


def _is_open(request: Request, services: Services) -> bool:
    """Whether nobody need say who they are: on a developer's own machine. In production whoever calls from this machine may be a proxy
    that speaks for the world."""
    return services.settings.mode == "development" and is_loopback(request) and not request.headers.get("authorization")


def _of_nodes(found: dict[str, Any], principal: Principal) -> dict[str, Any]:
    """Of what the database tells the rows of the token's nodes, and nothing of what has no node: ledger and outbox are everybody's."""
    kept: dict[str, Any] = dict.fromkeys(found)
    kept["decided"] = [row for row in found["decided"] or () if principal.is_for(row[0])]
    for part in ("unknown", "reviews"):
        kept[part] = [row for row in found[part] or () if principal.is_for(row["node"])]
    return kept


def _decisions(rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    totals: Counter[tuple[str, str, int]] = Counter()
    for node, verdict, level, _, count in rows:
        totals[node, verdict, level] += count
    return [{"node": n, "verdict": v, "autonomy_level": level, "count": count} for (n, v, level), count in sorted(totals.items())]


def _variants(rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """By node and policy version: how many, and their share of the node's."""
    totals: Counter[tuple[str, str]] = Counter()
    nodes: Counter[str] = Counter()
    for node, _, _, version, count in rows:
        totals[node, version] += count
        nodes[node] += count
    return [
        {"node": node, "policy_version": version, "count": count, "share": count / nodes[node]}
        for (node, version), count in sorted(totals.items())
    ]


def _set_process(measurements: Measurements, services: Services, failed: Sequence[str]) -> None:
    tell = measurements.set_gauge
    failing = len(services.integrator.anchors.failures())
    tell("precedent_anchors_failing", "Anchors that this process can't write or read.", {}, failing)
    tell("precedent_append_queue_depth", "Entries waiting for a commit.", {}, services.writer.queue_depth)
    tell("precedent_append_queue_limit", "Entries that may wait; beyond it requests are refused.", {}, services.settings.append_queue_limit)
    tell("precedent_process_memory_bytes", "Resident memory of this process.", {}, psutil.Process().memory_info().rss)
    authority = services.authority.loaded
    if authority:
        tell("precedent_halted", "1 while the kill switch is thrown.", {}, authority.flags.is_halted)
        tell("precedent_control_epoch", "Changes of policies and flags, as this process knows them.", {}, authority.epoch)
    for name in failed:
        tell("precedent_scrape_failed", "Parts of this answer that the database did not tell.", {"part": name}, 1)


def _set_found(measurements: Measurements, found: dict[str, Any]) -> None:
    tell = measurements.set_gauge
    for part, name, help_text in SINGLE:
        if found[part.split(".")[0]] is not None:
            of, member = part.split(".")
            tell(name, help_text, {}, found[of][member])
    for row in _decisions(found["decided"] or ()):
        labels = {"node": row["node"], "verdict": row["verdict"], "autonomy_level": str(row["autonomy_level"])}
        tell("precedent_decisions_last_day", "Decisions recorded in the last 24 hours.", labels, row["count"])
    for row in _variants(found["decided"] or ()):
        labels = {"node": row["node"], "policy_version": row["policy_version"]}
        tell("precedent_variant_share", "Share of a node's decisions of 24 hours that a policy version made.", labels, row["share"])
    for row in found["unknown"] or ():
        help_text = "Share of the approvals that are 1 to 8 days old of which no outcome is known."
        tell("precedent_outcome_unknown_ratio", help_text, {"node": row["node"]}, row["unknown"] / row["approved"])
    measurements.set_reviews(found["reviews"] or ())
    set_models(measurements, found["models"])


SINGLE = (
    ("head.size", "precedent_ledger_size", "Entries in the chain."),
    ("covered.checkpoint_size", "precedent_checkpoint_size", "Entries that the newest signed checkpoint covers."),
    ("covered.lag_seconds", "precedent_integration_lag_seconds", "Age of the oldest entry that no checkpoint covers; 0 where all are."),
    ("gaps.gaps", "precedent_ledger_gaps", "Places of the chain without an entry, among those looked at."),
    ("gaps.looked_at", "precedent_ledger_gaps_looked_at", "Places of the chain that were looked at for gaps."),
    ("outbox.waiting", "precedent_outbox_waiting", "Messages that are not delivered yet."),
    ("outbox.dead", "precedent_outbox_dead", "Messages that were given up: see `precedent outbox dead`."),
    ("outbox.oldest_seconds", "precedent_outbox_oldest_seconds", "Age of the oldest message that waits."),
)

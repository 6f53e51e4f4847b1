"""Whether the process lives, and whether it can decide."""

from __future__ import annotations

from typing import Any

import psycopg
import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response
from api.models import ReadyAnswer
from api.problems import words_of
from api.services import services_of
from precedent.errors import PrecedentError
from precedent.ledger.projections import HEAD

log = structlog.get_logger("api")

router = APIRouter(tags=["Health"])


@router.get("/health")
async def health() -> dict[str, bool]:
    """The process answers; asks nobody else."""
    return {"ok": True}


@router.get("/ready", response_model=ReadyAnswer, responses={503: {"model": ReadyAnswer, "description": "Not now: `checks` says why"}})
async def ready(request: Request) -> Response:
    """200 when decisions can be made and recorded; else 503 with the reason in `checks`."""
    services = services_of(request)
    checks: dict[str, Any] = {}
    try:
        row = await services.reads.fetch_one(HEAD, (services.chain_id,))
        checks["database"] = {"ok": True}
        checks["ledger"] = {"ok": True, "size": row[0] if row else 0, "head": row[1] if row else None}
    except (PrecedentError, psycopg.Error) as error:
        log.warning("not_ready", check="database", error=str(error))
        checks["database"] = {"ok": False, "why": words_of(error)}
    try:
        authority = await services.authority.current()
        nodes = {node: sorted({policy.document.ref for policy in actions.values()}) for node, actions in authority.active.items()}
        halted = authority.flags.is_halted
        checks["policies"] = {"ok": bool(nodes), "active": nodes, "epoch": authority.epoch, "halted": halted}
        if not nodes:
            checks["policies"]["why"] = "no policy is active (precedent policy publish, activate)"
    except (PrecedentError, psycopg.Error) as error:
        log.warning("not_ready", check="policies", error=str(error))
        checks["policies"] = {"ok": False, "why": words_of(error)}
    # An anchor that can't be written makes no decision wrong: it is told, and the process stays ready.
    checks["anchors"] = {"ok": True, "failing": sorted(services.integrator.anchors.failures())}
    depth, limit = services.writer.queue_depth, services.settings.append_queue_limit
    checks["writer"] = {"ok": depth < limit, "queue_depth": depth, "queue_limit": limit}
    is_ready = all(check["ok"] for check in checks.values())
    return json_response({"ok": is_ready, "checks": checks}, 200 if is_ready else 503, None if is_ready else {"Retry-After": "1"})

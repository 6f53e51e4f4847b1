"""Flags and the kill switch: what may be decided at all, and up to which level alone."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import REPLAYED, json_response
from api.contracts import Action, Named
from api.models import FlagRequest, FlagsAnswer, FlagSet, KillSwitchRequest, KillSwitchSet
from api.openapi import body_of
from api.requests import Members, authenticate, field_invalid, idempotency_claim, parse_object, read_body
from api.services import Services, services_of
from api.steps import entry_of, flag_answer, switch_answer
from precedent.guard import store
from precedent.guard.access import EVERY_NODE, Principal
from precedent.guard.flags import KILL_SWITCH, MAX_LEVEL, set_flag
from precedent.ledger.entry import Claimed
from precedent.ledger.idempotency import Claim

router = APIRouter(tags=["Flags"])

COLUMNS = ("node", "action", "enabled", "max_level", "reason", "updated_at", "updated_by")


@router.get("/flags", response_model=FlagsAnswer)
async def list_flags(request: Request) -> Response:
    """The flags of the token's nodes, and whether all is halted; an action without one is not enabled."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    told = await _flags(services)
    return json_response(told | {"items": [flag for flag in told["items"] if principal.is_for(flag["node"])]})


@router.put("/flags/{node}/{action}", response_model=FlagSet, openapi_extra=body_of(FlagRequest))
async def put_flag(request: Request, node: Named, action: Action) -> Response:
    """Switch an action on or off, and say up to which level it may act alone."""
    services = services_of(request)
    principal = await authenticate(request, services, "flags:write", node)
    body = await read_body(request, services.settings.body_limit_bytes)
    members = parse_object(body)
    Members(members).require_known("enabled", "max_level", "reason")
    enabled, max_level = members.get("enabled"), Members(members).integer("max_level", 0, MAX_LEVEL)
    if not isinstance(enabled, bool):
        raise Members(members).fault("enabled", "enabled is true or false")
    if max_level is None:
        max_level = MAX_LEVEL
    if node == "*" or action == "*":
        raise field_invalid("/node" if node == "*" else "/action", "the kill switch has a route of its own: PUT /kill-switch")
    claim = idempotency_claim(request, services, principal, body)
    return await _set(services, principal, (node, action), enabled, max_level, members, claim)


@router.put("/kill-switch", response_model=KillSwitchSet, openapi_extra=body_of(KillSwitchRequest))
async def put_kill_switch(request: Request) -> Response:
    """Halt or resume everything: while halted, every decision escalates and is recorded. For tokens of every node alone."""
    services = services_of(request)
    principal = await authenticate(request, services, "flags:write", EVERY_NODE)
    body = await read_body(request, services.settings.body_limit_bytes)
    members = parse_object(body)
    Members(members).require_known("halted", "reason")
    if not isinstance(members.get("halted"), bool):
        raise Members(members).fault("halted", "halted is true or false")
    claim = idempotency_claim(request, services, principal, body)
    return await _set(services, principal, KILL_SWITCH, not members["halted"], MAX_LEVEL, members, claim)


async def _set(
    services: Services,
    principal: Principal,
    flag: tuple[str, str],
    enabled: bool,
    max_level: int,
    members: dict[str, object],
    claim: Claim | None,
) -> Response:
    reason = str(Members(members).text("reason", is_required=True, limit=1000))
    answer = await run_in_threadpool(set_flag, services.url, services.settings, *flag, enabled, max_level, reason, principal.name, claim)
    await services.authority.reload()
    entry = await entry_of(services, answer)
    told = (switch_answer if flag == KILL_SWITCH else flag_answer)(entry, services.settings.chain)
    return json_response(told, 200, REPLAYED if isinstance(answer, Claimed) else None)


async def _flags(services: Services) -> dict[str, Any]:
    rows = await services.reads.fetch(store.FLAGS, (services.chain_id,))
    flags = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    switch = [flag for flag in flags if (flag["node"], flag["action"]) == KILL_SWITCH]
    return {"halted": any(not flag["enabled"] for flag in switch), "items": [flag for flag in flags if flag not in switch]}

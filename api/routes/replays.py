"""Replays: what another policy would have decided of what was recorded. Nothing is appended."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import json_response
from api.contracts import Id
from api.openapi import body_of
from api.replay_models import ReplayAnswer, ReplayRequest
from api.replays import Asked, Replay, Replays
from api.requests import Members, authenticate, parse_object, parse_uuid, read_body
from api.services import Services, services_of
from precedent.clock import to_instant
from precedent.errors import PolicyNotFound
from precedent.guard.access import Principal
from precedent.learning.replay_store import COUNT_UP_TO
from precedent.learning.replay_worker import Window
from precedent.policy import store

router = APIRouter(tags=["Replays"], prefix="/replays")

MAX_DECISIONS = 100_000
MAX_DIFFERENCES = 100
DEFAULT_LAST = 1_000
MAX_WAIT_SECONDS = 60
ENDED: dict[int | str, dict[str, Any]] = {200: {"model": ReplayAnswer, "description": "It was waited for, and has ended"}}


@router.post("", status_code=202, response_model=ReplayAnswer, responses=ENDED, openapi_extra=body_of(ReplayRequest))
async def start_replay(request: Request, wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)] = 0) -> Response:
    """Decide the last decisions, or those of a window, by a published policy, and tell who flips: by move, segment and money, with
    both results side by side. 202 with its address; with `wait`, 200 once it has ended. A token has one at a time."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    members = parse_object(await read_body(request, services.settings.body_limit_bytes))
    asked = await _asked(services, principal, Members(members))
    replays = _replays_of(request)
    replay = replays.start(principal.name, asked)
    if wait:
        await replays.wait(replay, wait)
    return json_response(_answer(replay), 200 if replay.is_finished else 202, {"Location": f"/replays/{replay.id}"})


@router.get("/{replay_id}", response_model=ReplayAnswer)
async def get_replay(
    request: Request, replay_id: Id, wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)] = 0
) -> Response:
    """How a replay does, and what came of it. It is known to the process that ran it, until 64 newer ones have been asked for."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    replays = _replays_of(request)
    replay = replays.find(parse_uuid(replay_id, "/replay_id"))
    principal.require("read", replay.asked.node)
    if wait:
        await replays.wait(replay, wait)
    return json_response(_answer(replay))


async def _asked(services: Services, principal: Principal, members: Members) -> Asked:
    """What the body asks for, of policies that exist and the token may read.

    Raises: FieldInvalid, PolicyNotFound, ScopeMissing.
    """
    members.require_known("policy", "before", "last", "from", "to", "limit")
    policy, node = await _published(services, str(members.text("policy", is_required=True)))
    principal.require("read", node)
    before = members.text("before")
    if before is not None:
        before, before_node = await _published(services, before)
        if before_node != node:
            raise members.fault("before", f"{before} is of the node '{before_node}', {policy} of '{node}'")
    last, limit = members.integer("last", 1, MAX_DECISIONS), members.integer("limit", 0, MAX_DIFFERENCES)
    limit = 20 if limit is None else limit
    from_us, to_us = members.instant_us("from"), members.instant_us("to")
    if from_us is None and to_us is None:
        return Asked(policy, before, node, last or DEFAULT_LAST, None, None, limit)
    if last is not None:
        raise members.fault("last", "name either last, or from and to")
    if from_us is not None and to_us is not None and from_us >= to_us:
        raise members.fault("from", "from lies before to")
    await _require_bounded(services, members, node, Window(from_us=from_us, to_us=to_us))
    return Asked(policy, before, node, None, from_us, to_us, limit)


async def _published(services: Services, ref: str) -> tuple[str, str]:
    """The full reference and the node. It is settled here which version a bare name means."""
    name, _, version = ref.partition("@")
    row = await services.reads.fetch_one(store.ONE, {"chain": services.chain_id, "name": name, "version": version or None})
    if row is None:
        raise PolicyNotFound(f"no policy {ref} is published" if version else f"no version of {ref} is active")
    return f"{row[0]}@{row[1]}", str(row[2])


async def _require_bounded(services: Services, members: Members, node: str, window: Window) -> None:
    from_us, to_us = window.bounds_us
    bounds = {"chain": services.chain_id, "node": node, "from_us": from_us, "to_us": to_us, "most": MAX_DECISIONS}
    row = await services.reads.fetch_one(COUNT_UP_TO, bounds)
    if row is not None and row[0] > MAX_DECISIONS:
        raise members.fault("from", f"the window holds more than {MAX_DECISIONS:,} decisions: narrow it, or name last")


def _replays_of(request: Request) -> Replays:
    found: Replays = request.app.state.replays
    return found


def _answer(replay: Replay) -> dict[str, Any]:
    return {
        "id": replay.id,
        "status": replay.status,
        "finished": replay.is_finished,
        "policy": replay.asked.policy,
        "before": replay.asked.before,
        "node": replay.asked.node,
        "created_at": to_instant(replay.created_at_us),
        "finished_at": None if replay.finished_at_us is None else to_instant(replay.finished_at_us),
        "error": replay.error,
        "report": replay.report,
    }

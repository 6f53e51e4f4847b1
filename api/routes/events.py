"""Events: what happened, one at a time or many, and the list of them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import REPLAYED, event_answer, json_response, page_of, payload_of, recorded_response
from api.batches import MAX_ELEMENTS, Elements, answer_all, read_elements
from api.lean import LeanRoute
from api.models import EventAnswer, EventRequest, EventsAccepted, Page
from api.openapi import body_of
from api.problems import Problem
from api.requests import MAX_SEQ, Members, authenticate, call_of, correlation_id_of, field_invalid, parse_object, read_body
from api.services import services_of
from precedent.call import Call
from precedent.guard.access import Principal
from precedent.ledger.canonical import element_texts, member_texts, parse_strict
from precedent.ledger.projections import EVENT_COLUMNS, EVENTS, as_row
from precedent.record import Happening

router = APIRouter(tags=["Events"])
hot_router = APIRouter(tags=["Events"], route_class=LeanRoute)

MEMBERS = ("type", "actor", "correlation_id", "correlationId", "ts", "as_of", "source", "subject", "payload")


@hot_router.post("/events", status_code=201, response_model=EventAnswer | EventsAccepted, openapi_extra=body_of(EventRequest))
async def record(request: Request) -> Response:
    """Record one event and answer with the stored row; or a JSON array of up to 1,000, answered with their ids."""
    services = services_of(request)
    principal = await authenticate(request, services, "events:write")
    body = await read_body(request, services.settings.batch_limit_bytes)
    if body.lstrip()[:1] == b"[":
        return await _record_many(request, principal, body)
    if len(body) > services.settings.body_limit_bytes:
        raise Problem(413, "BODY_TOO_LARGE", f"one event has at most {services.settings.body_limit_bytes} bytes")
    members = parse_object(body)
    call = call_of(request, services, principal, body, correlation_id_of(members))
    recorded = await services.recorder.record_event(_happening_of(members, body.decode(), principal), call)
    return recorded_response(event_answer(recorded, services.settings.chain), is_replay=recorded.is_replay)


@router.get("/events", response_model=Page)
async def list_events(
    request: Request,
    type: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
) -> Response:
    """Events, newest first."""
    services = services_of(request)
    await authenticate(request, services, "read")
    parameters = {"type": type, "actor": actor, "since": since, "after": after, "limit": limit + 1}
    rows = await services.reads.fetch(EVENTS, parameters | {"chain": services.chain_id})
    page = page_of([as_row(EVENT_COLUMNS, row) for row in rows], limit)
    # The payload comes from the entry, as it was received: a number of many digits survives no trip through the database's JSON.
    entries = await asyncio.gather(*(services.entries.find(item["id"]) for item in page["items"]))
    for item, entry in zip(page["items"], entries, strict=True):
        item["payload"] = payload_of(entry.facts if entry else {})
    return json_response(page)


async def _record_many(request: Request, principal: Principal, body: bytes) -> Response:
    services = services_of(request)
    limit_bytes = services.settings.stream_line_limit_bytes
    elements, texts = await read_elements(body, _elements_of)

    async def record_one(members: dict[str, Any], call: Call, prefix: str) -> tuple[dict[str, Any], bool]:
        if len(call.received) > limit_bytes:
            raise Problem(413, "BODY_TOO_LARGE", f"one event has at most {limit_bytes} bytes")
        recorded = await services.recorder.record_event(_happening_of(members, call.received.decode(), principal, prefix), call)
        return event_answer(recorded, services.settings.chain), recorded.is_replay

    call = call_of(request, services, principal, body)
    answers, is_replay = await answer_all(request, call, elements, texts, "", record_one)
    ids = [answer.get("id") for answer in answers]
    rejected = [{"index": place} | answer for place, answer in enumerate(answers) if "id" not in answer]
    status = 201 if len(rejected) < len(ids) else 422
    content = {"accepted": len(ids) - len(rejected), "ids": ids, "rejected": rejected}
    return json_response(content, status, REPLAYED if is_replay else None)


def _elements_of(body: bytes) -> Elements:
    elements = parse_strict(body)
    if not 0 < len(elements) <= MAX_ELEMENTS:
        raise field_invalid("", f"an array has 1 to {MAX_ELEMENTS} events")
    return elements, element_texts(body.decode())


def _happening_of(members: dict[str, Any], text: str, principal: Principal, prefix: str = "") -> Happening:
    read = Members(members, prefix)
    read.require_known(*MEMBERS)
    as_of_us = read.instant_us("as_of")
    if as_of_us is not None:
        principal.require("import")
    return Happening(
        type=str(read.text("type", is_required=True)),
        payload_text=member_texts(text).get("payload", "null"),
        actor=read.text("actor"),
        ts_us=read.instant_us("ts"),
        as_of_us=as_of_us,
        source=read.text("source"),
        subject=read.text("subject"),
        pointer=prefix,
    )

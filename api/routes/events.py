"""Events: what happened, one at a time or many, and the list of them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.answers import REPLAYED, event_answer, json_response, page_of, payload_of, recorded_response
from api.batches import MAX_ELEMENTS, Elements, answer_all, read_elements, refused_at
from api.cloudevents import BATCH, STRUCTURED, CloudEvent, is_binary, read_binary, read_structured
from api.contracts import Instant
from api.event_models import (
    CloudEventRequest,
    CloudEventsRequest,
    EventAnswer,
    EventRequest,
    EventsAccepted,
    EventsStreamed,
    EventStreamRequest,
)
from api.event_stream import STREAM, STREAMS, record_stream
from api.happenings import record_cloudevent, record_plain, require_no_key
from api.lean import LeanRoute
from api.models import Page
from api.openapi import bodies_of
from api.problems import Problem, problem_body
from api.requests import (
    MAX_SEQ,
    authenticate,
    call_of,
    correlation_id_of,
    field_invalid,
    media_type_of,
    parse_object,
    read_body,
    read_bytes,
)
from api.services import Services, services_of
from precedent.call import Call
from precedent.guard.access import EVERY_NODE, Principal
from precedent.ledger.canonical import element_texts, parse_strict
from precedent.ledger.projections import EVENT_COLUMNS, EVENTS, as_row

router = APIRouter(tags=["Events"])
hot_router = APIRouter(tags=["Events"], route_class=LeanRoute)

BODIES: dict[str, type[BaseModel]] = {
    "application/json": EventRequest,
    STRUCTURED: CloudEventRequest,
    BATCH: CloudEventsRequest,
    STREAM: EventStreamRequest,
}


@hot_router.post(
    "/events",
    status_code=201,
    response_model=EventAnswer | EventsAccepted | EventsStreamed,
    responses={200: {"model": EventsAccepted, "description": "A batch of CloudEvents that holds none"}},
    openapi_extra=bodies_of(BODIES),
)
async def record(request: Request) -> Response:
    """Record what happened: one event, answered with the stored row; up to 1,000 in a JSON array, answered with their ids; or a
    stream of any length, one JSON object a line, answered with counts after its last commit.

    Events are plain or CloudEvents 1.0 (structured, binary, batch; on a line of a stream too), which their `source` and `id` keep
    from being recorded twice.
    """
    media_type = media_type_of(request)
    if media_type in STREAMS:
        return await record_stream(request)
    services = services_of(request)
    principal = await authenticate(request, services, "events:write")
    if media_type == BATCH:
        return await _record_many(request, principal, await read_body(request, services.settings.batch_limit_bytes))
    if media_type != STRUCTURED and is_binary(request):
        return await _record_binary(request, services, principal)
    body = await read_body(request, services.settings.batch_limit_bytes)
    if body.lstrip()[:1] == b"[" and media_type != STRUCTURED:
        return await _record_many(request, principal, body)
    if len(body) > services.settings.body_limit_bytes:
        raise Problem(413, "BODY_TOO_LARGE", f"one event has at most {services.settings.body_limit_bytes} bytes")
    members = parse_object(body)
    if media_type == STRUCTURED:
        return await _record_one(request, services, principal, body, read_structured(members, body.decode()))
    call = call_of(request, services, principal, body, correlation_id_of(members))
    recorded = await record_plain(services, principal, call, members)
    return recorded_response(event_answer(recorded, services.settings.chain), is_replay=recorded.is_replay)


async def _record_binary(request: Request, services: Services, principal: Principal) -> Response:
    body = await read_bytes(request, services.settings.body_limit_bytes)
    return await _record_one(request, services, principal, body, read_binary(request, body))


async def _record_one(request: Request, services: Services, principal: Principal, body: bytes, event: CloudEvent) -> Response:
    call = call_of(request, services, principal, body, event.correlation_id)
    require_no_key(call)
    recorded = await record_cloudevent(services, call, event)
    return recorded_response(event_answer(recorded, services.settings.chain), is_replay=recorded.is_replay)


@router.get("/events", response_model=Page)
async def list_events(
    request: Request,
    type: str | None = None,
    actor: str | None = None,
    since: Instant | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
) -> Response:
    """Events, newest first. An event has no node: they are told to tokens for every node."""
    services = services_of(request)
    await authenticate(request, services, "read", EVERY_NODE)
    parameters = {"type": type, "actor": actor, "since": since, "after": after, "limit": limit + 1}
    rows = await services.reads.fetch(EVENTS, parameters | {"chain": services.chain_id})
    page = page_of([as_row(EVENT_COLUMNS, row) for row in rows], limit)
    # The payload comes from the entry, as it was received: a number of many digits survives no trip through the database's JSON.
    entries = await asyncio.gather(*(services.entries.find(item["id"]) for item in page["items"]))
    for item, entry in zip(page["items"], entries, strict=True):
        facts = entry.facts if entry else {}
        item |= {"payload": payload_of(facts), "cloudevent": facts.get("cloudevent")}
    return json_response(page)


async def _record_many(request: Request, principal: Principal, body: bytes) -> Response:
    services = services_of(request)
    limit_bytes = services.settings.stream_line_limit_bytes
    is_cloudevents = media_type_of(request) == BATCH
    elements, texts = await read_elements(body, _cloudevents_of if is_cloudevents else _elements_of)

    async def record_one(members: dict[str, Any], call: Call, prefix: str) -> tuple[dict[str, Any], bool]:
        if len(call.received) > limit_bytes:
            raise Problem(413, "BODY_TOO_LARGE", f"one event has at most {limit_bytes} bytes")
        if is_cloudevents:
            recorded = await record_cloudevent(services, call, read_structured(members, call.received.decode(), prefix))
        else:
            recorded = await record_plain(services, principal, call, members, prefix)
        return event_answer(recorded, services.settings.chain), recorded.is_replay

    call = call_of(request, services, principal, body)
    if is_cloudevents:
        require_no_key(call)
        if not elements:  # which the format allows
            return json_response({"accepted": 0, "ids": [], "rejected": []})
    answers, is_replay = await answer_all(services, call, elements, texts, "", record_one, refused_at(request))
    ids = [answer.get("id") for answer in answers]
    rejected = [{"index": place} | answer for place, answer in enumerate(answers) if "id" not in answer]
    content = {"accepted": len(ids) - len(rejected), "ids": ids, "rejected": rejected}
    if len(rejected) < len(ids):
        return json_response(content, 201, REPLAYED if is_replay else None)
    refusal = problem_body(Problem(422, "EVENTS_REFUSED", f"none of {len(ids)} events was recorded"), request.url.path)
    return json_response(refusal | content, 422, media_type="application/problem+json")


def _elements_of(body: bytes, least: int = 1) -> Elements:
    elements = parse_strict(body)
    if not isinstance(elements, list) or not least <= len(elements) <= MAX_ELEMENTS:
        raise field_invalid("", f"an array has {least} to {MAX_ELEMENTS} events")
    return elements, element_texts(body.decode())


def _cloudevents_of(body: bytes) -> Elements:
    return _elements_of(body, least=0)
